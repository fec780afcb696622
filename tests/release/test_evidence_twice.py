"""The benchmark's implementation of the decision, for many runs at once, says what the product's says."""

import numpy as np
import pytest

from benchmarks.watch import worse
from ml_pipeline.release.evidence import Block, Count, Evidence

pytestmark = pytest.mark.program


def test_both_implementations_say_the_same_at_every_look() -> None:
    generator = np.random.default_rng(3)
    runs, looks, alpha, tolerance, planned = 30, 80, 0.002, 0.02, 60
    rates = generator.choice([0.0, 0.01, 0.1, 0.5, 0.97], (runs, 1))
    n, m = generator.poisson([[[20.0]], [[4.0]]], (2, runs, looks))
    n[:, 20:25] = m[:, 30:33] = 0
    x = generator.binomial(n, rates)
    y = generator.binomial(m, np.minimum(rates + generator.choice([0.0, 0.1, 0.4], (runs, looks)), 1))
    known = generator.binomial(30, rates[:, 0]), np.full(runs, 30)
    stable, candidate, before = (
        (one.astype(float), two.astype(float)) for one, two in ((x, n), (y, m), known)
    )
    fast = worse(stable, candidate, before, alpha, tolerance, planned)
    slow = np.zeros((runs, looks), bool)
    for run in range(runs):
        evidence = Evidence(alpha, tolerance, planned)
        evidence = evidence.after(Block(Count(float(known[0][run]), 30.0), Count()))
        for look in range(looks):
            counts = (Count(float(a[run, look]), float(b[run, look])) for a, b in ((x, n), (y, m)))
            evidence = evidence.after(Block(*counts))
            slow[run, look] = evidence.verdict == "worse"
    assert (fast == slow).all()
    assert 0.1 < fast.mean() < 0.9
