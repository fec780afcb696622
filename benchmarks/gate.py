"""What error bars cost: a holdout of a million rows, 40 metrics, 1,000 bootstrap rounds.

    python3 benchmarks/gate.py           a million rows, 5 rounds of scikit-learn
    python3 benchmarks/gate.py --quick   200,000 rows, 1 round of scikit-learn, under 50 s

The 40 metrics are those that the gate measures, of a candidate and of a baseline: 13 of a classifier and
7 of a regression, each twice. Ours is the stage's own code (`bootstrap`, and the pair's differences come
with it); beside it, scikit-learn's functions on resampled rows, in a plain loop of which a few rounds are
run and the rest is multiplied. Both start from answers in memory and end with values for each round.

Also timed: the search over slices of a table of 12 columns.

It runs on the packages that the stage has (src/ml_pipeline/requirements/evaluate.txt); where these are
missing it says so. The last line is one JSON object: `bootstrap_vs_sklearn` is how many times faster.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

try:
    import numpy as np
    import polars as pl

    from ml_pipeline.stages.judging import bootstrap, intervals, metrics, slices
    from ml_pipeline.stages.judging.metrics import Answers
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


def timed(name: str, work: Callable[[], Any]) -> tuple[Any, float]:
    clock = time.monotonic()
    found = work()
    seconds = time.monotonic() - clock
    print(f"{name:28} {seconds:8.2f} s", flush=True)
    return found, seconds


def one_by_one(classes: tuple[Any, list[Answers]], values: tuple[Any, list[Answers]], rounds: int) -> int:
    """Resample rows and score them with scikit-learn; return how many numbers each of the rounds gives."""
    random = np.random.default_rng(0)
    count = 0
    for _ in range(rounds):
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
    parser.add_argument("--quick", action="store_true", help="fewer rows, one round of scikit-learn")
    options = parser.parse_args()
    rows, sample = (200_000, 1) if options.quick else (1_000_000, 5)
    classes, values, columns = people(rows), prices(rows), table(rows)
    resampled, first = timed("bootstrap, classification", lambda: bootstrap.classification(*classes, 2, 1))
    also, second = timed("bootstrap, regression", lambda: bootstrap.regression(*values))
    count, loop = timed(f"scikit-learn, {sample} rounds", lambda: one_by_one(classes, values, sample))
    truth, (candidate, baseline) = classes
    answers = truth, candidate.predicted, baseline.predicted
    searched, searching = timed("slices", lambda: slices.search(columns, [], *answers, regression=False))
    spread = intervals.difference("log_loss", 0, resampled[0]["log_loss"], resampled[1]["log_loss"])
    print(f"log loss, candidate - baseline: {spread(0.95)}")
    whole = loop / sample * ROUNDS
    found = {
        "bootstrap_vs_sklearn": round(whole / (first + second)),
        "bootstrap_s": round(first + second, 2),
        "classification_s": round(first, 2),
        "regression_s": round(second, 2),
        "sklearn_s": round(whole),
        "sklearn_rounds_run": sample,
        "rows": rows,
        "metrics": count,
        "metrics_resampled": sum(len(image) for image in (*resampled, *also)),
        "rounds": ROUNDS,
        "slices": len(searched.names) if searched else 0,
        "slices_s": round(searching, 2),
        "cpus": os.cpu_count(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
