"""Maximum pooling picks the first largest element of each window, and sends the gradient back there."""

from __future__ import annotations

import numpy as np
import pytest

from tinytrain.kernels.reference.pooling import max_pool_forward, max_pool_input_grad

# spatial size, out size, kernel, stride, padding, dilation; the last windows may hang over the end
CASES = {
    "one axis": ((7,), (3,), (3,), (2,), (0,), (1,)),
    "plain": ((4, 6), (2, 3), (2, 2), (2, 2), (0, 0), (1, 1)),
    "overlapping, padded": ((5, 4), (3, 4), (3, 3), (2, 1), (1, 1), (1, 1)),
    "dilated": ((7, 8), (3, 5), (3, 2), (1, 1), (0, 0), (2, 3)),
    "hanging over": ((5, 5), (3, 3), (2, 2), (2, 2), (0, 0), (1, 1)),
    "three axes": ((3, 4, 5), (2, 2, 2), (2, 3, 2), (1, 1, 3), (0, 0, 1), (1, 1, 1)),
}


def windows(size, out_size, kernel, stride, padding, dilation):
    """Yield (output index, [(tap number, input index)]) for every window."""
    for q in np.ndindex(*out_size):
        inside = []
        for number, tap in enumerate(np.ndindex(*kernel)):
            position = [i * s - p + t * d for i, s, p, t, d in zip(q, stride, padding, tap, dilation, strict=True)]
            if all(0 <= at < n for at, n in zip(position, size, strict=True)):
                inside.append((number, tuple(position)))
        yield q, inside


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint8"])
@pytest.mark.parametrize("case", CASES)
def test_the_first_largest_element_wins(case, dtype):
    size, out_size, *window = CASES[case]
    # Few distinct values: there are ties in nearly every window.
    x = np.random.default_rng(0).integers(0, 4, (2, 3, *size)).astype(dtype)
    y, winners = max_pool_forward(x, out_size, *window, with_taps=True)
    for q, inside in windows(size, out_size, *window):
        for plane in np.ndindex(2, 3):
            values = [x[(*plane, *at)] for _, at in inside]
            assert y[(*plane, *q)] == max(values)
            assert winners[(*plane, *q)] == inside[int(np.argmax(values))][0]
    assert y.dtype == dtype
    assert np.moveaxis(y, 1, -1).flags.c_contiguous


@pytest.mark.parametrize("case", CASES)
def test_the_gradient_goes_to_the_winner_alone(case):
    size, out_size, *window = CASES[case]
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, 3, *size)), rng.standard_normal((2, 3, *out_size))
    _, winners = max_pool_forward(x, out_size, *window, with_taps=True)
    expected = np.zeros_like(x)
    for q, inside in windows(size, out_size, *window):
        for plane in np.ndindex(2, 3):
            best = max(inside, key=lambda item: x[(*plane, *item[1])])
            expected[(*plane, *best[1])] += g[(*plane, *q)]
    np.testing.assert_allclose(max_pool_input_grad(g, winners, size, *window), expected, rtol=1e-12)


def test_an_infinite_gradient_stays_at_the_winner():
    x = np.array([[[[1.0, 2.0], [0.0, -1.0]]]])
    window = ((2, 2), (2, 2), (0, 0), (1, 1))
    _, winners = max_pool_forward(x, (1, 1), *window, with_taps=True)
    grad = max_pool_input_grad(np.full((1, 1, 1, 1), np.inf), winners, (2, 2), *window)
    assert grad.tolist() == [[[[0, np.inf], [0, 0]]]]


def test_the_last_nan_wins_over_every_number():
    x = np.array([[[np.nan, 1.0, np.nan, np.inf]]])
    y, winners = max_pool_forward(x, (1,), (4,), (4,), (0,), (1,), with_taps=True)
    assert np.isnan(y.item())
    assert winners.item() == 2


def test_minus_infinity_can_win_over_padding():
    x = np.full((1, 1, 2), -np.inf)
    y, winners = max_pool_forward(x, (2,), (2,), (2,), (1,), (1,), with_taps=True)
    assert y.tolist() == [[[-np.inf, -np.inf]]]
    assert winners.tolist() == [[[1, 0]]]


def test_kernels_of_more_than_256_taps_keep_track_of_the_winner():
    x = np.zeros((1, 1, 300))
    x[0, 0, 299] = 1
    _, winners = max_pool_forward(x, (1,), (300,), (300,), (0,), (1,), with_taps=True)
    assert winners.item() == 299


def test_winners_are_not_computed_where_nobody_wants_them():
    assert max_pool_forward(np.zeros((1, 1, 4)), (2,), (2,), (2,), (0,), (1,), with_taps=False)[1] is None
