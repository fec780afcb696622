"""The gate's intervals and decisions on simulated holdouts, as benchmarks/coverage.py measures them."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytestmark = pytest.mark.program

HOLDOUTS = 25


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks/coverage.py"
    specification = importlib.util.spec_from_file_location("benchmarks_coverage", path)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_what_is_claimed_is_true(coverage: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "LARGE", 100_000)
    cases = list(coverage.cases(HOLDOUTS, most_rows=300))
    covered = [hit for case in cases for every in case.covered.values() for hit in every]
    equal = [status for case in cases for every in case.equal.values() for status in every]
    worse = [status for case in cases for every in case.worse.values() for status in every]
    assert len(covered) > 1000
    assert np.mean(covered) >= 0.93
    assert np.mean([status == "failed" for status in equal]) <= 0.01
    assert np.mean([status == "passed" for status in worse]) <= 0.025
    found = coverage.summary(cases)
    assert set(found) == {"worst_coverage", "false_failures_of_1000", "false_passes_of_1000", "metrics"}
    assert len(coverage.table(cases).splitlines()) == 2 + len(cases)
