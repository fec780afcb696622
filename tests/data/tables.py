"""Small CSV tables and the data stages run on them in this process."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.common.reading import read
from ml_pipeline.data.settings import Settings
from ml_pipeline.data.split import split
from ml_pipeline.data.validate import validate
from tests.people import settings


class Tables:
    """A folder of files, and what the stages say of them. The target is `y`, a regression."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "data"
        self.output = folder / "out"
        self.folder.mkdir()

    def put(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def settings(self, **changes: Any) -> Settings:
        common = {"path": "t.csv", "target": "y", "task": "regression", "positive": None}
        return read(Settings, settings(**(common | changes)))

    def validated(self, **changes: Any) -> dict[str, Any]:
        """Return the report, of a table that breaks rules too."""
        try:
            validate(self.settings(**changes), self.folder, self.output)
        except StageFailure as failure:
            return (
                {"failure": str(failure), **failure.details} if failure.details else {"failure": str(failure)}
            )
        report: dict[str, Any] = json.loads((self.output / "report.json").read_text())
        return report

    def types(self, **changes: Any) -> dict[str, str]:
        report = self.validated(**changes)
        assert "failure" not in report, report["failure"]
        return {column["name"]: column["type"] for column in report["columns"]}

    def warnings(self, **changes: Any) -> dict[tuple[str, str], str]:
        report = self.validated(**changes)
        return {(each["column"], each["rule"]): each["message"] for each in report["warnings"]}

    def rows(self, **changes: Any) -> pl.DataFrame:
        """Return all rows of the split, in their order, with a column `held`."""
        split(self.settings(**changes), self.folder, self.output)
        train, held = (pl.read_parquet(self.output / f"{name}.parquet") for name in ("train", "holdout"))
        return pl.concat([train.with_columns(held=False), held.with_columns(held=True)], how="diagonal")


def column(values: list[str], name: str = "x", separator: str = ",") -> str:
    """Return a CSV of a column, and of a target `y` that goes up."""
    return columns({name: values}, separator)


def columns(values: Mapping[str, list[str]], separator: str = ",") -> str:
    """Return a CSV of columns of one length, quoted where needed, and of a target `y` that goes up."""
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=separator, lineterminator="\n")
    writer.writerow([*values, "y"])
    rows = zip(*values.values(), strict=True)
    writer.writerows([*row, str(index + index % 3)] for index, row in enumerate(rows))
    return stream.getvalue()
