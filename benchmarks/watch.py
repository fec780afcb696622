"""How often the watch after a release is wrong, and how soon it takes a bad release back; simulated.

    .venv/bin/python benchmarks/watch.py             about a minute
    .venv/bin/python benchmarks/watch.py --quick     some seconds, with a tenth of the runs

- false decisions: 1,000 runs of 600 looks, one a second, at 50 requests a second. Both releases are the same.
  Errors at rates of 0, 0.5, 2 and 10 %, 4 % of slow answers, and two classes (30 and 70 %) are watched
  together. Once both releases have half of the requests, and once the new one has all of them and the
  reference is 2,000 requests before the switch. Beside it, a rule that takes a release back when its error
  rate in one second is 2 points above the old one's
- seconds to the decision: a release that answers 20 % of its requests with an error, with 5, 10, 20 and 50 %
  of 50 requests a second, or all of them after a switch; and one that does so from second 30 on

The decision is computed here by a second implementation, for all runs at once; a test compares it with the
product's (`release/evidence.py`). The last line is one JSON object.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from ml_pipeline.common.tolerances import Tolerances
from ml_pipeline.release import evidence, signals
from ml_pipeline.release.evidence import Block, Count, Evidence

Floats = npt.NDArray[np.float64]

LOOKS, RATE = 600, 50  # seconds, requests a second
BACKGROUNDS = (0.0, 0.005, 0.02, 0.1)
SLOW, CLASSES = 0.04, (0.3, 0.7)
REFERENCE = 2000  # requests before the switch
BAD = 0.2
PART = evidence.ALPHA / len(signals.FAMILIES)
TOLERANCES = Tolerances()


def worse(
    stable: tuple[Floats, Floats],
    candidate: tuple[Floats, Floats],
    learned: tuple[Floats, Floats],
    alpha: float,
    tolerance: float,
    planned: int,
) -> npt.NDArray[np.bool_]:
    """Return for each run and look [R, T] whether it says "worse"; counts are (x, n), each [R, T].

    `learned` [R] is what is known of the stable before the first look.
    """
    runs, looks = stable[0].shape
    steps = np.array(evidence.DIFFERENCES)
    stakes, left = np.zeros((runs, len(steps))), np.ones(runs)
    (sx, sn), (cx, cn) = learned, (np.zeros(runs), np.zeros(runs))
    says = np.zeros((runs, looks), bool)
    for t in range(looks):
        x, n, y, m = stable[0][:, t], stable[1][:, t], candidate[0][:, t], candidate[1][:, t]
        bets = (sn >= evidence.LEARNED) & (n > 0) & (m > 0)
        new = np.where(bets, np.minimum(left, np.where(left == 1, 0.5, 0.5 / planned)), 0.0)
        p = np.clip((sx + 0.5) / (sn + 1), evidence.LEAST, evidence.MOST)[:, None]
        q = np.minimum(p + steps, evidence.MOST)
        both = (n[:, None] * p + m[:, None] * q) / np.maximum(n + m, 1)[:, None]
        both = np.where(bets[:, None], both, p)
        log = x[:, None] * np.log(p / both) + (n - x)[:, None] * np.log((1 - p) / (1 - both))
        log += y[:, None] * np.log(q / both) + (m - y)[:, None] * np.log((1 - q) / (1 - both))
        grown = np.minimum((stakes + new[:, None] / len(steps)) * np.exp(np.minimum(log, 200)), evidence.RICH)
        stakes, left = np.where(bets[:, None], grown, stakes), left - new
        sx, sn, cx, cn = sx + x, sn + n, cx + y, cn + m
        start = max(0, t + 1 - evidence.RECENT)
        recent = candidate[0][:, start : t + 1].sum(1) / candidate[1][:, start : t + 1].sum(1).clip(1)
        difference = np.maximum(cx / cn.clip(1), recent) - sx / sn.clip(1)
        says[:, t] = (stakes.sum(1) + left >= 1 / alpha) & (difference > tolerance)
    return says


class Trial:
    """Runs of one setting: how many requests of each release a look has, and which rates."""

    def __init__(self, runs: int, looks: int, seed: int) -> None:
        self.runs, self.looks = runs, looks
        self._random = np.random.default_rng(seed)

    def says(
        self, stable: Floats, candidate: Floats, sizes: tuple[float, float], learned: int,
        alpha: float, tolerance: float,
    ) -> npt.NDArray[np.bool_]:  # fmt: skip
        """Return for each run and look whether it says "worse", with rates by look [T]."""
        shape = self.runs, self.looks
        n = self._random.poisson(sizes[0], shape).astype(float)
        m = self._random.poisson(sizes[1], shape).astype(float)
        x = self._random.binomial(n.astype(int), stable).astype(float)
        y = self._random.binomial(m.astype(int), candidate).astype(float)
        before = self._random.binomial(learned, stable[0], self.runs).astype(float)
        self.last = n, x, m, y
        known = before, np.full(self.runs, float(learned))
        return worse((x, n), (y, m), known, alpha, tolerance, self.looks)


def false_decisions(runs: int) -> dict[str, Any]:
    """Return how many runs of each kind took a release back that is the same as the old one."""
    halves = (RATE / 2, RATE / 2), 0
    learned = min(signals.LEARNING, REFERENCE // 8)
    switched = ((REFERENCE - learned) / LOOKS, float(RATE)), learned
    ours: dict[str, dict[str, int]] = {}
    threshold: dict[str, int] = {}
    for kind, (sizes, known) in (("half of the requests", halves), ("after a switch", switched)):
        ours[kind] = {}
        for number, background in enumerate(BACKGROUNDS):
            trial = Trial(runs, LOOKS, number)
            said = np.zeros(runs, bool)
            for rate, alpha, tolerance in (
                (SLOW, PART, TOLERANCES.slow),
                *((share, PART / len(CLASSES), TOLERANCES.classes) for share in CLASSES),
                (background, PART, TOLERANCES.errors),
            ):
                flat = np.full(LOOKS, rate)
                said |= trial.says(flat, flat, sizes, known, alpha, tolerance).any(1)
            name = f"{background * 100:g}"
            ours[kind][name] = round(1000 * int(said.sum()) / runs)
            if kind == "half of the requests":
                n, x, m, y = trial.last
                rule = y / m.clip(1) > x / n.clip(1) + TOLERANCES.errors
                threshold[name] = round(1000 * int(rule.any(1).sum()) / runs)
            print(f"  {kind}, {name} % errors: wrong {ours[kind][name]} of 1,000")
    print(f"  a threshold in each second: wrong {threshold} of 1,000")
    return {
        "false_rollbacks_of_1000": max(max(each.values()) for each in ours.values()),
        "false_rollbacks": ours,
        "threshold_false_of_1000": threshold,
    }


def seconds(runs: int) -> dict[str, Any]:
    """Return the median and the 95th percentile of the seconds until a bad release is called worse."""
    looks = 60
    flat, bad = np.full(looks, 0.005), np.full(looks, 0.005 + BAD)
    late = np.where(np.arange(looks) < 30, 0.005, 0.005 + BAD)
    learned = signals.LEARNING
    switched = ((REFERENCE - learned) / looks, float(RATE)), learned
    settings: dict[str, tuple[Floats, tuple[tuple[float, float], int], int]] = {
        f"{share:g} %": (bad, ((RATE * (1 - share / 100), RATE * share / 100), 0), 0)
        for share in (5, 10, 20, 50)
    }
    settings |= {"all": (bad, switched, 0), "all, from second 30 on": (late, switched, 30)}
    found = {}
    for number, (name, (rates, (sizes, known), start)) in enumerate(settings.items()):
        said = Trial(runs, looks, 100 + number).says(flat, rates, sizes, known, PART, TOLERANCES.errors)
        first = np.where(said.any(1), said.argmax(1) + 1.0 - start, np.inf)
        found[name] = [float(np.quantile(first, q, method="higher")) for q in (0.5, 0.95)]
        print(f"  {name:24} of {RATE}/s: {found[name][0]:.0f} s, 95 % within {found[name][1]:.0f} s")
    return {"seconds_to_decision_p50_p95": found}


def look_ms() -> float:
    """Return the time of one look at one signal, in the product."""
    one = Evidence(PART, TOLERANCES.errors)
    clock = time.process_time()
    for _ in range(2000):
        one = one.after(Block(Count(1, 25), Count(1, 25)))
    return round((time.process_time() - clock) / 2, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs, some seconds")
    runs = 100 if parser.parse_args().quick else 1000
    print(f"{runs} runs of {LOOKS} looks at two releases that are the same")
    figures = false_decisions(runs)
    print(f"seconds to the decision, {BAD * 100:g} % errors, {runs} runs")
    figures |= seconds(runs)
    figures["look_ms"] = look_ms()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
