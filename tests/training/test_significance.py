"""Intervals and tests, against published and hand-computed figures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinytrain.training.significance import binomial_p_value, paired_difference, wilson_interval


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe (1998), table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
    ],
)
def test_intervals_are_the_published_ones(right, count, low, high):
    assert wilson_interval(right, count) == pytest.approx((low, high), abs=5e-5)


def test_the_p_value_is_that_of_fair_coins():
    # 2 (1 + 10 + 45) / 1024
    assert binomial_p_value(2, 8) == pytest.approx(2 * 56 / 1024)
    assert binomial_p_value(8, 2) == binomial_p_value(2, 8)
    assert binomial_p_value(0, 5) == pytest.approx(2 / 32)
    assert binomial_p_value(0, 0) == 1.0
    assert binomial_p_value(4, 4) == 1.0


def test_large_counts_agree_with_the_normal_distribution():
    b, c = 4800, 5200
    z = (abs(b - c) - 1) / math.sqrt(b + c)
    assert binomial_p_value(b, c) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.01)


def test_only_images_that_one_of_the_two_gets_right_count():
    first = np.array([True] * 80 + [True] * 2 + [False] * 8 + [False] * 10)
    second = np.array([True] * 80 + [False] * 2 + [True] * 8 + [False] * 10)
    found = paired_difference(first, second)
    assert (found.first_only, found.second_only) == (2, 8)
    assert found.difference == pytest.approx(0.06)
    half = 1.959964 * math.sqrt(10 - 36 / 100) / 100
    assert (found.low, found.high) == pytest.approx((0.06 - half, 0.06 + half), abs=1e-7)
    assert found.p_value == pytest.approx(2 * 56 / 1024)
