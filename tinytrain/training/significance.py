"""Whether a difference between two accuracies is more than chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Z = 1.959963984540054
"""Standard deviations on either side of the mean that hold 95 % of a normal distribution."""


def wilson_interval(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a fraction.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference" (1927).

    Args:
        right: images classified right.
        count: all images, at least one.
    """
    p, n = right / count, count
    middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    # At the ends the formula gives 0 and 1 up to rounding.
    return (0.0 if right == 0 else middle - half), (1.0 if right == count else middle + half)


@dataclass(frozen=True)
class Difference:
    """How two classifiers differ on the same images.

    Attributes:
        difference: of the accuracies, the second less the first.
        low: the lower end of its 95 % confidence interval.
        high: the upper end.
        first_only: images that only the first gets right.
        second_only: images that only the second gets right.
        p_value: probability of so uneven a division, or a more uneven one, between equally good classifiers.
    """

    difference: float
    low: float
    high: float
    first_only: int
    second_only: int
    p_value: float


def paired_difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """Compare two classifiers by McNemar's exact test on the images that one of them alone gets right.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions" (1947); recommended
    for classifiers by Dietterich, "Approximate statistical tests" (1998), section 5.

    Args:
        first: (n,) whether the first classifier is right on each image.
        second: (n,) the same of the second one.
    """
    n = len(first)
    b, c = int((first & ~second).sum()), int((second & ~first).sum())
    half = Z * math.sqrt(max(b + c - (c - b) ** 2 / n, 0.0)) / n
    difference = (c - b) / n
    return Difference(difference, difference - half, difference + half, b, c, binomial_p_value(b, c))


def binomial_p_value(b: int, c: int) -> float:
    """Return the two-sided probability of a division as uneven as b to c where both sides are equally likely."""
    total = b + c
    tail = math.fsum(
        math.exp(math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) - total * math.log(2))
        for k in range(min(b, c) + 1)
    )
    return min(1.0, 2 * tail)
