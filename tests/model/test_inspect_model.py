"""The inspection of what training wrote: the signature, and each model that is none."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.model import inspect_model
from ml_pipeline.model.inspecting import answers
from tests.graphs import members, simple
from tests.programs import PREDICTOR, graph, run

pytestmark = pytest.mark.program

EMPTY_RECORD = '{"format": 1, "rows": 0, "columns": {}}'
SETTINGS = {"task": "classification", "target": "club", "positive": "yes", "seed": 0, "config": {}}
Inspect = Callable[..., dict[str, Any]]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    return folder


@pytest.fixture
def inspect(tmp_path: Path, model: Path) -> Inspect:
    """Inspect `model`; return its signature. Nothing is written where it is refused."""

    def once(rows: pl.DataFrame | None = None, **changes: Any) -> dict[str, Any]:
        data, output = tmp_path / "train.parquet", tmp_path / "out"
        (members() if rows is None else rows).write_parquet(data)
        recorded = tmp_path / "record.json"
        recorded.write_text(EMPTY_RECORD)
        for name in ("model.json", "record.json"):
            (output / name).unlink(missing_ok=True)
        try:
            inspect_model.inspect(model, data, recorded, SETTINGS | changes, "club", output)
        except StageFailure:
            assert not output.exists() or not list(output.iterdir())
            raise
        copied = json.loads((output / "record.json").read_text())
        assert ("predictions" in copied) == (model / "model.onnx").exists()
        signature: dict[str, Any] = json.loads((output / "model.json").read_text(encoding="utf-8"))
        return signature

    return once


def test_the_program_writes_the_signature_or_says_why_not_in_one_line(tmp_path: Path, model: Path) -> None:
    paths = {"model": model, "data": tmp_path / "train.parquet", "config": tmp_path / "settings.json"}
    paths["record"] = tmp_path / "record.json"
    paths["record"].write_text(EMPTY_RECORD)
    members().write_parquet(paths["data"])
    paths["config"].write_text(json.dumps(SETTINGS))
    onnx.save(graph(), model / "model.onnx")
    arguments = [text for name, path in paths.items() for text in (f"--{name}", path)]
    arguments += ["--name", "club", "--output", tmp_path / "out"]
    variables = {"ML_OUTCOME": str(tmp_path / "outcome.json"), "PYTHONWARNINGS": "error"}
    assert run("model.inspect_model", *arguments, **variables).stderr == ""
    signature = json.loads((tmp_path / "out" / "model.json").read_text())
    assert json.loads((tmp_path / "outcome.json").read_text())["details"] == {
        "version": signature["version"],
        "runtime": "onnx",
        "classes": ["no", "yes"],
        "columns": 4,
    }
    (model / "model.onnx").write_text("broken\n")
    ran = run("model.inspect_model", *arguments, **variables)
    assert ran.returncode == 1
    assert ran.stderr.startswith("inspect-model: model.onnx can't be read: ")
    assert ran.stderr.count("\n") == 1


def test_the_signature_of_a_graph(inspect: Inspect, model: Path) -> None:
    onnx.save(graph(), model / "model.onnx")
    found = inspect()
    columns = [("age", "integer"), ("job", "string"), ("member", "boolean"), ("seen", "datetime")]
    assert re.fullmatch("[0-9a-f]{12}", found.pop("version"))
    assert found == {
        "format": 1,
        "name": "club",
        "task": "classification",
        "runtime": "onnx",
        "columns": [{"name": name, "type": kind, "nullable": True} for name, kind in columns],
        "classes": ["no", "yes"],
        "positive": "yes",
        "example": {"age": 35, "job": "clerk", "member": True, "seen": "2024-01-31T00:00:00Z"},
    }


def test_what_the_schema_or_the_graph_forbids_is_not_nullable(inspect: Inspect, model: Path) -> None:
    onnx.save(graph(TensorProto.INT64), model / "model.onnx")
    found = inspect(columns={"job": {"nullable": False}, "seen": {"nullable": True}})
    nullable = {column["name"]: column["nullable"] for column in found["columns"]}
    assert nullable == {"age": False, "job": False, "member": True, "seen": True}


def test_a_graph_that_answers_nan_without_a_value_needs_it(inspect: Inspect, model: Path) -> None:
    (model / "model.onnx").write_bytes(simple())
    found = inspect()
    assert found["columns"] == [{"name": "age", "type": "integer", "nullable": False}]


def test_the_version_is_of_what_is_served(inspect: Inspect, model: Path) -> None:
    onnx.save(graph(), model / "model.onnx")
    first = inspect()["version"]
    (model / "metrics.json").write_text('{"loss": 0.5}')
    (model / "history.csv").write_text("epoch\n1\n")
    (model / "curve.png").write_bytes(b"a picture")
    assert inspect()["version"] == first
    (model / "labels.txt").write_text("no\nyes\n")
    assert inspect()["version"] != first


def test_classes_in_the_order_that_the_graph_gives(inspect: Inspect, model: Path) -> None:
    made = onnx.load_from_string(simple())
    helper.set_model_props(made, {"classes": '["yes", "no"]'})
    onnx.save(made, model / "model.onnx")
    assert inspect()["classes"] == ["yes", "no"]


def test_classes_of_other_types(inspect: Inspect, model: Path) -> None:
    (model / "model.onnx").write_bytes(simple())
    rows = members().with_columns(pl.col("club") == "yes")
    assert inspect(rows, positive=True)["classes"] == [False, True]
    rows = rows.with_columns(pl.col("club").cast(pl.Float64) * 3)
    found = inspect(rows, positive=3)
    assert (found["classes"], found["positive"]) == ([0, 3], 3)


def test_a_regression(inspect: Inspect, model: Path) -> None:
    (model / "model.onnx").write_bytes(simple(outputs={"flat": (TensorProto.FLOAT, ["N"])}))
    found = inspect(members().with_columns(club=0.5), task="regression", positive=None)
    assert (found["task"], found["classes"], found["positive"]) == ("regression", None, None)


def test_a_predictor_is_parsed_and_not_run(inspect: Inspect, model: Path) -> None:
    (model / "predictor.py").write_text(PREDICTOR + "\nraise SystemExit('was run')\n")
    found = inspect()
    assert found["runtime"] == "python"
    assert [column["nullable"] for column in found["columns"]] == [False, True, True, True, False]
    assert found["example"]["note"] == "unknown"  # a note is one person's


def test_metrics_alone_have_no_runtime(inspect: Inspect, model: Path) -> None:
    (model / "metrics.json").write_text('{"loss": 0.5}')
    assert inspect()["runtime"] is None


def test_the_record_says_how_the_graph_answers_the_training_rows(
    inspect: Inspect, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "AT_ONCE", 7)
    rows = pl.DataFrame({"age": [10.0, 20, 30, 60, 70] * 30, "club": ["yes", "no", "no"] * 50})

    def predictions() -> Any:
        return json.loads((tmp_path / "out" / "record.json").read_text())["predictions"]

    (model / "model.onnx").write_bytes(simple())
    inspect(rows)
    assert predictions() == {"kind": "string", "counts": {"no": 90, "yes": 60}, "missing": 0, "other": 0}
    inspect(rows.with_columns(club=(pl.col("club") == "yes") * 3), positive=3)
    assert predictions()["counts"] == {"0": 90, "3": 60}
    (model / "model.onnx").write_bytes(simple(outputs={"flat": (TensorProto.FLOAT, ["N"])}))
    without = pl.DataFrame({"age": [None, None], "club": ["yes", "no"]}, rows.schema)
    inspect(pl.concat([rows, without]).with_columns(club=0.5), task="regression", positive=None)
    found = predictions()
    assert found["values"] == pytest.approx([0.1, 0.2, 0.3, 0.6, 0.7])
    assert (found["upto"], found["missing"]) == ([30, 60, 90, 120, 150], 2)


BAD_GRAPHS: dict[str, tuple[bytes, str]] = {
    "broken": (b"broken\n", "model.onnx can't be read: "),
    "empty": (b"", "model.onnx can't be read: "),
    "an input that is no column": (
        simple(inputs={"age": TensorProto.FLOAT, "jobb": TensorProto.STRING}),
        "model.onnx has inputs that are no columns ('jobb': did you mean 'job'?)",
    ),
    "the target as input": (
        simple(inputs={"age": TensorProto.FLOAT, "club": TensorProto.STRING}),
        "model.onnx has inputs that are no columns ('club': there are: age, job, member, seen, note)",
    ),
    "a string column as numbers": (
        simple(inputs={"age": TensorProto.FLOAT, "job": TensorProto.FLOAT}),
        "model.onnx has an input 'job' of tensor(float), and the column is string",
    ),
    "a fixed batch": (simple(batch=1), "model.onnx has an input 'age' of shape [1]"),
    "probabilities that are none": (
        simple(
            nodes=[helper.make_node("Add", ["chances", "one"], ["much"])],
            outputs={"much": (TensorProto.FLOAT, ["N", 2])},
        ),
        "model.onnx has probabilities that do not sum to 1 in each row",
    ),
    "probabilities of another number of classes": (
        simple(
            nodes=[helper.make_node("Concat", ["chances", "chances"], ["wide"], axis=1)],
            outputs={"wide": (TensorProto.FLOAT, ["N", 4])},
        ),
        "model.onnx has probabilities of shape [60, 4], not [60, 2]",
    ),
    "a label that is no class": (
        simple(
            nodes=[
                helper.make_node("ArgMax", ["chances"], ["best"], axis=1, keepdims=0),
                helper.make_node("Gather", ["names", "best"], ["label"]),
            ],
            outputs={"label": (TensorProto.STRING, ["N"])},
        ),
        "model.onnx predicts 'maybe', which is no class of 'no', 'yes'",
    ),
    "rows that mix": (
        simple(
            nodes=[
                helper.make_node("Softmax", ["chances"], ["across"], axis=0),
                helper.make_node("ReduceSum", ["across", "last"], ["sums"]),
                helper.make_node("Div", ["across", "sums"], ["mixed"]),
            ],
            outputs={"mixed": (TensorProto.FLOAT, ["N", 2])},
        ),
        "model.onnx answers a row differently alone than among others",
    ),
}


@pytest.mark.parametrize("case", BAD_GRAPHS)
def test_a_graph_that_is_refused(inspect: Inspect, model: Path, case: str) -> None:
    content, message = BAD_GRAPHS[case]
    (model / "model.onnx").write_bytes(content)
    with pytest.raises(StageFailure, match=re.escape(message)):
        inspect()


BAD_PREDICTORS = {
    "def load(folder)\n    pass": "predictor.py can't be parsed: expected ':' (predictor.py, line 1)",
    "def load(folder):\n    pass": "predictor.py has no function 'predict'",
    "def load():\n    pass\ndef predict(rows):\n    pass": "load in predictor.py does not take one argument",
    "def load(folder):\n    pass\ndef predict(model, rows):\n    pass": (
        "predict in predictor.py does not take one argument"
    ),
}


@pytest.mark.parametrize("source", BAD_PREDICTORS)
def test_a_predictor_that_is_refused(inspect: Inspect, model: Path, source: str) -> None:
    (model / "predictor.py").write_text(source)
    with pytest.raises(StageFailure) as refused:
        inspect()
    assert refused.value.cause == BAD_PREDICTORS[source]


def test_settings_that_do_not_fit(inspect: Inspect, model: Path) -> None:
    (model / "metrics.json").write_text("{}")
    with pytest.raises(StageFailure, match=r"data\.positive is 'yep', which is no class of 'club'"):
        inspect(positive="yep")
    with pytest.raises(StageFailure) as refused:
        inspect(target="clubb")
    assert refused.value.cause == "the training rows have no column 'clubb'"
    assert refused.value.hint == "check data.target: did you mean 'club'?"


def test_an_empty_folder(inspect: Inspect) -> None:
    with pytest.raises(StageFailure, match=r"has neither model\.onnx, predictor\.py nor metrics\.json"):
        inspect()


def test_a_graph_is_asked_with_the_rows_that_it_can_take(inspect: Inspect, model: Path) -> None:
    (model / "model.onnx").write_bytes(
        simple(
            inputs={"age": TensorProto.FLOAT, "member": TensorProto.BOOL},
            nodes=[helper.make_node("Identity", ["member"], ["unused"])],
        )
    )
    nullable = {column["name"]: column["nullable"] for column in inspect()["columns"]}
    assert nullable == {"age": False, "member": False}
