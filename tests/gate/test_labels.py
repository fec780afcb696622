"""Intervals of metrics that labels alone decide: true with many classes, few rows and rare positives."""

import math

import numpy as np
import pytest

from ml_pipeline.common.gates import Difference, Gate, Measured
from ml_pipeline.common.rules import decide
from ml_pipeline.gate import metrics
from ml_pipeline.gate.arrays import Floats, Integers
from ml_pipeline.gate.metrics import Answers
from ml_pipeline.gate.uncertainty import cells, label_influences, labels

pytestmark = pytest.mark.program

HOLDOUTS = 150


def people(
    rows: int, seed: int, classes: int, *, rare: float = 0.0, signal: float = 1.5
) -> tuple[Integers, list[Answers]]:
    """A truth and two images' answers, guessed from the same noisy signal; `rare` makes class 0 frequent."""
    random = np.random.default_rng(seed)
    strength = random.normal(size=(rows, classes))
    strength[:, 0] += rare
    truth = (signal * strength + random.gumbel(size=strength.shape)).argmax(axis=1)
    noise = (random.normal(size=strength.shape) for _ in range(2))
    return truth, [Answers((strength + 0.3 * each).argmax(axis=1)) for each in noise]


@pytest.mark.parametrize("classes", [2, 4])
def test_values_are_scikit_learns(classes: int) -> None:
    truth, (image, other) = people(150, 3, classes)
    other.predicted[:5] = -1  # a class that nobody knows
    positive = 1 if classes == 2 else None
    counted = cells.count(truth, image.indices, other.indices)
    for number, answers in enumerate((image, other), 1):
        found = label_influences.of(counted, number, classes, positive)
        wanted = metrics.classification(truth, answers, classes, positive).values
        points = {name: value for name, (value, _) in found.items()}
        assert points == pytest.approx({name: wanted[name] for name in metrics.LABELS})


@pytest.mark.parametrize("classes", [2, 4])
def test_influences_are_the_derivatives(classes: int) -> None:
    truth, (image, _) = people(80, 5, classes)
    image.predicted[:3] = -1
    positive = 1 if classes == 2 else None
    counted = cells.count(truth, image.indices)
    shares = counted.rows / counted.rows.sum()
    found = label_influences.of(counted, 1, classes, positive)
    for kind in range(len(shares)):
        moved: Floats = shares * (1 - 1e-7)
        moved[kind] += 1e-7
        changed = label_influences.of(cells.Cells(counted.labels, moved), 1, classes, positive)
        for name, (value, influences) in found.items():
            assert (changed[name][0] - value) / 1e-7 == pytest.approx(influences[kind], abs=1e-4), name


@pytest.mark.parametrize(
    ("classes", "rows", "signal"), [(2, 50, 1.5), (10, 50, 3.0), (10, 300, 3.0), (32, 100, 4.0)]
)
def test_intervals_cover_of_few_classes_and_of_many(classes: int, rows: int, signal: float) -> None:
    positive = 1 if classes == 2 else None
    truth, (image, _) = people(300_000, 999, classes, signal=signal)
    true = metrics.classification(truth, image, classes, positive).values
    hits: dict[str, list[bool]] = {}
    apart: dict[str, list[bool]] = {}
    for seed in range(HOLDOUTS):
        truth, images = people(rows, seed, classes, signal=signal)
        found = labels.intervals(truth, images, range(classes), positive)
        for name, interval in found.values.items():
            low, high = interval(0.95) or (math.nan, math.nan)
            hits.setdefault(name, []).append(low <= true[name] <= high)
            low, high = found.differences[name](0.95) or (math.nan, math.nan)
            apart.setdefault(name, []).append(low <= 0 <= high)
    assert {"accuracy", "f1_weighted", "mcc"} <= hits.keys()
    # Of 150 holdouts 95 % vary by 1.8 points; a difference that hardly occurs is covered more often.
    often = {name for name, every in hits.items() if len(every) == HOLDOUTS}
    assert {name: np.mean(hits[name]) for name in often if not 0.905 <= np.mean(hits[name]) <= 0.99} == {}
    assert {name: np.mean(apart[name]) for name in often if np.mean(apart[name]) < 0.905} == {}


