"""The inspection of what training wrote: the signature of each sort of model."""

import json
import re
from pathlib import Path
from typing import Any

import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper

from ml_pipeline.model.inspecting import answers
from tests.graphs import members, simple
from tests.model.inspections import EMPTY_RECORD, Inspect, settings
from tests.programs import PREDICTOR, graph, run

pytestmark = pytest.mark.program


def test_the_program_writes_the_signature_or_says_why_not_in_one_line(tmp_path: Path, model: Path) -> None:
    paths = {"model": model, "data": tmp_path / "train.parquet", "config": tmp_path / "settings.json"}
    paths["record"] = tmp_path / "record.json"
    paths["record"].write_text(EMPTY_RECORD)
    paths["text"] = tmp_path / "text.json"
    rules = {"missing": [-999], "commas": [], "formats": {"seen": "%m/%d/%Y"}}
    paths["text"].write_text(json.dumps(rules))
    members().write_parquet(paths["data"])
    paths["config"].write_text(json.dumps(settings()))
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
        "positive": "yes",
        "chosen": False,
        "columns": 4,
    }
    assert signature["columns"][0] == {"name": "age", "type": "integer", "nullable": True, "missing": [-999]}
    assert signature["columns"][3]["format"] == "%m/%d/%Y"
    (model / "model.onnx").write_text("broken\n")
    ran = run("model.inspect_model", *arguments, **variables)
    assert ran.returncode == 1
    assert ran.stderr.startswith("inspect-model: model.onnx can't be read: ")
    assert ran.stderr.count("\n") == 1


def test_the_signature_of_a_graph(inspect: Inspect, model: Path) -> None:
    onnx.save(graph(), model / "model.onnx")
    signature = inspect()
    columns = [("age", "integer"), ("job", "string"), ("member", "boolean"), ("seen", "datetime")]
    assert re.fullmatch("[0-9a-f]{12}", signature.pop("version"))
    assert signature == {
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
    signature = inspect(columns={"job": {"nullable": False}, "seen": {"nullable": True}})
    nullable = {column["name"]: column["nullable"] for column in signature["columns"]}
    assert nullable == {"age": False, "job": False, "member": True, "seen": True}


def test_a_graph_that_answers_nan_without_a_value_needs_it(inspect: Inspect, model: Path) -> None:
    (model / "model.onnx").write_bytes(simple())
    signature = inspect()
    assert signature["columns"] == [{"name": "age", "type": "integer", "nullable": False}]


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
    signature = inspect(rows, positive=3)
    assert (signature["classes"], signature["positive"]) == ([0, 3], 3)
    rare = rows.with_columns(club=(pl.int_range(pl.len()) % 3 > 0) * 3)
    assert inspect(rare, positive=None)["positive"] == 0  # the rarer one


def test_a_regression(inspect: Inspect, model: Path) -> None:
    (model / "model.onnx").write_bytes(simple(outputs={"flat": (TensorProto.FLOAT, ["N"])}))
    signature = inspect(members().with_columns(club=0.5), task="regression", positive=None)
    assert (signature["task"], signature["classes"], signature["positive"]) == ("regression", None, None)


def test_a_predictor_is_parsed_and_not_run(inspect: Inspect, model: Path) -> None:
    (model / "predictor.py").write_text(PREDICTOR + "\nraise SystemExit('was run')\n")
    signature = inspect()
    assert signature["runtime"] == "python"
    assert [column["nullable"] for column in signature["columns"]] == [False, True, True, True, False]
    assert signature["example"]["note"] == "unknown"  # a note is one person's


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
    recorded = predictions()
    assert recorded["values"] == pytest.approx([0.1, 0.2, 0.3, 0.6, 0.7])
    assert (recorded["upto"], recorded["missing"]) == ([30, 60, 90, 120, 150], 2)


def test_a_graph_is_asked_with_the_rows_that_it_can_take(inspect: Inspect, model: Path) -> None:
    (model / "model.onnx").write_bytes(
        simple(
            inputs={"age": TensorProto.FLOAT, "member": TensorProto.BOOL},
            nodes=[helper.make_node("Identity", ["member"], ["unused"])],
        )
    )
    nullable = {column["name"]: column["nullable"] for column in inspect()["columns"]}
    assert nullable == {"age": False, "member": False}
