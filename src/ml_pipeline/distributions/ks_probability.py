"""How probable a Kolmogorov-Smirnov statistic of D or more is where both samples come from one source.

The same choices as `scipy.stats.ks_2samp(…, method="auto")`: exact for up to 10,000 values in
each sample, else the law of one sample of n·m/(n+m). The values agree within 1e-6; scipy sums up
to n terms one by one, which takes longer than sorting the samples.
"""

import math

import numpy as np

EXACT_UP_TO = 10_000
SMALL, MEDIUM, LARGE = 140, 500, 2_000


def two_sample(d: float, n: int, m: int) -> float:
    """Return P(D ≥ d) for samples of n and m values."""
    if max(n, m) <= EXACT_UP_TO:
        return _exact(d, n, m)
    return one_sample(d, round(n * m / (n + m)))


def one_sample(d: float, n: int) -> float:
    """Return P(D ≥ d) for n values against a continuous distribution.

    Simard and L'Ecuyer, "Computing the two-sided Kolmogorov-Smirnov distribution", Journal of
    Statistical Software 39 (2011), say which form holds where.
    """
    if d >= 1:
        return 0.0
    if 2 * n * d <= 1:
        return 1.0
    z2 = n * d * d
    if d >= 0.5 or (n <= LARGE and z2 > (4 if n <= SMALL else 2.2)):
        return min(1.0, 2 * _one_sided(d, n))
    if n <= SMALL or (n <= MEDIUM and n * d**1.5 <= 1.4):
        return 1 - _marsaglia(d, n)
    if z2 > 12:  # below 1e-10: 1 minus the series would be all rounding
        return 2 * math.exp(-2 * n * (d + 1 / (6 * n)) ** 2)
    return min(1.0, max(0.0, 1 - _pelz_good(math.sqrt(z2), n)))


def _exact(d: float, n: int, m: int) -> float:
    """Count lattice paths: Hodges, "The significance probability of the Smirnov two-sample test" (1958)."""
    divisor = math.gcd(n, m)
    h = round(d * (n // divisor) * m)  # D is a multiple of 1 / lcm(n, m)
    if h == 0:
        return 1.0
    return _exact_equal(h, n) if n == m else _exact_unequal(h, n // divisor, m // divisor, n, m)


def _exact_equal(h: int, n: int) -> float:
    """Reflect the paths that leave the band of h steps: an alternating sum of binomials."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, 2 * n + 1)))])
    away = np.arange(h, n + 1, h)
    terms = np.exp(2 * logs[n] - logs[n - away] - logs[n + away])
    return float(np.clip(2 * (terms[::2].sum() - terms[1::2].sum()), 0, 1))


def _exact_unequal(h: int, n1: int, m1: int, n: int, m: int) -> float:
    """Walk from (0, 0) to (n, m) by single steps, every path as probable as any other.

    `inside[i]` is the probability to be at (i, t - i) after t steps and to have stayed where
    |i·m1 - j·n1| < h; what leaves is the answer, added up as it leaves: small p stay exact.
    """
    total, sides = n + m, n1 + m1
    inside, outside = np.zeros(n + 2), 0.0
    inside[0] = 1.0
    at = np.arange(n + 2)
    low, high = 0, 0  # where paths may be after t steps
    for t in range(total):
        here = inside[low : high + 1]
        right = here * (n - at[low : high + 1]) / (total - t)
        inside[low : high + 1] -= right  # the others go up
        inside[low + 1 : high + 2] += right
        middle = (t + 1) * n1
        new_low = max(low, (middle - h) // sides + 1)
        new_high = min(high + 1, n, -((-middle - h) // sides) - 1)
        for gone in (inside[low:new_low], inside[new_high + 1 : high + 2]):
            if len(gone):
                outside += float(gone.sum())
                gone[:] = 0.0
        low, high = new_low, new_high
        if low > high:
            return 1.0
    return min(1.0, outside)


def _one_sided(d: float, n: int) -> float:
    """P(D+ ≥ d), a sum of positive terms: Birnbaum and Tingey (1951)."""
    j = np.arange(int(n * (1 - d)) + 1)
    j = j[j < n * (1 - d)]
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    binomial = logs[n] - logs[j] - logs[n - j]
    terms = binomial + (j - 1) * np.log(d + j / n) + (n - j) * np.log1p(-d - j / n)
    return float(d * np.exp(terms).sum())


def _marsaglia(d: float, n: int) -> float:
    """P(D < d) as an element of a matrix's n-th power.

    Marsaglia, Tsang and Wang, "Evaluating Kolmogorov's distribution", Journal of Statistical
    Software 8 (2003).
    """
    k = int(n * d) + 1
    size, h = 2 * k - 1, k - n * d
    row, column = np.indices((size, size))
    steps = row - column + 1
    matrix = np.where(steps >= 0, 1.0, 0.0)
    powers = h ** np.arange(1, size + 1)
    matrix[:, 0] -= powers
    matrix[-1, :] -= powers[::-1]
    matrix[-1, 0] += (2 * h - 1) ** size if h > 0.5 else 0.0
    matrix /= np.array([math.factorial(i) for i in range(size + 1)], float)[np.maximum(steps, 0)]
    inside = np.linalg.matrix_power(matrix, n)[k - 1, k - 1]
    return float(inside * math.exp(math.lgamma(n + 1) - n * math.log(n)))


def _pelz_good(z: float, n: int) -> float:
    """P(√n·D < z) to the order n^-3/2.

    Pelz and Good, "Approximating the lower tail-areas of the Kolmogorov-Smirnov one-sample
    statistic", Journal of the Royal Statistical Society B 38 (1976).
    """
    odd = (np.arange(1, 2 * math.ceil(16 * z / math.pi) + 2, 2) * math.pi / 2) ** 2  # (k + 1/2)²π²
    whole = (np.arange(1, math.ceil(16 * z / math.pi) + 1) * math.pi) ** 2  # k²π²
    at_odd, at_whole = np.exp(-odd / (2 * z * z)), np.exp(-whole / (2 * z * z))
    z2, z4, z6 = z**2, z**4, z**6
    first = (2 / z) * at_odd.sum()
    second = (2 * (odd - z2) * at_odd).sum() / (6 * z4)
    third = 2 * ((6 * z6 + 2 * z4) + (2 * z4 - 5 * z2) * odd + (1 - 2 * z2) * odd**2) @ at_odd / (
        72 * z**7
    ) - (whole @ at_whole) / (18 * z**3)
    fourth = 2 * (
        -(30 * z6 + 90 * z**8)
        + (135 * z4 - 96 * z6) * odd
        + (212 * z4 - 60 * z2) * odd**2
        + (5 - 30 * z2) * odd**3
    ) @ at_odd / (6480 * z**10) + ((3 * z2 - whole) * whole) @ at_whole / (108 * z6)
    root = math.sqrt(math.pi / 2)
    return float(root * (first + second / n**0.5 + third / n + fourth / n**1.5))
