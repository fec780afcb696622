"""The table of metrics: what the rules, the summary and docs/metrics.md read."""

from pathlib import Path
from typing import get_args

import pytest

from ml_pipeline.common.metrics import document, table
from ml_pipeline.common.metrics.metric import Family, Metric
from ml_pipeline.common.metrics.table import MAIN, METRICS, names

ROOT = Path(__file__).parents[2]

each = pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)


@pytest.mark.documents
def test_the_page_of_metrics_is_made_from_the_table() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert page == document.document(), f"write it again: {document.__doc__}"


@each
def test_every_metric_is_defined(metric: Metric) -> None:
    assert metric.title
    assert metric.definition.endswith(".")
    assert metric.source
    assert metric.range
    assert not metric.interval.endswith(".")
    assert not metric.missing.endswith(".")


def test_every_metric_is_in_a_family_once() -> None:
    every = [name for family in get_args(Family) for name in names(family)]
    assert sorted(every) == sorted(METRICS)
    assert len(METRICS) == 50


def test_the_main_metrics_are_in_their_order() -> None:
    main = "accuracy roc_auc f1 rmse mae r2 latency_p95_ms throughput_rows_per_s memory_mb"
    assert list(MAIN) == main.split()


@pytest.mark.parametrize(
    "name", ["batch_latency_p50_ms", "missing_value_refusals", "image_mb", "prediction_drift"]
)
def test_what_has_no_interval(name: str) -> None:
    assert not METRICS[name].has_interval


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("accuracy", 0.86123, "0.8612"),
        ("latency_p95_ms", 12.5, "12.50 ms"),
        ("memory_mb", 1431.4, "1,431 MB"),
        ("throughput_rows_per_s", 12345.6, "12,346/s"),
        ("wait_ms", 1, "1.00 ms"),  # a project's own
        ("profit", 1234.56, "1234.6"),
    ],
)
def test_a_value_as_people_read_it(name: str, value: float, text: str) -> None:
    assert table.written(name, value) == text
