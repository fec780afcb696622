"""The interval of the expected calibration error: which true errors could give the one that was measured."""

from dataclasses import dataclass

import numpy as np

from ml_pipeline.gate import metrics
from ml_pipeline.gate.arrays import Floats, Integers
from ml_pipeline.gate.uncertainty.resampling import ROUNDS, SEED
from ml_pipeline.gate.uncertainty.units import Units

_STEPS = 30  # of a bisection
_LARGEST = 8.0  # times the measured gaps


@dataclass(frozen=True)
class Calibration:
    """Each bin's gap between probability and outcome [B], and its deviation, as parts of the error."""

    gaps: Floats
    deviations: Floats

    @classmethod
    def of(
        cls, truth: Integers, shares: Floats, positive: int | None, units: Units | None = None
    ) -> "Calibration":
        """Sum over the bins of `metrics.surprise`.

        Outcomes vary as their probabilities say, or as they do in the bin, whichever is more; those of one
        unit vary together.
        """
        where, gaps = metrics.surprise(truth, shares, positive)
        scores = shares.max(axis=1) if positive is None else shares[:, positive]
        rows, total, said, squares = (
            np.bincount(where, values, metrics.CALIBRATION_BINS)
            for values in (np.ones(len(truth)), gaps, scores * (1 - scores), gaps**2)
        )
        variance = np.maximum(said, squares - total**2 / np.maximum(rows, 1))
        if units:
            means = (total / np.maximum(rows, 1))[where]
            each = [units.sums((gaps - means) * (where == number)) for number in range(len(rows))]
            together = np.asarray([float(sums @ sums) for sums in each])
            variance = np.maximum(variance, together * units.count / (units.count - 1))
        return cls(total / len(truth), np.sqrt(variance) / len(truth))

    @property
    def value(self) -> float:
        """The expected calibration error."""
        return float(np.abs(self.gaps).sum())

    def __call__(self, confidence: float) -> tuple[float, float]:
        """Return the ends: outcomes are simulated with the bins' gaps, larger and smaller than measured.

        The measured error is larger than the true one on average, and above 0 of a perfect model. An end is
        the error of those true gaps with which the measured error is as far out as `confidence` allows (a
        test that is inverted; the test of 0 is that of Kumar, Liang and Ma 2019 in spirit).
        """
        noise = np.random.default_rng(SEED).normal(size=(ROUNDS, len(self.gaps))) * self.deviations
        tail = (1 - confidence) / 2
        low, high = self._scale(noise, 1 - tail), self._scale(noise, tail)
        return min(low, 1.0) * self.value, min(max(high, 1.0) * self.value, 1.0)

    def _scale(self, noise: Floats, level: float) -> float:
        """Return the scale of the gaps at which the measured error is the quantile `level`; at least 0."""
        below, above = 0.0, _LARGEST
        if self._quantile(noise, below, level) >= self.value:
            return 0.0
        for _ in range(_STEPS):
            middle = (below + above) / 2
            if self._quantile(noise, middle, level) < self.value:
                below = middle
            else:
                above = middle
        return above

    def _quantile(self, noise: Floats, scale: float, level: float) -> float:
        return float(np.quantile(np.abs(scale * self.gaps + noise).sum(axis=1), level))
