"""The convolution kernels do what the sums in their definition say."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from tinytrain.kernels.reference import convolution

# spatial size, c, o, kernel, stride, padding pairs, dilation, groups
CASES = {
    "one axis": ((7,), 3, 2, (3,), (2,), [(1, 1)], (1,), 1),
    "dense": ((5, 6), 3, 4, (3, 2), (1, 1), [(1, 1), (0, 0)], (1, 1), 1),
    "strided, dilated": ((7, 9), 2, 3, (2, 3), (2, 3), [(0, 0), (2, 2)], (3, 2), 1),
    "uneven padding": ((5, 5), 2, 2, (2, 4), (1, 1), [(0, 1), (1, 2)], (1, 1), 1),
    "more padding than the kernel reaches": ((4, 4), 2, 3, (1, 2), (1, 1), [(2, 2), (3, 3)], (1, 1), 1),
    "pointwise": ((4, 5), 6, 3, (1, 1), (1, 1), [(0, 0), (0, 0)], (1, 1), 1),
    "pointwise, strided": ((5, 4), 3, 2, (1, 1), (2, 2), [(0, 0), (0, 0)], (1, 1), 1),
    "grouped": ((5, 6), 6, 4, (3, 3), (2, 1), [(1, 1), (2, 2)], (1, 1), 2),
    "depthwise": ((6, 5), 4, 4, (3, 3), (1, 2), [(1, 1), (1, 1)], (1, 1), 4),
    "depthwise, two filters a channel": ((6, 7), 3, 6, (2, 3), (2, 1), [(0, 1), (2, 2)], (1, 2), 3),
    "three axes": ((4, 3, 5), 2, 4, (2, 1, 3), (1, 2, 2), [(1, 1), (0, 0), (1, 1)], (1, 1, 2), 2),
}


def operands(case, batch=2, dtype=np.float64, seed=0):
    size, c, o, kernel, stride, padding, dilation, groups = CASES[case]
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, c, *size)).astype(dtype)
    w = rng.standard_normal((o, c // groups, *kernel)).astype(dtype)
    return x, w, (stride, padding, dilation, groups)


def terms(x_shape, w_shape, stride, padding, dilation, groups):
    """Yield the index triples (y, w, x) of every product in the definition."""
    n, _, *size = x_shape
    o, group_channels, *kernel = w_shape
    out_size = [
        (s + before + after - d * (k - 1) - 1) // step + 1
        for s, (before, after), d, k, step in zip(size, padding, dilation, kernel, stride, strict=True)
    ]
    for image, out, q, channel, tap in product(
        range(n), range(o), np.ndindex(*out_size), range(group_channels), list(np.ndindex(*kernel))
    ):
        position = [
            i * s + t * d - before for i, s, t, d, (before, _) in zip(q, stride, tap, dilation, padding, strict=True)
        ]
        if all(0 <= p < s for p, s in zip(position, size, strict=True)):
            from_channel = out // (o // groups) * group_channels + channel
            yield (image, out, *q), (out, channel, *tap), (image, from_channel, *position)


def out_shape(x_shape, w_shape, stride, padding, dilation, groups):
    n, _, *size = x_shape
    o, _, *kernel = w_shape
    axes = zip(size, padding, dilation, kernel, stride, strict=True)
    return (n, o, *((s + before + after - d * (k - 1) - 1) // step + 1 for s, (before, after), d, k, step in axes))


@pytest.mark.parametrize("case", CASES)
def test_forward_is_the_sum_of_products(case):
    x, w, arguments = operands(case)
    b = np.arange(w.shape[0], dtype=float)
    expected = np.zeros(out_shape(x.shape, w.shape, *arguments)) + b.reshape(-1, *(1,) * (x.ndim - 2))
    for at_y, at_w, at_x in terms(x.shape, w.shape, *arguments):
        expected[at_y] += w[at_w] * x[at_x]
    np.testing.assert_allclose(convolution.conv_forward(x, w, *arguments, b), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_the_sums_of_products(case):
    x, w, arguments = operands(case)
    g = np.random.default_rng(1).standard_normal(out_shape(x.shape, w.shape, *arguments))
    expected_x, expected_w = np.zeros_like(x), np.zeros_like(w)
    for at_y, at_w, at_x in terms(x.shape, w.shape, *arguments):
        expected_x[at_x] += g[at_y] * w[at_w]
        expected_w[at_w] += g[at_y] * x[at_x]
    found_x = convolution.conv_input_grad(g, w, x.shape, *arguments)
    found_w = convolution.conv_weight_grad(g, x, w.shape, *arguments)
    np.testing.assert_allclose(found_x, expected_x, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found_w, expected_w, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(convolution.conv_bias_grad(g), g.sum(axis=(0, *range(2, g.ndim))), rtol=1e-12)


@pytest.mark.parametrize("case", ["dense", "grouped", "depthwise", "strided, dilated"])
def test_pieces_of_any_size_give_the_same_result(case, monkeypatch):
    x, w, arguments = operands(case, batch=3)
    whole = convolution.conv_forward(x, w, *arguments)
    g = np.random.default_rng(1).standard_normal(whole.shape)
    whole_x = convolution.conv_input_grad(g, w, x.shape, *arguments)
    whole_w = convolution.conv_weight_grad(g, x, w.shape, *arguments)
    monkeypatch.setattr(convolution, "PIECE_BYTES", 1)
    monkeypatch.setattr("tinytrain.kernels.reference.depthwise.PIECE_BYTES", 1)
    np.testing.assert_allclose(convolution.conv_forward(x, w, *arguments), whole, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(convolution.conv_input_grad(g, w, x.shape, *arguments), whole_x, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(convolution.conv_weight_grad(g, x, w.shape, *arguments), whole_w, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_results_are_channels_last_in_memory_whatever_the_input_is(case):
    x, w, arguments = operands(case)
    in_channels_last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    for each in (x, in_channels_last, np.asfortranarray(x)):
        y = convolution.conv_forward(each, w, *arguments)
        grad = convolution.conv_input_grad(y, w, x.shape, *arguments)
        assert np.moveaxis(y, 1, -1).flags.c_contiguous
        assert np.moveaxis(grad, 1, -1).flags.c_contiguous


@pytest.mark.parametrize("case", ["dense", "grouped", "depthwise", "pointwise"])
def test_float16_is_summed_in_float32(case):
    x, w, arguments = operands(case, dtype=np.float16)
    expected = convolution.conv_forward(x.astype(np.float32), w.astype(np.float32), *arguments)
    found = convolution.conv_forward(x, w, *arguments)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, expected.astype(np.float16))


@pytest.mark.parametrize("case", ["dense", "grouped", "depthwise"])
def test_integers_are_convolved_exactly(case):
    x, w, arguments = operands(case)
    x, w = (x * 10).astype(np.int64), (w * 10).astype(np.int64)
    found = convolution.conv_forward(x, w, *arguments)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, convolution.conv_forward(x.astype(float), w.astype(float), *arguments))


@pytest.mark.parametrize("case", ["dense", "grouped", "depthwise", "pointwise"])
def test_an_empty_batch_gives_empty_results_and_a_zero_weight_gradient(case):
    x, w, arguments = operands(case, batch=0)
    y = convolution.conv_forward(x, w, *arguments)
    assert y.shape == out_shape(x.shape, w.shape, *arguments)
    assert convolution.conv_input_grad(y, w, x.shape, *arguments).shape == x.shape
    np.testing.assert_array_equal(convolution.conv_weight_grad(y, x, w.shape, *arguments), np.zeros_like(w))


def test_input_rows_that_no_window_reaches_get_no_gradient():
    g, w = np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2))
    grad = convolution.conv_input_grad(g, w, (1, 1, 6, 5), (2, 2), [(0, 0)] * 2, (1, 1), 1)
    expected = np.zeros((6, 5))
    expected[:4, :4] = 1
    np.testing.assert_array_equal(grad[0, 0], expected)
