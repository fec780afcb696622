"""The evidence that a release is worse: planted truths, and how often it is wrong where there is nothing."""

import random
import time
from collections.abc import Callable

import pytest

from ml_pipeline.release.evidence import ALPHA, Block, Count, Evidence

Rate = Callable[[int], float]  # of the look's number


def counted(generator: random.Random, n: int, rate: float) -> Count:
    return Count(sum(generator.random() < rate for _ in range(n)), n)


def decided(
    seed: int, stable: Rate, candidate: Rate, looks: int = 60, share: float = 0.5, requests: int = 50
) -> tuple[str, int]:
    """Return the verdict, and the number of the look that said it, at `requests` a second."""
    generator = random.Random(seed)  # noqa: S311
    evidence = Evidence(ALPHA / 6, 0.02, looks)
    n = round(requests * share)
    for look in range(1, looks + 1):
        block = Block(counted(generator, requests - n, stable(look)), counted(generator, n, candidate(look)))
        evidence = evidence.after(block)
        if evidence.verdict == "worse":
            return "worse", look
    return evidence.verdict, looks


def test_a_fifth_of_errors_is_found_in_seconds() -> None:
    found = [decided(seed, lambda _: 0.0, lambda _: 0.2) for seed in range(20)]
    assert {verdict for verdict, _ in found} == {"worse"}
    assert max(look for _, look in found) <= 6
    beside_errors = [decided(seed, lambda _: 0.1, lambda _: 0.3) for seed in range(20)]
    assert {verdict for verdict, _ in beside_errors} == {"worse"}
    assert sorted(look for _, look in beside_errors)[10] <= 10
    few = [decided(seed, lambda _: 0.0, lambda _: 0.2, share=0.1) for seed in range(20)]
    assert {verdict for verdict, _ in few} == {"worse"}


@pytest.mark.parametrize("background", [0.0, 0.02, 0.1])
def test_the_same_rate_is_hardly_ever_called_worse(background: float) -> None:
    found = [decided(seed, lambda _: background, lambda _: background, looks=60) for seed in range(15)]
    assert [verdict for verdict, _ in found].count("worse") == 0


def test_a_rate_that_changes_for_both_alike_is_not_worse() -> None:
    storm: Rate = lambda look: 0.5 if look % 20 < 5 else 0.0  # noqa: E731
    assert "worse" not in {decided(seed, storm, storm)[0] for seed in range(8)}


def test_a_release_that_turns_bad_late_is_found() -> None:
    late: Rate = lambda look: 0.2 if look > 30 else 0.0  # noqa: E731
    found = [decided(seed, lambda _: 0.0, late) for seed in range(10)]
    assert {verdict for verdict, _ in found} == {"worse"}
    assert 30 < max(look for _, look in found) <= 37


def test_a_bad_stable_does_not_block_what_fixes_it() -> None:
    for new in (0.5, 0.3, 0.0):
        assert "worse" not in {decided(seed, lambda _: 0.5, lambda _, n=new: n)[0] for seed in range(4)}
    assert decided(1, lambda _: 0.5, lambda _: 0.0)[0] == "as good"


def test_without_errors_the_same_is_as_good_and_few_requests_are_unclear() -> None:
    assert decided(1, lambda _: 0.0, lambda _: 0.0)[0] == "as good"
    assert decided(1, lambda _: 0.0, lambda _: 0.0, looks=4)[0] == "unclear"
    assert decided(1, lambda _: 0.1, lambda _: 0.1, looks=10)[0] == "unclear"


def test_a_difference_within_the_tolerance_is_not_worse_whatever_the_evidence() -> None:
    evidence = Evidence(ALPHA, tolerance=0.3).after(Block(Count(0, 1000), Count()))
    for _ in range(20):
        evidence = evidence.after(Block(Count(0, 500), Count(100, 500)))
    assert evidence.value > 1e6
    assert evidence.verdict == "as good"
    assert evidence.interval == (pytest.approx(0.2, abs=0.03), pytest.approx(0.2, abs=0.03))


def test_without_a_stable_or_a_candidate_nothing_is_decided() -> None:
    only = Evidence(ALPHA, 0.02)
    for _ in range(60):
        only = only.after(Block(Count(), Count(50, 50)))
    assert (only.verdict, only.value, only.interval) == ("unclear", 1.0, (-1.0, 1.0))


def test_extremes_stay_numbers() -> None:
    worst = Evidence(ALPHA, 0.02).after(Block(Count(0, 1e6), Count()))
    for _ in range(100):
        worst = worst.after(Block(Count(0, 1e5), Count(1e5, 1e5)))
    assert worst.verdict == "worse"
    for _ in range(100):
        worst = worst.after(Block(Count(1e5, 1e5), Count(0, 1e5)))
    assert 0 <= worst.value < 1e100


def test_a_look_is_fast() -> None:
    evidence = Evidence(ALPHA, 0.02)
    clock = time.process_time()
    for _ in range(1000):
        evidence = evidence.after(Block(Count(1, 50), Count(2, 50)))
    assert (time.process_time() - clock) / 1000 < 1e-3
