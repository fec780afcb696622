"""Resampled holdouts: how often each row was drawn, and what sums over the drawn rows come to."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from ml_pipeline.gate.arrays import Floats

ROUNDS = 1000
SEED = 0
BLOCK = 1 << 16  # rows: their counters stay in the processor's cache, and a raw 16-bit number is one draw
_CHUNK = 1 << 21  # counts held at once, by one thread
_THREADS = 2  # more wait for the interpreter's lock: half of a round is counting


def counts(rows: int, rounds: int = ROUNDS, seed: int = SEED) -> Iterator[Floats]:
    """Yield how often each row was drawn, float64 [some rounds, rows], until `rounds` are done.

    Each round draws `rows` rows with replacement: the bootstrap of Efron (1979). The same arguments draw
    the same rows, so statistics that are computed one after the other are paired.
    """
    random = np.random.default_rng(seed)
    step = max(1, _CHUNK // rows)
    for start in range(0, rounds, step):
        size = min(step, rounds - start)
        drawn = random.integers(0, rows, (size, rows)) + np.arange(size)[:, None] * rows
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)


def means(values: Floats, rounds: int = ROUNDS, seed: int = SEED) -> Floats:
    """Return the means of the drawn rows' `values` [N, K] in each round, float64 [rounds, K].

    Made for many rows. They are drawn block by block: how many draws a block gets is one multinomial
    number, and inside a block each row is as likely, which together is the same as drawing from all rows.
    Counts and values meet in one matrix product in float32; the values are centred before, so that
    rounding is small beside their spread, not beside their size.
    """
    centre = values.mean(axis=0)
    centred = np.ascontiguousarray(values - centre, dtype=np.float32)
    step = max(1, _CHUNK // min(BLOCK, len(values)))
    starts = range(0, rounds, step)
    seeds = np.random.SeedSequence(seed).spawn(len(starts))
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(_THREADS) as pool:
        sizes = [min(step, rounds - start) for start in starts]
        sums = list(pool.map(lambda size, own: _sums(centred, size, own), sizes, seeds))
    drawn: Floats = centre + np.concatenate(sums) / len(values)
    return drawn


def _sums(values: npt.NDArray[np.float32], rounds: int, seed: np.random.SeedSequence) -> Floats:
    random = np.random.Generator(np.random.SFC64(seed))
    starts = range(0, len(values), BLOCK)
    sizes = np.asarray([min(BLOCK, len(values) - start) for start in starts])
    drawn = random.multinomial(len(values), sizes / len(values), rounds)
    total = np.zeros((rounds, values.shape[1]))
    for index, start in enumerate(starts):
        block = values[start : start + BLOCK]
        weights = np.empty((rounds, len(block)), dtype=np.float32)
        for number, draws in zip(weights, drawn[:, index], strict=True):
            number[:] = np.bincount(_draw(random, len(block), int(draws)), minlength=len(block))
        total += weights @ block
    return total


def _draw(random: np.random.Generator, rows: int, draws: int) -> npt.NDArray[np.integer]:
    if rows < 1 << 16:
        return random.integers(0, rows, draws)
    return random.bit_generator.random_raw((draws + 3) // 4).view(np.uint16)[:draws]
