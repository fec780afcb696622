"""How often the gate's intervals and decisions are right: simulated holdouts with a known truth.

    .venv/bin/python benchmarks/coverage.py            100 holdouts of each case
    .venv/bin/python benchmarks/coverage.py --quick    40 holdouts of each case
    .venv/bin/python benchmarks/coverage.py --write    the same, and the table in docs/gate.md

A case is a task, its shape (how many classes, how rare the positive one is, how errors are distributed) and
a number of rows. In each holdout two candidates meet one baseline: one that is as good, and one that is worse
by twice the tolerance. The gate is `max_regression` with `confidence = 0.95`. The code is the gate's own.

The last line is one JSON object: the worst coverage of what is claimed, in percent; how many of 1,000
candidates that are as good are failed, and how many of 1,000 that are twice the tolerance worse are passed,
each of the worst metric over all cases; and how many metrics there are.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

try:
    import numpy as np
    from scipy.signal import lfilter

    from ml_pipeline.common.gates import CONFIDENCE, Difference, Gate, Measured
    from ml_pipeline.common.rules import decide
    from ml_pipeline.gate import metrics
    from ml_pipeline.gate.arrays import Floats, Integers
    from ml_pipeline.gate.metrics import Answers
    from ml_pipeline.gate.uncertainty import errors, label_influences, labels
    from ml_pipeline.gate.uncertainty.cells import count
    from ml_pipeline.gate.uncertainty.labels import MetricIntervals
    from ml_pipeline.gate.uncertainty.units import Units, blocks
except ModuleNotFoundError as missing:
    sys.exit(f"{missing}; run it with .venv/bin/python, which `make style` builds")

PAGE = Path(__file__).resolve().parents[1] / "docs/gate.md"
LARGE = 400_000  # rows that stand for the truth
BEGIN, END = "<!-- made by benchmarks/coverage.py --write -->", "<!-- end -->"
Values = dict[str, float]


@dataclass
class Case:
    """One case, and what its holdouts said: metric → a list over the holdouts."""

    name: str
    rows: int
    covered: dict[str, list[bool]] = field(default_factory=dict)
    too_good: dict[str, list[bool]] = field(default_factory=dict)  # the misses that show the model too good
    equal: dict[str, list[str]] = field(default_factory=dict)  # the decision on an equal candidate
    worse: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Classes:
    """Classes of a noisy signal; `rare` is how much likelier the first class is."""

    name: str
    classes: int
    rare: float = 0.0
    signal: float = 2.0
    together: int = 1  # rows of one unit
    last: float = 0.0  # how much a row depends on the one before it in time

    @property
    def positive(self) -> int | None:
        return 1 if self.classes == 2 else None

    def draw(self, random: np.random.Generator, rows: int) -> tuple[Integers, list[Answers]]:
        """Return a truth, and the answers of a candidate, a baseline and a worse candidate."""
        shape = (rows, self.classes)
        strength = _normal(random, shape, self.together, self.last)
        strength[:, 0] += self.rare
        truth = (self.signal * strength + random.gumbel(size=shape)).argmax(axis=1)
        noise = [_normal(random, shape, self.together, self.last) for _ in range(3)]
        guessed = [(strength + 0.3 * own).argmax(axis=1) for own in noise]
        spoiled = np.where(random.random(rows) < 0.25, random.integers(0, self.classes, rows), guessed[2])
        return truth, [Answers(guessed[0]), Answers(guessed[1]), Answers(spoiled)]

    def values(self, truth: Integers, answers: Answers) -> Values:
        counted = count(truth, answers.indices)
        found = label_influences.of(counted, 1, self.classes, self.positive)
        return {name: value for name, (value, _) in found.items()}

    def intervals(self, truth: Integers, images: list[Answers]) -> MetricIntervals:
        units = _units(len(truth), self.together, self.last)
        return labels.intervals(truth, images, range(self.classes), self.positive, units)


@dataclass(frozen=True)
class Numbers:
    """Numbers, predicted with errors whose mean square is 1."""

    name: str
    shape: Callable[[np.random.Generator, int], Floats]
    together: int = 1  # rows of one unit
    last: float = 0.0  # how much a row depends on the one before it in time

    def draw(self, random: np.random.Generator, rows: int) -> tuple[Floats, list[Answers]]:
        truth = 5 + random.gamma(2, 2, rows)  # far from 0, near which MAPE has no mean
        shared = self.shape(random, rows)
        each = [0.9 * shared + 0.436 * self.shape(random, rows) for _ in range(3)]
        return truth, [Answers(truth + each[0]), Answers(truth + each[1]), Answers(truth + 1.3 * each[2])]

    def values(self, truth: Floats, answers: Answers) -> Values:
        found = {name: value for name, (value, _) in errors.means(truth, answers.values).items()}
        found["r2"] = 1 - found["r2"]
        sizes = np.abs(answers.values - truth)
        levels = np.quantile(sizes, list(metrics.QUANTILES.values()), method="inverted_cdf").tolist()
        return found | dict(zip(metrics.QUANTILES, levels, strict=True))

    def intervals(self, truth: Floats, images: list[Answers]) -> MetricIntervals:
        return errors.intervals(truth, images, _units(len(truth), self.together, self.last))


def _units(rows: int, together: int, last: float) -> Units | None:
    if last:
        return blocks(np.arange(rows))
    return Units(np.arange(rows) // together) if together > 1 else None


def _normal(
    random: np.random.Generator, shape: tuple[int, ...], together: int = 1, last: float = 0.0
) -> Floats:
    """Draw normal numbers; a unit's rows share half of the variance, and `last` makes an AR(1) series."""
    own = random.normal(size=shape)
    if last:
        own[1:] *= (1 - last**2) ** 0.5
        series: Floats = lfilter([1.0], [1.0, -last], own, axis=0)
        return series
    if together == 1:
        return own
    units = random.normal(size=(-(-shape[0] // together), *shape[1:]))
    shared: Floats = 0.5**0.5 * (np.repeat(units, together, axis=0)[: shape[0]] + own)
    return shared


Task = Classes | Numbers


def tasks() -> Iterator[tuple[Task, tuple[int, ...]]]:
    """Yield each task with its numbers of rows."""
    yield Classes("2 classes", 2), (50, 300, 1000)
    yield Classes("2 classes, 10 % positive", 2, 2.0), (50, 300, 1000)
    yield Classes("2 classes, 1 % positive", 2, 3.6), (300, 3000)
    yield Classes("10 classes", 10, signal=3.0), (50, 300, 1000)
    yield Classes("32 classes", 32, signal=4.0), (100, 1000)
    yield Numbers("normal errors", lambda random, rows: random.normal(size=rows)), (30, 300, 1000)
    yield Numbers("log-normal errors", _log_normal), (100, 1000)
    yield Numbers("t3 errors", lambda random, rows: random.standard_t(3, rows) / 3**0.5), (100, 1000)
    yield Classes("2 classes, groups of 20 rows", 2, together=20), (600, 3000)
    yield Classes("10 classes, groups of 5 rows", 10, signal=3.0, together=5), (300, 1000)
    grouped = Numbers(
        "normal errors, groups of 10 rows", lambda random, rows: _normal(random, (rows,), 10), 10
    )
    yield grouped, (300, 1000)
    for last in (0.5, 0.9):
        yield Classes(f"2 classes, time series ({last})", 2, last=last), (300, 1000)
        yield Numbers(f"normal errors, time series ({last})", _series(last), last=last), (300, 1000)


def _series(last: float) -> Callable[[np.random.Generator, int], Floats]:
    return lambda random, rows: _normal(random, (rows,), last=last)


def _log_normal(random: np.random.Generator, rows: int) -> Floats:
    return np.exp(random.normal(size=rows)) * random.choice([-1, 1], rows) / np.e


def simulated(task: Task, rows: int, true: list[Values], holdouts: int) -> Case:
    """Draw holdouts; `true` has the metrics of the three images in all possible rows."""
    case = Case(task.name, rows)
    for seed in range(holdouts):
        truth, images = task.draw(np.random.default_rng([seed, rows]), rows)
        measured = [task.values(truth, image) for image in images]
        found = {
            "equal": task.intervals(truth, images[:2]),
            "worse": task.intervals(truth, [images[2], images[1]]),
        }
        for name, interval in found["equal"].values.items():
            ends = interval(CONFIDENCE)
            if ends is None:
                continue
            case.covered.setdefault(name, []).append(ends[0] <= true[0][name] <= ends[1])
            too_good = ends[0] > true[0][name] if name in _HIGHER else ends[1] < true[0][name]
            case.too_good.setdefault(name, []).append(too_good)
        for which, candidate in (("equal", 0), ("worse", 2)):
            for name, apart in found[which].differences.items():
                loss = abs(true[2][name] - true[1][name]) / 2
                value, before = measured[candidate][name], measured[1][name]
                compared = Measured(value, before, difference=Difference(value - before, apart))
                gate = Gate(name, max_regression=loss, confidence=CONFIDENCE)
                (decision,) = decide([gate], {name: compared})
                said = case.equal if which == "equal" else case.worse
                said.setdefault(name, []).append(decision.status)
    # Leave out a metric that seldom has an interval, such as an average over rare classes.
    few = [name for name, every in case.covered.items() if len(every) < holdouts / 2]
    for name in few:
        del case.covered[name], case.too_good[name]
    return case


_HIGHER = {*metrics.LABELS, "r2"}


def share(every: list[bool]) -> float:
    return 100 * float(np.mean(every))


def statuses(every: list[str]) -> tuple[float, float, float]:
    """Return how many percent failed, passed and are undecided."""
    failed, passed = (share([status == which for status in every]) for which in ("failed", "passed"))
    return failed, passed, 100 - failed - passed


def table(cases: list[Case]) -> str:
    """Return the cases as a table: of each the metric that covers least, and what the gate says."""
    lines = [
        "| rows | what | least coverage | misses that are too good | as good: failed / passed / undecided "
        "| twice the tolerance worse |",
        "|---|---|---|---|---|---|",
    ]
    for case in cases:
        least = min(sorted(case.covered), key=lambda name: share(case.covered[name]))
        equal, worse = (
            " / ".join(
                f"{part:.1f}" for part in np.mean([statuses(every) for every in found.values()], axis=0)
            )
            for found in (case.equal, case.worse)
        )
        lines.append(
            f"| {case.rows:,} | {case.name} | {share(case.covered[least]):.1f} % (`{least}`) | "
            f"{share(case.too_good[least]):.1f} % | {equal} | {worse} |"
        )
    return "\n".join(lines)


def summary(cases: list[Case]) -> dict[str, float | int]:
    """Return the last line's numbers: of each metric over all cases, the worst metric's."""
    names = sorted({name for case in cases for name in case.covered})
    worst = min(share(every) for case in cases for every in case.covered.values())
    failed, passed = [], []
    for name in names:
        equal = [status for case in cases for status in case.equal.get(name, ())]
        worse = [status for case in cases for status in case.worse.get(name, ())]
        failed.append(10 * statuses(equal)[0] if equal else 0.0)
        passed.append(10 * statuses(worse)[1] if worse else 0.0)
    return {
        "worst_coverage": round(worst, 1),
        "false_failures_of_1000": round(max(failed), 1),
        "false_passes_of_1000": round(max(passed), 1),
        "metrics": len(names),
    }


def cases(holdouts: int, most_rows: int = 10**9) -> Iterator[Case]:
    """Yield each case, simulated."""
    for task, sizes in tasks():
        truth, images = task.draw(np.random.default_rng(99), LARGE)
        true = [task.values(truth, image) for image in images]
        equal = {name: (true[0][name] + true[1][name]) / 2 for name in true[0]}
        for rows in sizes:
            if rows <= most_rows:
                yield simulated(task, rows, [equal, equal, true[2]], holdouts)


def main() -> None:
    first, _, details = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer holdouts")
    parser.add_argument("--write", action="store_true", help="write the table in docs/gate.md")
    options = parser.parse_args()
    done = []
    for case in cases(40 if options.quick else 100):
        print(table([case]).splitlines()[-1], flush=True)
        done.append(case)
    if options.write:
        text = PAGE.read_text(encoding="utf-8")
        made = f"{BEGIN}\n{table(done)}\n{END}"
        PAGE.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: made, text, flags=re.DOTALL), encoding="utf-8")
    print(json.dumps(summary(done)))


if __name__ == "__main__":
    main()
