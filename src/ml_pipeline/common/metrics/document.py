"""Print docs/metrics.md, which is made from the table of metrics.

python -m ml_pipeline.common.metrics.document > docs/metrics.md
"""

import re
import textwrap
from collections.abc import Iterator
from typing import get_args

from ml_pipeline.common import command_line
from ml_pipeline.common.metrics.metric import NONE, Family, Metric
from ml_pipeline.common.metrics.table import MAIN, METRICS

WIDTH = 120
HEAD = """\
# Metrics

Every metric below can be used in a gate (see docs/gate.md), and verdict.json has its value. A metric is
measured where it is defined: a classifier has no RMSE. The gate's log, verdict.json and the report say
why a metric was not measured.

**Intervals** are at 95 % unless the gate has another `confidence`. Those of labels, errors and groups are
computed; those of probabilities are percentiles of 1,000 rounds of a bootstrap (Efron 1979), in which both
images are measured on the same rows. The difference to the baseline has an interval too: if nothing else is
named below, it is made from both intervals and the correlation of the two metrics (Newcombe 1998; Zou and
Donner 2008), or from the rows' differences. The value is always inside. A holdout of fewer than 30 rows has
no intervals. A metric without an interval can't be used with `confidence`.

**The summary** shows, where they are measured, in this order: {main}. The report shows all metrics.

A metric that the training writes to metrics.json under a name of its own can be used in a gate too. If the
gate has only `max`, less is better; otherwise more is better. Values are written with a unit if the name
ends in `_ms`, `_mb` or `_per_s`.

The source of this page is the table in [`common/metrics`](../src/ml_pipeline/common/metrics/table.py).
Write it with `python -m ml_pipeline.common.metrics.document > docs/metrics.md`.
"""
FAMILIES: dict[Family, tuple[str, str]] = {
    "quality": (
        "Quality",
        "Measured on all rows of the holdout. TP, FP, TN and FN are the true and false positives and "
        "negatives. There is a positive class if the model has two classes and `data.positive` or the "
        "model's signature names one of them. Probabilities of a row are divided by their sum. A prediction "
        "that is not a class of the model is wrong.",
    ),
    "fairness": (
        "Fairness",
        "Measured for the groups of each column in `data.sensitive` and, if there are several, for the "
        "groups where they meet; a column of numbers with more than 20 values is cut at its quartiles. The "
        "metric is that of the worst column, which the verdict names. A rate of fewer than 30 rows is left "
        "out: a few rows would make the largest difference.",
    ),
    "slices": (
        "Slices",
        "A slice is the rows with one value of one column, or with one value each of two columns, if these "
        "are at least 50 rows and not all. Of a column the 50 most frequent values count, a column of "
        "numbers with more than 20 values is cut at its quartiles, and the first 20 columns are paired, "
        "those of `data.sensitive` and `data.slices` first. Columns of dates take part only if the project "
        "names them. Slices of columns that the project names share half of the allowed error, all others "
        "the other half.",
    ),
    "behaviour": (
        "Behaviour",
        "How the answers compare with other answers. None of these but `train_holdout_gap` needs the true "
        "values.",
    ),
    "performance": (
        "Speed and size",
        "Measured on the running image, on the machine that runs the gate. The baseline, if this project "
        "built it, is asked in turn with the candidate.",
    ),
    "data": ("Data", "Measured by the stage validate-data."),
}


def document() -> str:
    """Return docs/metrics.md."""
    main = ", ".join(f"`{name}`" for name in MAIN)
    parts = [_filled(HEAD.format(main=main))]
    for family in get_args(Family):
        title, text = FAMILIES[family]
        parts.append(f"## {title}\n\n{_fill(text)}\n")
        parts += [_section(metric) for metric in METRICS.values() if metric.family == family]
    return "\n".join(parts)


def _section(metric: Metric) -> str:
    title = metric.title[0].upper() + metric.title[1:]
    lines = "\n".join(_fill(f"- {line}", indent="  ") for line in _facts(metric))
    return f"### `{metric.name}`\n\n{_fill(f'{title}. {metric.definition}')}\n\n{lines}\n"


def _facts(metric: Metric) -> Iterator[str]:
    unit = "" if metric.unit is NONE else f" Unit: {metric.unit.name}."
    yield f"{'Higher' if metric.higher_is_better else 'Lower'} is better. Range: {metric.range}.{unit}"
    yield f"Interval: {metric.interval or 'none'}."
    if metric.missing:
        yield f"Not measured if {metric.missing}."
    yield f"Source: {metric.source}."


def _filled(text: str) -> str:
    paragraphs = [paragraph.replace("\n", " ") for paragraph in text.strip().split("\n\n")]
    return "\n\n".join(_fill(paragraph) for paragraph in paragraphs) + "\n"


def _fill(text: str, indent: str = "") -> str:
    # The texts name files from the root; links start from the page.
    text = re.sub(r"see docs/(\w+\.md)", r"see [\1](\1)", text)
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )


def main() -> None:
    """Print the page."""
    parser = command_line.parser("common.metrics.document", __doc__)
    parser.parse_args()
    print(document(), end="")


if __name__ == "__main__":
    main()
