"""A table larger than what its check may take: what the kernel counts as its own."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.people import settings
from tests.programs import SOURCE, peak_memory

pytestmark = pytest.mark.program

PARTS, ROWS, COLUMNS = 8, 1_000_000, 30
SHARE = 0.5  # of the table, at most


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of Parquet files of 1.9 GB in memory."""
    made = tmp_path_factory.mktemp("large")
    random = np.random.default_rng(0)
    part = pl.DataFrame({f"x{i}": random.normal(size=ROWS).astype(np.float32) for i in range(COLUMNS - 2)})
    (made / "data").mkdir()
    for i in range(PARTS):
        answer = pl.Series(random.integers(0, 2, ROWS))
        whole = part.cast(pl.Float64).with_columns(id=pl.int_range(i * ROWS, (i + 1) * ROWS), answer=answer)
        whole.write_parquet(made / "data" / f"{i}.parquet", compression="uncompressed")
    yield made
    shutil.rmtree(made)  # pytest would keep it for a while


@pytest.mark.timeout(400)  # 46 and 78 s on a busy machine
@pytest.mark.parametrize("command", ["validate", "split"])
def test_a_check_takes_less_memory_than_the_table(folder: Path, command: str) -> None:
    columns = {f"x{i}": {"min": -100, "max": 100, "nullable": False} for i in range(COLUMNS - 2)}
    document = settings(path="data", positive=1, columns=columns | {"id": {"unique": True}})
    (folder / "settings.json").write_text(json.dumps(document))
    arguments = ["--config", folder / "settings.json", "--data", folder, "--output", folder / command]
    program = [sys.executable, "-m", f"ml_pipeline.data.{command}", *arguments]
    variables = os.environ | {"PYTHONPATH": str(SOURCE), "POLARS_MAX_THREADS": "2"}  # each has buffers
    assert peak_memory(program, variables) < SHARE * PARTS * ROWS * COLUMNS * 8
