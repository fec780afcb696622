"""What error bars cost: a holdout of a million rows, 40 metrics, 1,000 bootstrap rounds.

    .venv/bin/python benchmarks/gate.py           a million rows, 5 times both sides
    .venv/bin/python benchmarks/gate.py --quick   200,000 rows, 3 times both sides, under 50 s

The 40 metrics are those that the gate measures, of a candidate and of a baseline: 13 of a classifier and
7 of a regression, each twice. Ours is the stage's own code (`bootstrap`, and the pair's differences come
with it); beside it, scikit-learn's functions on resampled rows, in a plain loop of which one round is run
and the rest is multiplied. Both start from answers in memory and end with values for each round; they
take turns.

Also timed: the search over slices of a table of 12 columns.

It runs on the packages that the stage has (src/ml_pipeline/requirements/evaluate.txt); where these are
missing it says so. The last line is one JSON object: `bootstrap_vs_sklearn` is how many times as fast.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

try:
    import numpy as np
    import polars as pl
    from rounds import alternate, ratio, say

    from ml_pipeline.gate import metrics, slices
    from ml_pipeline.gate.metrics import Answers
    from ml_pipeline.gate.uncertainty import bootstrap, errors, labels
except ModuleNotFoundError as missing:
    sys.exit(f"{missing}; run it with .venv/bin/python, which `make style` builds")

ROUNDS = 1000


def people(rows: int) -> tuple[Any, list[Answers]]:
    """Return classes, and what two images say of them: the same signal, each with noise of its own."""
    random = np.random.default_rng(0)
    signal = random.normal(size=rows)
    truth = (signal + random.normal(size=rows) > 0.8).astype(np.int64)

    def image() -> Answers:
        share = 1 / (1 + np.exp(-2 * (signal - 0.8 + 0.3 * random.normal(size=rows))))
        return Answers((share > 0.5).astype(np.int64), np.column_stack([1 - share, share]))

    return truth, [image(), image()]


def prices(rows: int) -> tuple[Any, list[Answers]]:
    random = np.random.default_rng(1)
    truth = 1 + random.gamma(2, 1, rows)
    return truth, [Answers(truth + random.normal(size=rows)) for _ in range(2)]


def table(rows: int) -> pl.DataFrame:
    random = np.random.default_rng(2)
    texts = {f"text{i}": np.array(list("abcdefgh"))[random.integers(0, 8, rows)] for i in range(6)}
    numbers = {f"number{i}": random.normal(size=rows) for i in range(6)}
    return pl.DataFrame({**texts, **numbers})


def one_by_one(classes: tuple[Any, list[Answers]], values: tuple[Any, list[Answers]]) -> int:
    """Score rows drawn once with scikit-learn; return how many numbers that gives."""
    random = np.random.default_rng(0)
    count = 0
    for (truth, images), score in ((classes, _classification), (values, metrics.regression)):
        drawn = random.integers(0, len(truth), len(truth))
        for image in images:
            shares = None if image.probabilities is None else image.probabilities[drawn]
            count += len(score(truth[drawn], Answers(image.predicted[drawn], shares)).values)
    return count


def _classification(truth: Any, answers: Answers) -> metrics.Scores:
    return metrics.classification(truth, answers, 2, 1)


def main() -> None:
    summary, _, details = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rows and turns")
    options = parser.parse_args()
    rows, turns = (200_000, 3) if options.quick else (1_000_000, 5)
    classes, values, columns = people(rows), prices(rows), table(rows)
    print(f"{rows:,} rows, {ROUNDS} bootstrap rounds, against {turns} rounds of scikit-learn times {ROUNDS}")
    seconds = alternate(
        turns,
        classification=lambda: (
            bootstrap.classification(*classes, 2, 1),
            labels.intervals(*classes, [0, 1], 1),
        ),
        regression=lambda: errors.intervals(*values),
        sklearn=lambda: one_by_one(classes, values),
    )
    ours = [sum(both) for both in zip(seconds["classification"], seconds["regression"], strict=True)]
    faster = say("times as fast as scikit-learn", ratio(seconds["sklearn"], ours, ROUNDS))
    truth, (candidate, baseline) = classes
    answers = truth, candidate.predicted, baseline.predicted
    clock = time.perf_counter()
    searched = slices.search(columns, [], *answers, regression=False)
    found = {
        "bootstrap_vs_sklearn": faster,
        "bootstrap_s": round(min(ours), 2),
        "rows": rows,
        "metrics": one_by_one(classes, values),
        "rounds": ROUNDS,
        "slices": len(searched.names) if searched else 0,
        "slices_s": round(time.perf_counter() - clock, 2),
        "cpus": os.cpu_count(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
