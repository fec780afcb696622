"""The reader of model.json: what it takes, and one line for each fault."""

import json
from pathlib import Path
from typing import Any

import pytest

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.model.signature import Column, read_signature

DOCUMENT = {
    "format": 1,
    "name": "club",
    "version": "0123456789ab",
    "task": "classification",
    "runtime": "onnx",
    "columns": [
        {"name": "age", "type": "integer", "nullable": False},
        {"name": "seen", "type": "datetime", "nullable": True},
    ],
    "classes": ["no", "yes"],
    "positive": "yes",
    "example": {"age": 40, "seen": None},
}


def written(folder: Path, document: Any) -> Path:
    path = folder / "model.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


def test_a_signature_is_read_and_makes_the_same_document(tmp_path: Path) -> None:
    signature = read_signature(written(tmp_path, DOCUMENT))
    assert (signature.name, signature.version, signature.runtime) == ("club", "0123456789ab", "onnx")
    assert signature.columns == (Column("age", "integer", False), Column("seen", "datetime", True))
    assert (signature.classes, signature.positive) == (("no", "yes"), "yes")
    assert list(signature.document().items()) == list(DOCUMENT.items())


def test_a_regression_has_no_classes(tmp_path: Path) -> None:
    regression = DOCUMENT | {"task": "regression", "classes": None, "positive": None}
    signature = read_signature(written(tmp_path, regression))
    assert (signature.classes, signature.positive) == ((), None)
    assert signature.document() == regression


def test_metrics_alone_have_no_runtime(tmp_path: Path) -> None:
    assert read_signature(written(tmp_path, DOCUMENT | {"runtime": None})).runtime is None


@pytest.mark.parametrize("format_", [99, 0, "1", None])
def test_another_format_is_an_error_that_names_the_one_that_is_read(tmp_path: Path, format_: Any) -> None:
    path = written(tmp_path, DOCUMENT | {"format": format_})
    with pytest.raises(StageFailure) as refused:
        read_signature(path)
    assert refused.value.cause == f"{path} has format {format_!r}, and this version reads format 1 only"
    assert refused.value.hint == "train again, or use the version of ml-pipeline that wrote it"


FAULTS: list[tuple[Any, str]] = [
    ("{", "is not JSON ("),
    ("[]", "is not a JSON object"),
    ({key: value for key, value in DOCUMENT.items() if key != "format"}, "has format None, and this version"),
    ({key: value for key, value in DOCUMENT.items() if key != "task"}, "has no 'task'"),
    (DOCUMENT | {"version": 7}, "has version 7, expected a string"),
    (DOCUMENT | {"task": "ranking"}, "has task 'ranking', expected classification or regression"),
    (DOCUMENT | {"runtime": []}, "has runtime [], expected onnx, python or null"),
    (DOCUMENT | {"classes": "yes"}, "has classes 'yes', expected a list of labels"),
    (DOCUMENT | {"positive": {}}, "has positive {}, expected a label"),
    (DOCUMENT | {"example": []}, "has example [], expected an object"),
    (DOCUMENT | {"columns": [{"type": "integer"}]}, "has a column without a name"),
    (
        DOCUMENT | {"columns": [{"name": "age", "type": "int", "nullable": True}]},
        "gives column 'age' the type 'int'",
    ),
    (
        DOCUMENT | {"columns": [{"name": "age", "type": "integer"}]},
        "does not say whether column 'age' is nullable",
    ),
]


@pytest.mark.parametrize(("document", "cause"), FAULTS)
def test_what_is_not_a_signature_is_one_line(tmp_path: Path, document: Any, cause: str) -> None:
    path = written(tmp_path, document)
    with pytest.raises(StageFailure) as refused:
        read_signature(path)
    assert refused.value.cause.startswith(f"{path} {cause}")
    assert "\n" not in refused.value.cause + refused.value.hint


def test_a_file_that_is_absent_gets_the_readers_hint(tmp_path: Path) -> None:
    with pytest.raises(StageFailure, match="No such file or directory") as refused:
        read_signature(tmp_path / "model.json", "mount it")
    assert refused.value.hint == "mount it"
