"""Winograd's algorithm computes the reference's convolutions, on any size and instruction set, to a stated accuracy."""

from __future__ import annotations

import numpy as np
import pytest

from tinytrain.kernels.reference import convolution

native = pytest.importorskip("tinytrain.kernels.native._native", reason="the native kernels are not built")

NONE, RELU = 0, 1
BOUND = 4e-6  # of the largest result in magnitude; winograd.h promises it

# n, c, o, h, w, padding of height and width
CASES = {
    "one tile, one channel": (1, 1, 1, 4, 4, (1, 1)),
    "less than a tile": (1, 2, 3, 3, 3, (0, 0)),
    "a single pixel": (3, 5, 4, 1, 1, (1, 1)),
    "one row": (2, 17, 33, 1, 23, (1, 1)),
    "one column": (2, 33, 17, 23, 1, (1, 1)),
    "hanging over by one": (2, 16, 16, 9, 13, (1, 1)),
    "hanging over by two": (1, 20, 7, 14, 6, (1, 1)),
    "hanging over by three": (1, 3, 64, 11, 7, (1, 1)),
    "no padding": (2, 31, 15, 12, 18, (0, 0)),
    "wide padding": (2, 15, 31, 8, 5, (2, 2)),
    "uneven padding": (3, 18, 20, 7, 10, (0, 2)),
    "a tail beyond two vectors": (2, 50, 49, 8, 8, (1, 1)),
    "weight gradients in ranges": (2, 130, 70, 8, 12, (1, 1)),
    "few tiles, many channels": (1, 200, 300, 7, 7, (1, 1)),
    "many blocks": (9, 40, 24, 33, 30, (1, 1)),
    "a row of more tiles than a block": (1, 48, 80, 5, 530, (1, 1)),
}


@pytest.fixture(autouse=True)
def always():
    native.use_winograd("always")
    yield
    native.use_winograd(True)


def channels_last(array):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)


def per_channel(vector):
    return vector.astype(np.float64).reshape(1, -1, 1, 1)


class Operands:
    """Random operands of a case in float32, and the arguments that both kernel sets want."""

    def __init__(self, case, seed=0):
        n, c, o, h, w, (ph, pw) = case
        self.rng = np.random.default_rng(seed)
        self.x = self.images(n, c, h, w)
        self.w = self.draw(o, c, 3, 3)
        self.g = self.images(n, o, h + 2 * ph - 2, w + 2 * pw - 2)
        self.geometry = (1, 1, ph, pw, ph, pw, 1, 1, 1)
        self.arguments = ((1, 1), [(ph, ph), (pw, pw)], (1, 1), 1)

    def draw(self, *shape):
        return self.rng.standard_normal(shape).astype(np.float32)

    def images(self, *shape):
        return channels_last(self.draw(*shape))


def assert_close(result, expected, bound):
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() <= bound * np.abs(expected).max()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_results_and_gradients_are_those_of_the_reference(case, instruction_set):
    p = Operands(case)
    x, w, g = (each.astype(np.float64) for each in (p.x, p.w, p.g))
    bias = p.draw(p.w.shape[0])
    y = native.conv_forward(p.x, p.w, p.geometry, bias, False)
    grad_x = native.conv_input_grad(p.g, p.w, p.x.shape, p.geometry, None)[0]
    grad_w = native.conv_weight_grad(p.g, p.x, p.w.shape, p.geometry)
    assert_close(y, convolution.conv_forward(x, w, *p.arguments) + per_channel(bias), BOUND)
    assert_close(grad_x, convolution.conv_input_grad(g, w, x.shape, *p.arguments), BOUND)
    assert_close(grad_w, convolution.conv_weight_grad(g, x, w.shape, *p.arguments), BOUND)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_done_on_the_way_is_done_on_the_way(case, instruction_set):
    p = Operands(case, seed=1)
    c, o = p.x.shape[1], p.w.shape[0]
    scale, shift = p.draw(c), p.draw(c)
    source = (p.x, scale, shift, RELU, 0.0, 0.0)
    before = p.x * per_channel(scale) + per_channel(shift)
    x = np.maximum(before, 0)

    y, mean, m2 = native.conv_forward(source, p.w, p.geometry, None, True)
    expected = convolution.conv_forward(x, p.w.astype(np.float64), *p.arguments)
    assert_close(y, expected, BOUND)
    centre = y.mean((0, 2, 3), dtype=np.float64, keepdims=True)
    deviations = ((y - centre) ** 2).sum((0, 2, 3))
    assert np.abs(mean - centre.reshape(-1)).max() <= 2e-6 * np.abs(expected).max()
    assert np.abs(m2 - deviations).max() <= 1e-5 * deviations.max() + 1e-12

    alpha, beta, gamma = p.draw(o), p.draw(o), p.draw(o)
    grads = (p.g, y, None, None, RELU, 0.0, 0.0, alpha, beta, gamma)
    g = per_channel(alpha) * p.g * (y > 0) + per_channel(beta) * y + per_channel(gamma)
    add, centres = p.images(*p.x.shape), p.draw(c)
    sink = (add, p.x, scale, shift, RELU, 0.0, 0.0, p.x, centres)
    grad_x = (convolution.conv_input_grad(g, p.w.astype(np.float64), x.shape, *p.arguments) + add) * (before > 0)
    sums = grad_x.sum((0, 2, 3)), (grad_x * (p.x - per_channel(centres))).sum((0, 2, 3))
    result, *result_sums, grad_w = native.conv_backward(grads, source, p.w, p.geometry, sink)
    assert_close(result, grad_x, BOUND)
    assert_close(grad_w, convolution.conv_weight_grad(g, x, p.w.shape, *p.arguments), BOUND)
    for of_result, sum_of, size in zip(result_sums, sums, (1, np.abs(p.x).max() + 3), strict=True):
        assert np.abs(of_result - sum_of).max() <= 2e-6 * np.abs(grad_x).sum((0, 2, 3)).max() * size


