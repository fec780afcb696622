"""Any name of a column gives what the name "colour" gives, or one line from `validate-data`."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ml_pipeline.columns.arrays import to_array
from ml_pipeline.gate import batches
from ml_pipeline.model import files
from ml_pipeline.model.inspecting import facts
from ml_pipeline.training.tabular import columns as fitted
from ml_pipeline.training.tabular.fit import Place, fit
from tests.data.tables import Tables

pytestmark = pytest.mark.program

USED = (
    "count",
    "len",
    "index",
    "rows",
    "value",
    "literal",
    "prediction",
    "probabilities",
    "file",
    "a",
    "a.npy",
)
BY_NAME = {"key_like", "code", "row_number"}  # warnings that the name itself causes
ROLES = {"feature": {}, "target": {}, "excluded": {"exclude": True}}
VALUES: dict[str, list[Any]] = {
    "integer": [row % 7 for row in range(60)],
    "number": [row % 11 / 4 for row in range(60)],
    "string": ["red" if row % 4 else "blue" for row in range(60)],
    "boolean": [row % 3 == 0 for row in range(60)],
}


def outcome(tables: Tables, name: str, role: str, kind: str, suffix: str) -> Any:
    """Return what the stages, the archive of rows and the trainer make of the table, without names."""
    other, target = ("\u00e9", name) if role == "target" else (name, "\u00e9")
    frame = pl.DataFrame({
        "first": [row * 7 % 13 for row in range(60)],
        name: VALUES[kind],
        "\u00e9": [row % 2 for row in range(60)] if role != "target" else [row % 5 for row in range(60)],
    })  # fmt: skip
    path = tables.folder / f"t.{suffix}"
    if suffix == "csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    is_number = kind == "number" and role == "target"
    changes: dict[str, Any] = {
        "path": path.name, "target": target, "task": "regression" if is_number else "classification",
        "exclude": [name] if role == "excluded" else [],
    }  # fmt: skip
    report = tables.validated(**changes)
    if "failure" in report:
        assert "\n" not in report["failure"]
        return "refused", report["failure"]
    rows = tables.rows(**changes)
    train = rows.filter(held=False).drop("held")
    train = train.select(each for each in train.columns if role != "excluded" or each != name)
    features = train.drop(target)
    columns = facts.columns(train, target)
    batches.write_npz(
        tables.output / "rows.npz",
        {each.name: to_array(features[each.name], each.type).astype(_plain(each.type)) for each in columns},
    )
    (read,) = files.read(tables.output / "rows.npz", columns, 100)
    encoded = fitted.encode(fitted.fit(features, 8), features)
    return (
        [{key: value for key, value in column.items() if key != "name"} for column in report["columns"]],
        sorted(each["rule"] for each in report["warnings"] if each["rule"] not in BY_NAME),
        report["target"].get("classes"),
        rows.rows(),
        [read[each.name].tolist() for each in columns],
        encoded.numeric.tolist(),
        encoded.codes.tolist(),
        list(facts.example(train, columns).values()),
        other in rows.columns,
    )


def _plain(column_type: str) -> Any:
    return np.str_ if column_type == "string" else np.float64


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return Tables(tmp_path_factory.mktemp("names"))


NAMES = st.one_of(
    st.sampled_from(
        [*USED, "", " ", "*", "^a$", "^.*$", "x\ty", "x\ny", "first ", "ML", "$", '"', "'", "a,b", "a;b"]
    ),
    st.text(st.characters(codec="utf-8"), max_size=12),
).filter(lambda name: name not in {"first", "\u00e9", "held", "colour"})


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    NAMES,
    st.sampled_from(sorted(ROLES)),
    st.sampled_from(sorted(VALUES)),
    st.sampled_from(["csv", "parquet"]),
)
@example("count", "feature", "string", "parquet")
@example("len", "target", "string", "csv")
@example('"', "feature", "string", "csv")
@example("", "excluded", "boolean", "csv")
@example("*", "excluded", "integer", "parquet")
@example("^a$", "feature", "integer", "csv")
@example("a.npy", "feature", "string", "csv")
@example("prediction", "target", "number", "csv")
def test_a_name_decides_nothing(tables: Tables, name: str, role: str, kind: str, suffix: str) -> None:
    result = outcome(tables, name, role, kind, suffix)
    if result[0] == "refused":
        assert "whose name" in result[1] or "has no name" in result[1] or not name.isprintable()
    else:
        assert result == outcome(tables, "colour", role, kind, suffix)


def test_names_of_the_code_are_features_like_others(tmp_path: Path) -> None:
    values = {name: [(row * (place + 3)) % 17 for row in range(60)] for place, name in enumerate(USED[:8])}
    frame = pl.DataFrame(values).with_columns(pl.Series("label", [row % 2 for row in range(60)]))
    renamed = frame.rename({name: f"c{place}" for place, name in enumerate(frame.columns[:-1])})
    losses = []
    for each, folder in ((frame, tmp_path / "own"), (renamed, tmp_path / "plain")):
        folder.mkdir()
        place = Place(0, "cpu", folder)
        losses.append(
            fit(each, "label", "classification", {"epochs": 1}, folder, place)["metrics"]["validation_loss"]
        )
    assert losses[0] == losses[1]
