"""The native kernels on activations and gradients themselves: activations, sums, moments, pooling."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from tests.kernels.native_reference import (
    ACTIVATIONS,
    MEMORY_ORDERS,
    activate,
    along_channels,
    channels_last,
    gradient_of,
    near,
    value_of,
)
from tinytrain.kernels import native
from tinytrain.kernels.fused import padding, pooling
from tinytrain.kernels.reference import padding as reference_padding
from tinytrain.kernels.reference import pooling as reference_pooling

_native = native.EXTENSION
pytestmark = pytest.mark.usefixtures("instruction_set")

SHAPES = {
    "one channel": (3, 1, 4, 5),
    "part of a vector": (2, 7, 3, 3),
    "a vector and a part": (2, 19, 3, 2),
    "many vectors": (2, 130, 5, 4),
    "many pieces": (5, 24, 40, 41),
    "one axis": (3, 33, 17),
    "no axis": (40, 21),
    "one pixel": (1, 9, 1, 1),
    "nothing": (0, 9, 4, 4),
}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
activations = pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)


def draw(shape, seed=0):
    return channels_last(np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * 2)


def vectors(shape, seed=1):
    return tuple(np.random.default_rng(seed).standard_normal((5, shape[1])).astype(np.float32))


@shapes
@activations
def test_apply_scales_adds_and_activates(shape, activation):
    x, other = draw(shape), draw(shape, 1)
    scale, shift, other_scale, other_shift, _ = vectors(shape)
    first, second = (x, scale, shift, 0, 0.0, 0.0), (other, other_scale, other_shift, 0, 0.0, 0.0)
    for a, b in product([x, first], [None, other, second]):
        expected = activate(value_of(a) + (0 if b is None else value_of(b)), *activation)
        found = _native.apply(a, b, *activation, None)
        assert near(found, expected)


@activations
def test_apply_writes_between_other_channels(activation):
    x = draw((3, 10, 4, 5))
    wide = channels_last(np.full((3, 17, 4, 5), 7, np.float32))
    _native.apply(x, None, *activation, wide[:, 4:14])
    assert near(wide[:, 4:14], activate(x.astype(np.float64), *activation))
    assert (wide[:, :4] == 7).all()
    assert (wide[:, 14:] == 7).all()


def test_apply_refuses_to_write_where_channels_do_not_follow_each_other():
    x = draw((2, 10, 4, 5))
    with pytest.raises(ValueError, match="does not lie channels-last"):
        _native.apply(x, None, 0, 0.0, 0.0, np.empty((2, 10, 4, 5), np.float32))


@activations
def test_a_nan_passes_every_activation_and_its_derivative(activation):
    x, g = draw((2, 19, 3, 2)), draw((2, 19, 3, 2), 1)
    x[1, 17, 2, 1] = np.nan
    found = _native.apply(x, None, *activation, None)
    assert np.isnan(found).sum() == 1
    assert np.isnan(found[1, 17, 2, 1])
    if activation[0] != 4:
        grad = _native.apply_grad((g, x, None, None, *activation, None, None, None))
        assert grad[1, 17, 2, 1] == g[1, 17, 2, 1]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_kinks_have_the_slope_of_pytorch(name):
    kind, low, high = ACTIVATIONS[name]
    at = np.array([[0.0, -0.0, low if kind == 2 else 0.0, high if kind == 2 else 0.0, -3.0, 3.0]], np.float32)
    g = np.ones_like(at)
    expected = {
        "no activation": [1, 1, 1, 1, 1, 1],
        "relu": [0, 0, 0, 0, 0, 1],
        "clip": [1, 1, 0, 0, 0, 0],
        "leaky": [0.1, 0.1, 0.1, 0.1, 0.1, 1],
        "hardswish": [0.5, 0.5, 0.5, 0.5, 0, 1],
    }[name]
    found = _native.apply_grad((g, at, None, None, kind, low, high, None, None, None))
    assert np.allclose(found, [expected])


@shapes
@activations
def test_apply_grad_computes_every_part(shape, activation):
    g, y = draw(shape), draw(shape, 1)
    scale, shift, alpha, beta, gamma = vectors(shape)
    norms = [(None, None, None), (alpha, None, None), (alpha, beta, gamma)]
    for line, norm in product([(None, None), (scale, shift)], norms):
        source = (g, y, *line, *activation, *norm)
        assert near(_native.apply_grad(source), gradient_of(source))


@pytest.mark.parametrize("order", MEMORY_ORDERS)
def test_any_order_in_memory_is_read(order):
    laid = MEMORY_ORDERS[order]
    shape = (3, 11, 4, 5)
    x, other = draw(shape), draw(shape, 1)
    scale, shift, alpha, beta, gamma = vectors(shape)
    found = _native.apply((laid(x), scale, shift, 0, 0.0, 0.0), laid(other), 1, 0.0, 0.0, None)
    assert near(found, np.maximum(value_of((x, scale, shift, 0, 0.0, 0.0)) + other, 0))
    source = (laid(x), laid(other), scale, shift, 1, 0.0, 0.0, alpha, beta, gamma)
    assert near(_native.apply_grad(source), gradient_of(source))
    assert near(_native.grad_sums(source, scale)[0], gradient_of(source).sum((0, 2, 3)))
    assert near(_native.moments(laid(x))[0], x.astype(np.float64).mean((0, 2, 3)), scale=1)
    assert near(_native.mean_pixels(laid(x)), x.mean((2, 3), keepdims=True, dtype=np.float64), scale=1)


@pytest.mark.parametrize("shape", [s for s in SHAPES.values() if s[0]], ids=[k for k, s in SHAPES.items() if s[0]])
@pytest.mark.parametrize(("mean", "spread"), [(0, 1), (3, 0.1), (1e4, 1e-2), (-1e4, 1e-2)])
def test_moments_are_right_whatever_the_mean(shape, mean, spread):
    x = draw(shape)
    x[...] = mean + spread * x.astype(np.float64)
    exact = x.astype(np.float64)
    axes = (0, *range(2, x.ndim))
    found, m2 = _native.moments(x)
    deviations = ((exact - exact.mean(axes, keepdims=True)) ** 2).sum(axes)
    assert near(found, exact.mean(axes), 2e-7, scale=np.abs(exact).max())
    # The mean itself is a float32: m2 cannot be known better than its rounding says.
    rounding = (2e-7 * mean) ** 2 * (x.size // x.shape[1])
    assert np.all(np.abs(m2 - deviations) <= 1e-5 * deviations + rounding)


@shapes
@activations
def test_sums_of_gradients(shape, activation):
    g, y = draw(shape), draw(shape, 1)
    scale, shift, alpha, beta, mean = vectors(shape)
    axes = (0, *range(2, g.ndim))
    for source in (
        (g, y, None, None, *activation, None, None, None),
        (g, y, scale, shift, *activation, None, None, None),
        (g, y, scale, shift, *activation, alpha, beta, shift),
    ):
        expected = gradient_of(source)
        total, total_y = _native.grad_sums(source, mean)
        right = (expected * (y - along_channels(mean, y.ndim))).sum(axes)
        scale_of_sums = np.abs(expected).sum(axes).max() * 3 + 1 if g.size else 1
        assert near(total, expected.sum(axes), scale=scale_of_sums)
        assert near(total_y, right, scale=scale_of_sums)
        assert _native.grad_sums(source, None)[1] is None
    assert near(_native.grad_sums(g, None)[0], g.astype(np.float64).sum(axes), scale=g.size + 1)


POOLS = {
    "2x2": ((8, 6), (2, 2), (2, 2), (0, 0), (1, 1)),
    "3x3 of stride 2, padded": ((9, 8), (3, 3), (2, 2), (1, 1), (1, 1)),
    "overlapping": ((7, 7), (3, 2), (1, 1), (1, 0), (1, 1)),
    "dilated": ((9, 10), (3, 2), (2, 1), (1, 1), (2, 3)),
    "windows over the end": ((7, 8), (3, 3), (2, 3), (0, 0), (1, 1)),
    "one axis": ((11,), (3,), (2,), (1,), (1,)),
    "16 x 16 taps": ((17, 18), (16, 16), (1, 1), (0, 0), (1, 1)),
    "more taps than a byte counts": ((18, 18), (17, 16), (1, 1), (0, 0), (1, 1)),
}


def out_size(size, kernel, stride, padding, dilation, ceil):
    def windows(s, k, step, p, d):
        span = s + 2 * p - d * (k - 1) - 1
        count = (span + (step - 1 if ceil else 0)) // step + 1
        return count - 1 if ceil and (count - 1) * step >= s + p else count

    return tuple(map(windows, size, kernel, stride, padding, dilation))


@pytest.mark.parametrize("ceil", [False, True], ids=["floor", "ceil"])
@pytest.mark.parametrize("values", ["any", "ties", "NaN", "infinite"])
@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
def test_max_pool_and_its_gradient(pool, values, ceil):
    size, *window = pool
    out = out_size(*pool, ceil)
    for channels in (1, 18):
        x = draw((2, channels, *size))
        if values == "ties":
            x[...] = np.round(x / 2)
        elif values == "NaN":
            x[np.abs(x) > 3] = np.nan
            x[1, -1] = np.nan
        elif values == "infinite":
            x[...] = np.where(x > 1, np.inf, np.where(x < 0, -np.inf, x))
            x[1, -1] = -np.inf
        y, winners = pooling.max_pool_forward(x, out, *window, True)
        expected, expected_winners = reference_pooling.max_pool_forward(x, out, *window, True)
        assert np.array_equal(y, expected, equal_nan=True)
        assert np.array_equal(winners, expected_winners)
        assert pooling.max_pool_forward(x, out, *window, False)[1] is None

        g = draw(y.shape, 2)
        expected = reference_pooling.max_pool_input_grad(g.astype(np.float64), expected_winners, size, *window)
        for order in ("channels-last", "channels-first", "gaps between pixels"):
            assert near(pooling.max_pool_input_grad(MEMORY_ORDERS[order](g), winners, size, *window), expected)


@activations
def test_pools_scale_and_activate_while_they_read(activation):
    shape = (2, 21, 6, 5)
    x = draw(shape)
    scale, shift, *_ = vectors(shape)
    source = (x, scale, shift, *activation)
    exact = value_of(source)
    window = ((3, 2), (2, 1), (1, 1), (1, 1))
    out = out_size((6, 5), *window, False)
    y, _ = _native.max_pool(source, *out, (3, 2, 2, 1, 1, 1, 1, 1), True)
    assert near(y, reference_pooling.max_pool_forward(exact, out, *window, False)[0])
    assert near(_native.mean_pixels(source), exact.mean((2, 3), keepdims=True))


@pytest.mark.parametrize("shape", [s for s in SHAPES.values() if s[0] and len(s) > 2])
def test_mean_of_pixels(shape):
    x = draw(shape)
    expected = x.mean(tuple(range(2, x.ndim)), keepdims=True, dtype=np.float64)
    assert near(_native.mean_pixels(x), expected, scale=np.abs(x).max())


def test_pools_of_an_empty_batch_are_empty():
    x = draw((0, 5, 6, 6))
    y, winners = _native.max_pool(x, 3, 3, (2, 2, 2, 2, 0, 0, 1, 1), True)
    assert y.shape == winners.shape == (0, 5, 3, 3)
    assert _native.max_pool_grad(y, winners, 6, 6, (2, 2, 2, 2, 0, 0, 1, 1)).shape == x.shape
    assert _native.mean_pixels(x).shape == (0, 5, 1, 1)


def test_batch_norm_factors():
    rng = np.random.default_rng(0)
    mean, w, b, total, total_y = rng.standard_normal((5, 13)).astype(np.float32)
    m2 = rng.uniform(1, 5, 13).astype(np.float32)
    running_mean, running_var = np.ones(13, np.float32), np.full(13, 2, np.float32)
    for weight, bias in product([None, w], [None, b]):
        moved_mean, moved_var = running_mean.copy(), running_var.copy()
        scale, shift, rstd = _native.batch_norm_prepare(mean, m2, 20, weight, bias, 1e-3, moved_mean, moved_var, 0.25)
        right = (m2.astype(np.float64) / 20 + 1e-3) ** -0.5
        factor = right if weight is None else right * weight
        assert near(rstd, right)
        assert near(scale, factor)
        assert near(shift, (0 if bias is None else bias) - mean * factor)
        assert near(moved_mean, 0.75 + 0.25 * mean.astype(np.float64))
        assert near(moved_var, 1.5 + 0.25 * m2.astype(np.float64) / 19)

        alpha, beta, gamma, grad_w = _native.batch_norm_grad(total, total_y, mean, rstd, weight, 20, True)
        slope = -factor * right**2 * total_y / 20
        assert near(alpha, factor)
        assert near(beta, slope)
        assert near(gamma, -factor * total / 20 - slope * mean)
        assert near(grad_w, right * total_y)
        assert _native.batch_norm_grad(total, total_y, mean, rstd, weight, 20, False)[1:3] == (None, None)


def test_a_convolution_with_its_normalisation_is_both():
    x, w = draw((4, 5, 6, 7)), np.ascontiguousarray(draw((9, 5, 3, 3), seed=1))
    where = (1, 1, 1, 1, 1, 1, 1, 1, 1)
    norm_w, norm_b, *_ = vectors((4, 9))
    y, mean, m2 = _native.conv_forward(x, w, where, None, True)
    right = [np.zeros(9, np.float32), np.ones(9, np.float32)]
    moved = [each.copy() for each in right]
    expected = (y, mean, *_native.batch_norm_prepare(mean, m2, 4 * 6 * 7, norm_w, norm_b, 1e-3, *right, 0.25))
    found = _native.conv_and_prepare(x, w, where, *moved, norm_w, norm_b, 1e-3, 0.25)
    for a, b in zip((*found, *moved), (*expected, *right), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize(
    ("shape", "running_mean"),
    [
        ((4, 5, 3, 3), np.zeros(8, np.float32)),
        ((4, 5, 3, 3), np.zeros(9, np.float64)),
        ((4, 5, 3, 3), [0.0] * 9),
        ((1, 5, 3, 3), np.zeros(9, np.float32)),
        ((0, 5, 3, 3), np.zeros(9, np.float32)),
    ],
    ids=["length", "type", "list", "one value", "no value"],
)
def test_nothing_has_changed_where_a_convolution_is_not_normalised(shape, running_mean):
    before = np.array(running_mean)
    w, where = np.ascontiguousarray(draw((9, 5, 3, 3), seed=1)), (1, 1, 0, 0, 0, 0, 1, 1, 1)
    assert _native.conv_and_prepare(draw(shape), w, where, running_mean, None, None, None, 1e-3, 0.25) is None
    assert np.array_equal(running_mean, before)


ENDS = {
    "channels": [(0, 0), (3, 2), (0, 0), (0, 0)],
    "pixels": [(0, 0), (0, 0), (2, 1), (1, 3)],
    "all": [(0, 0), (1, 20), (0, 2), (3, 0)],
    "some are cut": [(0, 0), (-2, 1), (2, -1), (-1, -2)],
    "rows and columns are cut": [(0, 0), (0, 0), (-1, -1), (1, -2)],
    "channels and columns are cut": [(0, 0), (-1, -3), (0, 0), (-2, 1)],
    "all columns are cut": [(0, 0), (0, 0), (0, 0), (-2, -3)],
    "none": [(0, 0)] * 4,
    "images": [(1, 2), (0, 0), (1, 0), (0, 0)],
}


@pytest.mark.parametrize("pairs", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("shape", [(2, 7, 3, 5), (3, 4, 40, 5), (2, 40, 33, 5), (0, 4, 4, 5)])
@pytest.mark.parametrize("order", MEMORY_ORDERS.values(), ids=MEMORY_ORDERS)
def test_padding_puts_and_cuts_what_the_reference_does(pairs, shape, order):
    x = order(draw(shape))
    found, expected = padding.pad_constant(x, pairs, -1.5), reference_padding.pad_constant(x, pairs, -1.5)
    assert np.array_equal(found, expected)
    assert found.size == 0 or found.strides == expected.strides
    assert not np.shares_memory(found, x)


@pytest.mark.parametrize("ends", [(-5, -3, 0, 0, 0, 0), (0, 0, 0, -4, 0, 0)])
def test_padding_refuses_to_cut_more_than_there_is(ends):
    with pytest.raises(ValueError, match="more is taken away than is given"):
        _native.pad(draw((2, 7, 3, 5)), ends, 0.0)
