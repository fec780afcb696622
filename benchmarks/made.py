"""A table of people, and the schema that it is clean by."""

from typing import Any

import numpy as np
import polars as pl

JOBS = ["clerk", "smith", "baker", "nurse"]


def people(rows: int) -> pl.DataFrame:
    """20 columns, clean by the schema below."""
    random = np.random.default_rng(1)
    columns: dict[str, Any] = {"id": np.arange(rows)}
    for i in range(9):
        columns[f"number{i}"] = random.uniform(0, 100, rows)
    for i in range(5):
        columns[f"integer{i}"] = random.integers(0, 100, rows)
    for i in range(4):
        columns[f"job{i}"] = np.array(JOBS)[random.integers(0, 4, rows)]
    columns["code"] = np.char.add("p", random.integers(1000, 9999, rows).astype(str))
    return pl.DataFrame(columns)


def rules() -> dict[str, dict[str, Any]]:
    columns: dict[str, dict[str, Any]] = {"id": {"type": "integer", "unique": True, "nullable": False}}
    for i in range(9):
        columns[f"number{i}"] = {"type": "number", "min": 0, "max": 100, "nullable": False}
    for i in range(5):
        columns[f"integer{i}"] = {"type": "integer", "min": 0, "max": 100, "nullable": False}
    for i in range(4):
        columns[f"job{i}"] = {"type": "string", "allowed": JOBS, "nullable": False}
    return columns | {"code": {"type": "string", "pattern": "p[0-9]{4}", "nullable": False}}
