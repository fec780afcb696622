"""The document of a run: from JSON and back, whole or with parts missing."""

import json

import pytest

from ml_pipeline.common.document import (
    Image,
    ProjectTests,
    ReleaseRecord,
    RunDocument,
    Search,
    Split,
    StageRecord,
    Tracking,
    Training,
    Trial,
    as_json,
    from_json,
)
from ml_pipeline.common.reading import DocumentError

WHOLE = RunDocument(
    name="club",
    status="failed",
    revision="0123abc",
    gpu="cuda (2x NVIDIA H200)",
    started=1.5,
    seconds=80.25,
    price_per_hour=4,
    notes=("no baseline",),
    stages=(StageRecord("train", "failed", 3.0, True, "no memory", "add some"),),
    image=Image("r/club:1@sha256:ab", "sha256:ab", 142.5),
    release=ReleaseRecord("updated", "club", "models", 3, "r/club", prediction={"answer": [1]}, seconds=4.5),
    tracking=Tracking("12", "http://x", "3", None),
    tests=ProjectTests(12, 1, 0, ("tests.test_a::test_b",), 93.5),
    data={"rows": 3, "columns": [{"name": "age"}]},
    split=Split(2, 1, {"data": "sha256:aa"}),
    training=Training("cpu", search=Search("loss", "min", 1, (Trial(1, {"rate": 0.5}, value=0.25),))),
    model={"version": "88ea"},
    verdict={"passed": False},
)


def test_a_run_survives_json() -> None:
    assert from_json(json.loads(json.dumps(as_json(WHOLE)))) == WHOLE


def test_the_keys_are_those_of_report_json() -> None:
    document = as_json(WHOLE)
    assert {"name", "status", "stages", "seconds", "notes", "image", "release", "verdict"} < set(document)
    assert json.loads(json.dumps(document["stages"])) == [
        {
            "stage": "train",
            "status": "failed",
            "seconds": 3.0,
            "cached": True,
            "message": "no memory",
            "hint": "add some",
        }
    ]


def test_a_part_that_is_missing_is_left_out() -> None:
    document = as_json(RunDocument(name="club", stages=(StageRecord("lint"),)))
    assert {"image", "release", "tracking", "tests", "data", "verdict"} & set(document) == set()
    assert document["notes"] == ()


@pytest.mark.parametrize("part", list(as_json(WHOLE)))
def test_a_document_without_any_part_is_read(part: str) -> None:
    document = as_json(WHOLE)
    del document[part]
    assert from_json(document) == from_json({**document, part: None})


def test_a_newer_version_s_keys_are_ignored() -> None:
    assert from_json({"name": "club", "cost": 3, "image": {"digest": "a", "signed": True}}) == RunDocument(
        name="club", image=Image(digest="a")
    )


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"name": 3}, "run.name is 3, an integer"),
        ({"stages": [{"status": "passed"}]}, r"run.stages\[0\].stage is missing"),
    ],
)
def test_a_wrong_value_is_named(document: dict[str, object], problem: str) -> None:
    with pytest.raises(DocumentError, match=f"^{problem}"):
        from_json(document)