def values(truth: Integers, image: Answers) -> dict[str, float]:
    counted = cells.count(truth, image.indices)
    return {name: value for name, (value, _) in label_influences.of(counted, 1, 2, 1).items()}


def rare_positives(seed: int) -> tuple[Integers, Answers, Answers]:
    """300 rows with about 1 % positives, an image that finds some, and one that never answers 1."""
    random = np.random.default_rng(seed)
    score = 2 * random.normal(size=300) - 6.3
    truth = (random.random(300) < 1 / (1 + np.exp(-score))).astype(np.int64)
    share = 1 / (1 + np.exp(-score - 1))
    baseline = Answers((share > 0.5).astype(np.int64), np.column_stack([1 - share, share]))
    return truth, baseline, Answers(np.zeros(300, dtype=np.int64), np.tile([0.99, 0.01], (300, 1)))


def test_an_image_that_never_answers_1_does_not_pass_by_chance() -> None:
    # Its labels are those of the baseline in a third of the holdouts: of 3 positives the other found none.
    passed = 0
    for seed in range(HOLDOUTS):
        truth, baseline, never = rare_positives(seed)
        found = labels.intervals(truth, [never, baseline], [0, 1], 1)
        scores = [values(truth, image)["recall"] for image in (never, baseline)]
        apart = Difference(scores[0] - scores[1], found.differences["recall"])
        measured = Measured(scores[0], scores[1], found.values["recall"], apart)
        (decision,) = decide([Gate("recall", max_regression=0.05, confidence=0.95)], {"recall": measured})
        passed += decision.status == "passed"
    assert passed <= 0.025 * HOLDOUTS


def test_only_equal_probabilities_make_images_the_same() -> None:
    truth, baseline, _ = rare_positives(1)
    again = Answers(baseline.predicted.copy(), np.array(baseline.probabilities))
    assert labels.intervals(truth, [again, baseline], [0, 1], 1).differences["recall"](0.95) == (0, 0)
    unknown = labels.intervals(truth, [Answers(baseline.predicted), baseline], [0, 1], 1)
    low, high = unknown.differences["recall"](0.95) or (0, 0)
    assert low < 0 < high


def test_the_value_is_inside_and_the_range_is_kept() -> None:
    for seed in range(HOLDOUTS):
        truth, baseline, never = rare_positives(seed)
        for image in (baseline, never):
            points = values(truth, image)
            for name, interval in labels.intervals(truth, [image], [0, 1], 1).values.items():
                low, high = interval(0.95) or (math.nan, math.nan)
                assert (-1 if name == "mcc" else 0) <= low <= points[name] <= high <= 1, name


def test_a_perfect_image_reaches_1_and_may_be_worse() -> None:
    truth = np.arange(100) % 2
    image = Answers(truth.copy())
    interval = labels.intervals(truth, [image], [0, 1], 1).values["accuracy"]
    low, high = interval(0.95) or (math.nan, math.nan)
    assert high == 1
    assert 0.95 < low < 0.97  # Clopper and Pearson say 0.964
    (strict,) = decide(
        [Gate("accuracy", min=1.0, confidence=0.95)], {"accuracy": Measured(1.0, interval=interval)}
    )
    assert strict.status == "not-enough-evidence"
    (plain,) = decide([Gate("accuracy", min=1.0)], {"accuracy": Measured(1.0, interval=interval)})
    assert plain.status == "passed"


def test_an_average_over_classes_needs_rows_of_each() -> None:
    truth = np.array([0] * 60 + [1] * 60 + [2] * 4)
    found = labels.intervals(truth, [Answers(truth.copy())], ["a", "b", "c"], None)
    assert "accuracy" in found.values
    assert "mcc" in found.values
    assert "f1_macro" not in found.values
    assert found.missing["f1_macro"] == "4 holdout rows are of class 'c', and 10 are needed"
    assert found.missing["roc_auc"] == "4 holdout rows are of class 'c', and 30 are needed"