def test_random_sizes_keep_to_the_bounds(instruction_set):
    rng = np.random.default_rng(2)
    for seed in range(25):
        n, c, o, h, w = (int(rng.integers(1, high)) for high in (4, 140, 140, 23, 23))
        padding = tuple(int(each) for each in rng.integers(0 if min(h, w) > 2 else 1, 3, 2))
        p = Operands((n, c, o, h, w, padding), seed=seed)
        x, weight, g = (each.astype(np.float64) for each in (p.x, p.w, p.g))
        y = native.conv_forward(p.x, p.w, p.geometry, None, False)
        assert_close(y, convolution.conv_forward(x, weight, *p.arguments), BOUND)
        grad_x = native.conv_input_grad(p.g, p.w, p.x.shape, p.geometry, None)[0]
        assert_close(grad_x, convolution.conv_input_grad(g, weight, x.shape, *p.arguments), BOUND)
        grad_w = native.conv_weight_grad(p.g, p.x, p.w.shape, p.geometry)
        assert_close(grad_w, convolution.conv_weight_grad(g, x, weight.shape, *p.arguments), BOUND)


def test_channels_of_a_wider_array_are_read_where_they_lie(instruction_set):
    p = Operands((2, 24, 20, 9, 10, (1, 1)))
    wide_x, wide_g = p.images(2, 40, 9, 10), p.images(2, 50, 9, 10)
    wide_x[:, :24], wide_g[:, :20] = p.x, p.g
    x, g = wide_x[:, :24], wide_g[:, :20]
    assert np.array_equal(
        native.conv_forward(x, p.w, p.geometry, None, False), native.conv_forward(p.x, p.w, p.geometry, None, False)
    )
    for result, expected in zip(
        native.conv_backward(g, x, p.w, p.geometry, None),
        native.conv_backward(p.g, p.x, p.w, p.geometry, None),
        strict=True,
    ):
        assert expected is None or np.array_equal(result, expected)


def test_an_empty_batch_has_no_results_and_no_gradient(instruction_set):
    p = Operands((0, 20, 30, 8, 8, (1, 1)))
    assert native.conv_forward(p.x, p.w, p.geometry, None, False).shape == (0, 30, 8, 8)
    grad_x, _, _, grad_w = native.conv_backward(p.g, p.x, p.w, p.geometry, None)
    assert grad_x.shape == (0, 20, 8, 8)
    assert grad_w.shape == (30, 20, 3, 3)
    assert not grad_w.any()


@pytest.mark.parametrize("case", ["weight gradients in ranges", "few tiles, many channels", "many blocks"])
def test_the_number_of_threads_changes_no_bit(case, instruction_set):
    p = Operands(CASES[case])
    sink = (None, None, None, None, NONE, 0.0, 0.0, p.x, p.draw(p.x.shape[1]))
    results = []
    threads = native.get_threads()
    for count in (1, 2, 5):
        native.set_threads(count)
        results.append(
            [
                *native.conv_forward(p.x, p.w, p.geometry, None, True),
                *native.conv_backward(p.g, p.x, p.w, p.geometry, sink),
            ]
        )
    native.set_threads(threads)
    for others in zip(*results, strict=True):
        assert all(np.array_equal(others[0], each) for each in others[1:])


def test_switched_off_the_sums_are_direct(instruction_set):
    p = Operands((2, 32, 32, 16, 16, (1, 1)))
    expected = convolution.conv_forward(p.x.astype(np.float64), p.w.astype(np.float64), *p.arguments)
    native.use_winograd("always")
    by_winograd = native.conv_forward(p.x, p.w, p.geometry, None, False)
    native.use_winograd(False)
    direct = native.conv_forward(p.x, p.w, p.geometry, None, False)
    assert not np.array_equal(by_winograd, direct)
    assert_close(direct, expected, 1e-6)


def test_the_switch_takes_no_other_value(instruction_set):
    with pytest.raises(ValueError, match="expected True, False or 'always'"):
        native.use_winograd("sometimes")
