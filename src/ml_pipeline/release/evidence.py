"""Is the new release worse than the old one? A decision that may be looked at every second; pure.

A usual test that is repeated until it says yes says yes in the end. This one may be repeated: if both
releases have the same rate, the probability that it *ever* says "worse" is at most `ALPHA`, however often one
looks and whenever one stops. The rate itself may change from second to second, for both alike.

A signal is a rate: of requests that got an error, for instance. Each look adds a `Block`: what both releases
did since the last look. For a difference g, "the candidate's rate is the stable's rate p plus g" bets against
"both have the same rate" by the likelihood ratio of the block

    S = L(stable; p) L(candidate; p + g) / L(both; p0),   p0 = (n_s p + n_c (p + g)) / (n_s + n_c)

where p is estimated from the past only. If both rates are the same, whatever they are, E[S] ≤ 1, so the
product of all S seldom gets large. The evidence is the mean of the products over several g and over several
starts: half of the stake is bet from the first look on, the other half bit by bit later, for a release that
turns bad late. "Worse" needs evidence of 1 / alpha *and* a difference beyond the tolerance. "As good" needs
an interval of the difference, valid at every look too, that ends below the tolerance.

Turner, Ly, Grünwald, "Generic E-variables for exact sequential k-sample tests", arXiv 2106.02693: S for a
block. Lindon, Ham, Tingley, Bojinov, "Anytime-valid inference", arXiv 2205.14762, and Waudby-Smith, Arbour,
Sinha, Kennedy, Ramdas, "Time-uniform central limit theory", arXiv 2103.06476: the interval.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

ALPHA = 0.01  # of all signals together: how often a release that is as good may be called worse
CONFIDENCE = 0.95  # of the interval
DIFFERENCES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)  # of the rates; those that are bet on
LEARNED = 20  # requests of the stable before the first bet: a bet on a wrong rate is lost
RECENT = 10  # looks; a release that turns bad late has a low rate of errors in all
TUNED = 100  # requests; the interval is narrowest at about eight times as many
LEAST, MOST = 0.001, 0.98  # rates that are bet on
RICH = 1e100  # evidence beyond this is not counted, for numbers end

Verdict = Literal["worse", "as good", "unclear"]


@dataclass(frozen=True)
class Count:
    """How many of `n` had it, such as an error. Rows of one request may count as parts of one."""

    x: float = 0.0
    n: float = 0.0

    @property
    def rate(self) -> float:
        """The share, 0 of none."""
        return self.x / self.n if self.n else 0.0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.x + other.x, self.n + other.n)


@dataclass(frozen=True)
class Block:
    """What both releases did since the last look."""

    stable: Count
    candidate: Count


@dataclass(frozen=True)
class Evidence:
    """All that one signal showed so far.

    `alpha` is its part of ALPHA, `tolerance` a difference of rates, `planned` how many looks there will be.
    """

    alpha: float
    tolerance: float
    planned: int = 60
    stable: Count = Count()
    candidate: Count = Count()
    recent: tuple[Count, ...] = ()  # the candidate's last RECENT looks that had requests
    stakes: tuple[float, ...] = field(default=(0.0,) * len(DIFFERENCES))  # by difference, what its bets made
    left: float = 1.0  # not bet yet

    @property
    def value(self) -> float:
        """The evidence that the candidate's rate is higher: under equal rates seldom above 1 / alpha."""
        return sum(self.stakes) + self.left

    @property
    def difference(self) -> float:
        """The candidate's rate less the stable's; the candidate's over all looks or the recent ones."""
        recent = sum(self.recent, Count())
        return max(self.candidate.rate, recent.rate) - self.stable.rate

    @property
    def interval(self) -> tuple[float, float]:
        """What the difference over all looks may be, with CONFIDENCE at all looks together."""
        difference = self.candidate.rate - self.stable.rate
        parts = self.stable.n * self.candidate.n
        if not parts:
            return -1.0, 1.0
        time = parts / (self.stable.n + self.candidate.n) / TUNED
        stretch = (1 + 1 / time) * math.log((1 + time) / (1 - CONFIDENCE) ** 2)
        half = math.sqrt((_variance(self.stable) + _variance(self.candidate)) * stretch)
        return max(-1.0, difference - half), min(1.0, difference + half)

    @property
    def verdict(self) -> Verdict:
        """What the looks so far say."""
        if self.value >= 1 / self.alpha and self.difference > self.tolerance:
            return "worse"
        return "as good" if self.interval[1] < self.tolerance else "unclear"

    def after(self, block: Block) -> "Evidence":
        """Return the evidence after one more look."""
        stakes, left = self.stakes, self.left
        if self.stable.n >= LEARNED and block.stable.n and block.candidate.n:
            new = min(left, 0.5 if left == 1 else 0.5 / self.planned)
            left -= new
            ratios = _ratios((self.stable.x + 0.5) / (self.stable.n + 1), block)
            each = new / len(DIFFERENCES)
            stakes = tuple(
                min(RICH, (stake + each) * ratio) for stake, ratio in zip(stakes, ratios, strict=True)
            )
        recent = (*self.recent, block.candidate)[-RECENT:] if block.candidate.n else self.recent
        return replace(
            self,
            stable=self.stable + block.stable,
            candidate=self.candidate + block.candidate,
            recent=recent,
            stakes=stakes,
            left=left,
        )


def _ratios(rate: float, block: Block) -> list[float]:
    """Return S of the block for each difference; `rate` is the stable's, from the past."""
    p = min(max(rate, LEAST), MOST)
    stable, candidate = block.stable, block.candidate
    ratios = []
    for difference in DIFFERENCES:
        q = min(p + difference, MOST)
        both = (stable.n * p + candidate.n * q) / (stable.n + candidate.n)
        log = _log_ratio(stable, p, both) + _log_ratio(candidate, q, both)
        ratios.append(math.exp(min(log, 200.0)))
    return ratios


def _log_ratio(count: Count, p: float, both: float) -> float:
    return count.x * math.log(p / both) + (count.n - count.x) * math.log((1 - p) / (1 - both))


def _variance(count: Count) -> float:
    """Return the variance of the rate, with half a case more of each kind: no errors yet is not none ever."""
    rate = (count.x + 0.5) / (count.n + 1)
    return rate * (1 - rate) / count.n
