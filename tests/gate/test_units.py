"""Rows that belong together: whole units are drawn, so intervals are as wide as they must be."""

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
from scipy.signal import lfilter

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.gate import behaviour, examination, fairness, metrics, slices
from ml_pipeline.gate.answers import Holdout, Task, units_of
from ml_pipeline.gate.arrays import Floats, Integers
from ml_pipeline.gate.metrics import Answers
from ml_pipeline.gate.uncertainty import bootstrap, errors, labels
from ml_pipeline.gate.uncertainty.calibration import Calibration
from ml_pipeline.gate.uncertainty.shares import Share
from ml_pipeline.gate.uncertainty.units import MIN_UNITS, Units, blocks

pytestmark = pytest.mark.program

HOLDOUTS, CUSTOMERS, EACH = 60, 60, 10


def normal(random: np.random.Generator, rows: int) -> Floats:
    """Draw normal numbers; the rows of one customer share nine tenths of their variance."""
    customers = np.repeat(random.normal(size=-(-rows // EACH)), EACH)[:rows]
    mixed: Floats = 0.9**0.5 * customers + 0.1**0.5 * random.normal(size=rows)
    return mixed


def customers(rows: int) -> Units:
    return Units(np.arange(rows) // EACH)


def classes(random: np.random.Generator, rows: int) -> tuple[Integers, list[Answers]]:
    """Draw a truth and the answers of two images that are as good as each other."""
    signal = normal(random, rows)
    truth = (signal + 0.7 * normal(random, rows) > 0).astype(np.int64)
    images = []
    for _ in range(2):
        share = 1 / (1 + np.exp(-2 * (signal + 0.4 * normal(random, rows))))
        images.append(Answers((share > 0.5).astype(np.int64), np.column_stack([1 - share, share])))
    return truth, images


def holdouts() -> Iterator[tuple[Integers, list[Answers]]]:
    for seed in range(HOLDOUTS):
        yield classes(np.random.default_rng(seed), CUSTOMERS * EACH)


def true_values() -> dict[str, float]:
    truth, images = classes(np.random.default_rng(99), 400_000)
    return dict(metrics.classification(truth, images[0], 2, 1).values)


def test_metrics_of_labels_cover_and_those_of_independent_rows_do_not() -> None:
    true = true_values()
    hits = {"rows": dict.fromkeys(("accuracy", "f1", "recall", "mcc"), 0)}
    hits["units"] = dict(hits["rows"])
    for truth, images in holdouts():
        for which, units in (("rows", None), ("units", customers(len(truth)))):
            found = labels.intervals(truth, images[:1], [0, 1], 1, units).values
            for name in hits[which]:
                ends = found[name](0.95)
                assert ends is not None
                hits[which][name] += ends[0] <= true[name] <= ends[1]
    assert hits["rows"]["accuracy"] < 0.75 * HOLDOUTS
    assert {name: count for name, count in hits["units"].items() if count < 0.88 * HOLDOUTS} == {}


def test_equal_candidates_are_apart_by_nothing_as_often_as_they_should_be() -> None:
    covered = 0
    for truth, images in holdouts():
        found = labels.intervals(truth, images, [0, 1], 1, customers(len(truth))).differences
        ends = found["accuracy"](0.95)
        assert ends is not None
        covered += ends[0] <= 0 <= ends[1]
    assert covered >= 0.9 * HOLDOUTS


@pytest.mark.parametrize("rows", [CUSTOMERS * EACH, 4200])  # sorted in each round, and by influences
def test_metrics_of_probabilities_vary_as_those_of_whole_customers_do(rows: int) -> None:
    values: dict[str, list[float]] = {}
    for seed in range(40):
        truth, images = classes(np.random.default_rng(seed), rows)
        for name, value in metrics.classification(truth, images[0], 2, 1).values.items():
            values.setdefault(name, []).append(value)
    truth, images = classes(np.random.default_rng(7), rows)
    (found,) = bootstrap.classification(truth, images[:1], 2, 1, rounds=200, units=customers(rows))
    (alone,) = bootstrap.classification(truth, images[:1], 2, 1, rounds=200)
    for name in ("log_loss", "brier", "roc_auc", "average_precision"):
        ratio = np.std(found[name]) / np.std(values[name])
        assert 0.65 < ratio < 1.7, name
        assert np.std(found[name]) > 1.3 * np.std(alone[name]), name
    shares = np.asarray(images[0].probabilities)
    wide, narrow = (
        Calibration.of(truth, shares, 1, units).deviations.sum() for units in (customers(rows), None)
    )
    assert wide > 1.5 * narrow


def test_metrics_of_numbers_cover() -> None:
    hits = dict.fromkeys(("rmse", "mae", "absolute_error_p50", "absolute_error_p90"), 0)
    narrow = 0
    large = np.abs(np.random.default_rng(9).normal(size=400_000))
    true = {"rmse": 1.0, "mae": float(large.mean())}
    true |= {name: float(np.quantile(large, metrics.QUANTILES[name])) for name in hits if "_p" in name}
    for seed in range(HOLDOUTS):
        random = np.random.default_rng(seed)
        truth = 3 * random.normal(size=CUSTOMERS * EACH)
        image = [Answers(truth + normal(random, len(truth)))]
        found = errors.intervals(truth, image, customers(len(truth))).values
        for name in hits:
            ends = found[name](0.95)
            assert ends is not None
            hits[name] += ends[0] <= true[name] <= ends[1]
        ends = errors.intervals(truth, image).values["mae"](0.95)
        assert ends is not None
        narrow += ends[0] <= true["mae"] <= ends[1]
    assert narrow < 0.75 * HOLDOUTS
    assert {name: count for name, count in hits.items() if count < 0.85 * HOLDOUTS} == {}


def test_fair_models_are_seldom_called_unfair() -> None:
    wrong = {"rows": 0, "units": 0}
    lost = 0
    for truth, images in holdouts():
        members = np.where(np.arange(len(truth)) // EACH % 2, "a", "b")
        answers = [image.indices for image in images]
        for which, units in (("rows", None), ("units", customers(len(truth)))):
            found = fairness.measure("s", members, truth, answers, min_rows=30, rounds=200, units=units)
            low, _ = found.interval("demographic_parity_difference", 0.95)
            wrong[which] += low > 0
        one, other = (image["demographic_parity_difference"] for image in found.rounds)
        lost += bool(np.quantile(one - other, 0.025) > 0 or np.quantile(one - other, 0.975) < 0)
    assert wrong["rows"] > 0.2 * HOLDOUTS
    assert wrong["units"] <= 0.08 * HOLDOUTS
    assert lost <= 0.12 * HOLDOUTS


@pytest.mark.parametrize("regression", [False, True])
def test_no_slice_is_bad_that_is_not(regression: bool) -> None:
    wrong = {"rows": 0, "units": 0}
    for seed in range(40):
        random = np.random.default_rng(seed)
        truth, images = classes(random, CUSTOMERS * EACH)
        if regression:
            truth = np.zeros(len(truth))
            images = [Answers(normal(random, len(truth))) for _ in range(2)]
        region = (np.arange(len(truth)) // EACH % 3).astype(str)
        for which, units in (("rows", None), ("units", customers(len(truth)))):
            found = slices.search(
                pl.DataFrame({"region": region}),
                ["region"],
                truth,
                images[0].predicted,
                images[1].predicted,
                regression=regression,
                units=units,
            )
            assert found is not None
            low, high = found.differences(0.95)
            wrong[which] += bool((low > 0).any() or (high < 0).any())
    assert wrong["units"] <= 3 < wrong["rows"]


def test_a_share_of_answers_has_the_rows_that_it_is_worth() -> None:
    truth, images = classes(np.random.default_rng(1), CUSTOMERS * EACH)
    found = behaviour.of_answers(images, 2, customers(len(truth))).intervals["baseline_agreement"]
    assert isinstance(found, Share)
    assert CUSTOMERS / 3 < found.rows < CUSTOMERS * EACH / 1.5


def test_units_by_hand() -> None:
    units = Units(np.array([0, 0, 1, 1, 2, 2] * 10 + [3]))
    together = np.repeat([1.0, 0.0, 1.0], 2).tolist() * 10 + [0.0]
    assert units.count == 4
    assert units.sizes.tolist() == [20, 20, 20, 1]
    assert units.sums(np.asarray(together)).tolist() == [20, 0, 20, 0]
    # Rows that are always alike are worth a row a unit, or less; nothing is worth more than its rows.
    assert units.design(np.asarray(together)) > 15
    assert units.design(np.zeros(61)) > 15
    assert Units(np.arange(1000)).design(np.random.default_rng(0).normal(size=1000)) == pytest.approx(1, 0.01)


def test_rows_that_follow_each_other_in_time() -> None:
    """AR(1) errors: each has nine tenths of the one before it."""
    hits = {"rows": 0, "blocks": 0}
    for seed in range(HOLDOUTS):
        random = np.random.default_rng(seed)
        steps = random.normal(size=1000) * np.append(1, np.full(999, 0.19**0.5))
        image = [Answers(np.asarray(lfilter([1.0], [1.0, -0.9], steps)))]
        for which, units in (("rows", None), ("blocks", blocks(np.arange(1000)))):
            ends = errors.intervals(np.zeros(1000), image, units).values["mae"](0.95)
            assert ends is not None
            hits[which] += ends[0] <= (2 / np.pi) ** 0.5 <= ends[1]
    assert hits["rows"] < 0.75 * HOLDOUTS
    assert hits["blocks"] >= 0.85 * HOLDOUTS


def test_blocks_follow_the_times_not_the_order_of_the_file() -> None:
    frame = pl.DataFrame({"day": [3, 1, 2] * 20, "shop": ["a"] * 60})
    units = units_of(frame, None, "day")
    assert units is not None
    assert units.sizes.tolist() == [2] * 30
    assert units.codes[:6].tolist() == [20, 0, 10, 20, 0, 10]
    grouped = units_of(frame, "shop", "day")
    assert grouped is not None
    assert grouped.count == 1, "the group comes first"
    assert units_of(frame, None, "hour") is None, "a holdout of its own may lack the column"
    assert blocks(np.arange(12)).count == 12


def test_the_column_of_the_units() -> None:
    frame = pl.DataFrame({"customer": ["b", None, "a", "b", None]})
    units = units_of(frame, "customer")
    assert units is not None
    assert units.codes.tolist() == [1, 2, 0, 1, 3]
    assert units_of(frame, None) is None
    with pytest.raises(StageFailure, match=r"the group column 'client' is not in the holdout \(customer\)"):
        units_of(frame, "client")


def test_of_few_units_nothing_is_known() -> None:
    truth, images = classes(np.random.default_rng(1), (MIN_UNITS - 1) * EACH)
    holdout = Holdout(pl.DataFrame({"y": truth}), truth, Task([0, 1], 1), customers(len(truth)))
    found = examination.examine(holdout, images, {}, "y").measured["accuracy"]
    reason = f"the holdout has {MIN_UNITS - 1} groups of data.group, and {MIN_UNITS} are needed"
    assert (found.interval, found.no_interval) == (None, reason)
