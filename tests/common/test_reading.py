"""Documents read into dataclasses, and the one line that each mistake gets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.common.reading import Bounds, DocumentError, read, read_settings


@dataclass(frozen=True)
class Part:
    name: str
    weight: Annotated[float, Bounds(minimum=0)] = 1.0


@dataclass(frozen=True)
class Machine:
    name: str
    mode: Literal["on", "off", False] = "off"
    parts: tuple[Part, ...] = ()
    named: Mapping[str, Part] = field(default_factory=dict)
    limit: Annotated[int, Bounds(minimum=1, maximum=9)] | str | None = None
    share: Annotated[float, Bounds(above=0, below=1, problem="must be a fraction")] = 0.5
    interval: tuple[float | None, float | None] = (None, None)
    config: Mapping[str, object] = field(default_factory=dict)
    anything: object = None


def test_every_annotation_is_read() -> None:
    document = {
        "name": "press",
        "mode": False,
        "parts": [{"name": "bolt", "weight": 2}],
        "named": {"left": {"name": "arm"}},
        "limit": "none",
        "share": 0.25,
        "interval": [1, None],
        "config": {"depth": [1, 2]},
        "anything": [{}],
    }
    assert read(Machine, document) == Machine(
        name="press",
        mode=False,
        parts=(Part("bolt", 2),),
        named={"left": Part("arm")},
        limit="none",
        share=0.25,
        interval=(1, None),
        config={"depth": [1, 2]},
        anything=[{}],
    )


def test_an_absent_key_is_its_default() -> None:
    assert read(Machine, {"name": "press"}) == Machine("press")


def test_a_list_of_dataclasses_is_read_without_one_around_it() -> None:
    assert read(tuple[Part, ...], [{"name": "bolt"}, {"name": "nut"}]) == (Part("bolt"), Part("nut"))


@pytest.mark.parametrize(
    ("change", "path", "line"),
    [
        ({"nmae": "x"}, "nmae", "unknown key 'nmae'; did you mean 'name' or 'named'?"),
        (
            {"zzzzzzz": 1},
            "zzzzzzz",
            "unknown key 'zzzzzzz'; there are: name, mode, parts, named, limit, share,",
        ),
        ({"parts": [{}]}, "parts[0].name", "parts[0].name is missing; add it"),
        ({"parts": {}}, "parts", "parts is a table; write a list"),
        (
            {"named": {"a": {"name": "b", "size": 1}}},
            "named.a.size",
            "unknown key 'size' in [named.a]; there are: name, weight",
        ),
        ({"named": {"a": 1}}, "named.a", "named.a is 1, an integer; write a table"),
        ({"name": None}, "name", "name is null; write a string"),
        ({"name": True}, "name", "name is true; write a string"),
        ({"name": 1.5}, "name", "name is 1.5, a number; write a string"),
        ({"mode": 0}, "mode", 'mode is 0, an integer; write "on" or "off" or false'),
        ({"mode": "a\nb"}, "mode", 'mode is "a\\nb", a string; write "on" or "off" or false'),
        ({"limit": 1.5}, "limit", "limit is 1.5, a number; write an integer or a string"),
        ({"limit": 10}, "limit", "limit = 10 is out of range; use a number between 1 and 9"),
        ({"share": 1}, "share", "share = 1 must be a fraction; use more than 0 and less than 1"),
        ({"share": float("nan")}, "share", "share = nan must be a fraction; use more than 0 and less than 1"),
        (
            {"parts": [{"name": "x", "weight": -1}]},
            "parts[0].weight",
            "parts[0].weight = -1 is out of range; use 0 or more",
        ),
        ({"interval": [1]}, "interval", "interval has 1 values; write 2"),
        ({"interval": [1, "x"]}, "interval[1]", 'interval[1] is "x", a string; write a number'),
        ({"config": []}, "config", "config is a list; write a table"),
    ],
)
def test_a_mistake_names_the_key(change: dict[str, object], path: str, line: str) -> None:
    with pytest.raises(DocumentError) as refusal:
        read(Machine, {"name": "press"} | change)
    assert str(refusal.value).startswith(line)
    assert str(refusal.value) == f"{refusal.value.problem}; {refusal.value.hint}"
    assert refusal.value.path == path


def test_a_long_value_is_cut_off() -> None:
    with pytest.raises(DocumentError) as refusal:
        read(Machine, {"name": "press", "mode": "x" * 10_000})
    assert len(str(refusal.value)) < 200


def test_a_document_that_is_no_table() -> None:
    with pytest.raises(DocumentError, match=r"^the document is a list; write a table$"):
        read(Machine, [])


def test_keys_of_other_versions_can_be_ignored() -> None:
    document = {"name": "press", "colour": "red", "parts": [{"name": "bolt", "colour": "grey"}]}
    assert read(Machine, document, ignore_unknown=True) == Machine("press", parts=(Part("bolt"),))


def test_a_path_stands_before_the_keys() -> None:
    with pytest.raises(DocumentError, match=r"^tool\.press\.name is missing; add it$"):
        read(Machine, {}, "tool.press")


@pytest.mark.parametrize(
    ("text", "cause", "hint"),
    [
        (None, "can't be read (No such file or directory)", "check --config"),
        ("{", "are not JSON (Expecting property name", "check --config"),
        ('{"name": 1}', "the settings are wrong: name is 1, an integer", "write a string"),
    ],
)
def test_wrong_settings_fail_the_stage(tmp_path: Path, text: str | None, cause: str, hint: str) -> None:
    path = tmp_path / "settings.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(StageFailure) as failure:
        read_settings(Part, path)
    assert cause in failure.value.cause
    assert failure.value.hint == hint


def test_settings_are_read(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text('{"name": "bolt"}')
    assert read_settings(Part, path) == Part("bolt")
