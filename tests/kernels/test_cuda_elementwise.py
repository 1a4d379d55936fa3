"""The GPU's kernels on activations and gradients themselves: activations, sums, moments, normalisation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from tests.kernels.gpu import MEMORY_ORDERS, ROUNDING, channels_last, draw, elements, exact, vectors
from tests.kernels.native_reference import ACTIVATIONS, activate, finished, gradient_of, near, value_of
from tinytrain.kernels.cuda import elementwise, layout, normalization, primitives

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("gpu")]

SHAPES = {
    "one channel": (3, 1, 4, 5),
    "part of a pack": (2, 7, 3, 3),
    "half a pack": (2, 12, 3, 2),
    "many packs": (2, 136, 5, 4),
    "more packs than a block has": (3, 1056, 2, 1),
    "many pieces": (5, 24, 40, 41),
    "one axis": (3, 33, 17),
    "no axis": (40, 20),
    "one pixel": (1, 9, 1, 1),
    "nothing": (0, 8, 4, 4),
}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
filled = pytest.mark.parametrize(
    "shape", [s for s in SHAPES.values() if s[0]], ids=[k for k, s in SHAPES.items() if s[0]]
)
activations = pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)


def sums_of(grad, y, mean):
    axes = (0, *range(2, grad.ndim))
    return grad.sum(axes), (grad * (y - mean.reshape(-1, *(1,) * (grad.ndim - 2)))).sum(axes)


@elements
@shapes
@activations
def test_apply_scales_adds_and_activates(shape, activation, element):
    x, other = draw(shape, element), draw(shape, element, 1)
    scale, shift, other_scale, other_shift = vectors(4, shape[1])
    first, second = (x, scale, shift, 0, 0.0, 0.0), (other, other_scale, other_shift, 0, 0.0, 0.0)
    for a, b in product([x, first], [None, other, second]):
        expected = activate(value_of(exact(a)) + (0 if b is None else value_of(exact(b))), *activation)
        found = elementwise.apply(a, b, *activation, None)
        assert found.dtype == x.dtype
        assert near(exact(found), expected, ROUNDING[element])


@elements
@pytest.mark.parametrize("start", [4, 8])
def test_apply_writes_between_other_channels(element, start):
    x = draw((3, 16, 4, 5), element)
    wide = channels_last(draw((3, 40, 4, 5), element, 1))
    before = exact(wide)
    elementwise.apply(x, None, 1, 0.0, 0.0, wide[:, start : start + 16])
    found = exact(wide)
    assert near(found[:, start : start + 16], np.maximum(exact(x), 0))
    assert (found[:, :start] == before[:, :start]).all()
    assert (found[:, start + 16 :] == before[:, start + 16 :]).all()


def test_apply_refuses_what_does_not_fit(gpu):
    x = draw((2, 10, 4, 5))
    with pytest.raises(ValueError, match="does not lie channels-last"):
        elementwise.apply(x, None, 0, 0.0, 0.0, gpu.empty((2, 10, 4, 5), "float32"))
    with pytest.raises(ValueError, match="the operands have different shapes"):
        elementwise.apply(x, draw((2, 11, 4, 5)), 0, 0.0, 0.0, None)
    with pytest.raises(TypeError, match="one element type; got float16, float32"):
        elementwise.apply(x, draw((2, 10, 4, 5), "float16"), 0, 0.0, 0.0, None)
    with pytest.raises(ValueError, match="a vector of 10 channels; got 9"):
        elementwise.apply((x, *vectors(2, 9), 0, 0.0, 0.0), None, 0, 0.0, 0.0, None)
    with pytest.raises(ValueError, match=r"expected an array \(n, c\).*got one of the shape \(3,\)"):
        elementwise.moments(gpu.zeros(3, "float32"))


@elements
@activations
def test_a_nan_passes_every_activation_and_its_derivative(activation, element):
    x, g = draw((2, 24, 3, 2), element), draw((2, 24, 3, 2), element, 1)
    x[1, 17, 2, 1] = np.nan
    found = exact(elementwise.apply(x, None, *activation, None))
    assert np.isnan(found).sum() == 1
    assert np.isnan(found[1, 17, 2, 1])
    if activation[0] != 4:
        grad = elementwise.apply_grad((g, x, None, None, *activation, None, None, None))
        assert exact(grad)[1, 17, 2, 1] == exact(g)[1, 17, 2, 1]


@elements
@shapes
@activations
def test_apply_grad_computes_every_part(shape, activation, element):
    g, y = draw(shape, element), draw(shape, element, 1)
    scale, shift, alpha, beta, gamma = vectors(5, shape[1])
    norms = [(None, None, None), (alpha, None, None), (alpha, beta, gamma)]
    for line, norm in product([(None, None), (scale, shift)], norms):
        source = (g, y, *line, *activation, *norm)
        assert near(exact(elementwise.apply_grad(source)), gradient_of(exact(source)), ROUNDING[element])


@elements
@pytest.mark.parametrize("order", MEMORY_ORDERS)
def test_any_order_in_memory_is_read(order, element):
    laid = MEMORY_ORDERS[order]
    shape = (3, 11, 4, 5)
    x, other = draw(shape, element), draw(shape, element, 1)
    scale, shift, alpha, beta, gamma = vectors(5, 11)
    tolerance = ROUNDING[element]
    found = elementwise.apply((laid(x), scale, shift, 0, 0.0, 0.0), laid(other), 1, 0.0, 0.0, None)
    assert near(exact(found), np.maximum(value_of(exact((x, scale, shift, 0, 0.0, 0.0))) + exact(other), 0), tolerance)
    source = (laid(x), laid(other), scale, shift, 1, 0.0, 0.0, alpha, beta, gamma)
    expected = gradient_of(exact(source))
    assert near(exact(elementwise.apply_grad(source)), expected, tolerance)
    assert near(exact(elementwise.grad_sums(source, scale)[0]), expected.sum((0, 2, 3)))
    assert near(exact(elementwise.moments(laid(x))[0]), exact(x).mean((0, 2, 3)), scale=1)
    sink = (laid(other), laid(other), scale, shift, 1, 0.0, 0.0, laid(x), alpha)
    grad = draw(shape, element, 2)
    expected, right, _ = finished(exact(grad), exact((other, other, scale, shift, 1, 0.0, 0.0, x, alpha)))
    found, total, _ = elementwise.finish(laid(grad), sink)
    assert near(exact(found), expected, tolerance)
    assert near(exact(total), right, 1e-4)


@filled
@pytest.mark.parametrize(("mean", "spread"), [(0, 1), (3, 0.1), (1e4, 1e-2), (-1e4, 1e-2)])
def test_moments_are_right_whatever_the_mean(shape, mean, spread, gpu):
    values = (mean + spread * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)
    x = channels_last(gpu.asarray(values))
    right = values.astype(np.float64)
    axes = (0, *range(2, x.ndim))
    found, m2 = map(exact, elementwise.moments(x))
    deviations = ((right - right.mean(axes, keepdims=True)) ** 2).sum(axes)
    assert near(found, right.mean(axes), 2e-7, scale=np.abs(right).max())
    assert np.all(np.abs(m2 - deviations) <= 1e-5 * deviations)


@elements
@filled
def test_moments_of_halves_are_taken_in_float32(shape, element):
    x = draw(shape, element)
    axes = (0, *range(2, x.ndim))
    found, m2 = elementwise.moments(x)
    assert found.dtype == m2.dtype == np.float32
    right = exact(x)
    assert near(exact(found), right.mean(axes), 1e-6, scale=2)
    assert near(exact(m2), ((right - right.mean(axes, keepdims=True)) ** 2).sum(axes))


@elements
@shapes
@activations
def test_sums_of_gradients(shape, activation, element):
    g, y = draw(shape, element), draw(shape, element, 1)
    scale, shift, alpha, beta, mean = vectors(5, shape[1])
    for source in (
        (g, y, None, None, *activation, None, None, None),
        (g, y, scale, shift, *activation, alpha, beta, shift),
    ):
        expected = gradient_of(exact(source))
        total, total_y = elementwise.grad_sums(source, mean)
        right, right_y = sums_of(expected, exact(y), exact(mean))
        size = np.abs(expected).sum((0, *range(2, g.ndim))).max() * 3 + 1 if g.size else 1
        assert near(exact(total), right, scale=size)
        assert near(exact(total_y), right_y, scale=size)
        assert elementwise.grad_sums(source, None)[1] is None
    assert near(exact(elementwise.grad_sums(g, None)[0]), exact(g).sum((0, *range(2, g.ndim))), scale=g.size + 1)


def test_a_mean_needs_values_to_be_taken_off():
    with pytest.raises(ValueError, match="the values that the mean belongs to; got a gradient alone"):
        elementwise.grad_sums(draw((2, 8, 3, 3)), vectors(1, 8)[0])


@elements
@shapes
@activations
def test_a_gradient_is_finished_in_its_memory(shape, activation, element):
    add, m, y = (draw(shape, element, seed) for seed in (1, 2, 3))
    scale, shift, mean = vectors(3, shape[1])
    for sink in (
        (add, m, scale, shift, *activation, y, mean),
        (None, m, None, None, *activation, m, mean),
        (add, None, None, None, 0, 0.0, 0.0, y, mean),
        (None, m, scale, shift, *activation, None, None),
        (add, None, None, None, 0, 0.0, 0.0, None, None),
        (None, None, None, None, 0, 0.0, 0.0, None, None),
    ):
        grad = draw(shape, element)
        expected, total, total_y = finished(exact(grad), exact(sink))
        found, *sums = elementwise.finish(grad, sink)
        assert found is grad
        assert near(exact(found), expected, ROUNDING[element])
        if sink[-1] is None:
            assert sums == [None, None]
            continue
        size = np.abs(expected).sum((0, *range(2, grad.ndim))).max() * 3 + 1 if grad.size else 1
        assert near(exact(sums[0]), total, scale=size)
        assert near(exact(sums[1]), total_y, scale=size)
    assert elementwise.finish(grad, None) == (grad, None, None)


@elements
def test_sums_repeat_to_the_bit_and_do_not_depend_on_gaps(element):
    x = draw((5, 24, 40, 41), element)
    first = elementwise.moments(x)
    for again in (elementwise.moments(x), elementwise.moments(MEMORY_ORDERS["channels-first"](x))):
        assert all((exact(a) == exact(b)).all() for a, b in zip(first, again, strict=True))


def test_packs_are_as_wide_as_memory_allows(gpu):
    assert layout.vectors(draw((2, 16, 3, 3))) == 4
    assert layout.vectors(draw((2, 16, 3, 3), "float16")) == 8
    assert layout.vectors(draw((2, 12, 3, 3), "float16")) == 4
    assert layout.vectors(draw((2, 9, 3, 3))) == 1
    assert layout.vectors(gpu.zeros((2, 16, 3, 3), "float32")) == 0
    wide = draw((2, 32, 3, 3), "float16")
    assert layout.vectors(wide[:, 8:24]) == 8
    assert layout.vectors(wide[:, 2:18]) == 2


def test_an_empty_array_lies_channels_last():
    for shape in ((2, 5, 3, 4), (2, 5, 3), (2, 5)):
        assert layout.step_of(layout.empty(shape, "float16")) == 5


def test_batch_norm_factors(gpu):
    rng = np.random.default_rng(0)
    mean, w, b, total, total_y = rng.standard_normal((5, 300)).astype(np.float32)
    m2 = rng.uniform(1, 5, 300).astype(np.float32)
    on_gpu = {name: gpu.asarray(each) for name, each in locals().items() if isinstance(each, np.ndarray)}
    for weight, bias in product([None, w], [None, b]):
        moved_mean, moved_var = gpu.ones(300, "float32"), gpu.full(300, 2, "float32")
        gpu_w, gpu_b = (None if weight is None else on_gpu["w"]), (None if bias is None else on_gpu["b"])
        scale, shift, rstd = normalization.batch_norm_prepare(
            on_gpu["mean"], on_gpu["m2"], 20, gpu_w, gpu_b, 1e-3, moved_mean, moved_var, 0.25
        )
        right = (m2.astype(np.float64) / 20 + 1e-3) ** -0.5
        factor = right if weight is None else right * weight
        assert near(exact(rstd), right)
        assert near(exact(scale), factor)
        assert near(exact(shift), (0 if bias is None else bias) - mean * factor)
        assert near(exact(moved_mean), 0.75 + 0.25 * mean.astype(np.float64))
        assert near(exact(moved_var), 1.5 + 0.25 * m2.astype(np.float64) / 19)

        arguments = (on_gpu["total"], on_gpu["total_y"], on_gpu["mean"], rstd, gpu_w, 20)
        alpha, beta, gamma, grad_w = normalization.batch_norm_grad(*arguments, True)
        slope = -factor * right**2 * total_y / 20
        assert near(exact(alpha), factor)
        assert near(exact(beta), slope)
        assert near(exact(gamma), -factor * total / 20 - slope * mean)
        assert near(exact(grad_w), right * total_y)
        assert normalization.batch_norm_grad(*arguments, False)[1:3] == (None, None)


def test_a_convolution_with_its_normalisation_is_both(gpu):
    x, w = draw((4, 5, 6, 7)), gpu.ascontiguousarray(draw((9, 5, 3, 3), seed=1))
    where = (1, 1, 1, 1, 1, 1, 1, 1, 1)
    norm_w, norm_b = vectors(2, 9)
    y, mean, m2 = primitives.conv_forward(x, w, where, None, True)
    right, moved = ([gpu.zeros(9, "float32"), gpu.ones(9, "float32")] for _ in range(2))
    factors = primitives.batch_norm_prepare(mean, m2, 4 * 6 * 7, norm_w, norm_b, 1e-3, *right, 0.25)
    found = primitives.conv_and_prepare(x, w, where, *moved, norm_w, norm_b, 1e-3, 0.25)
    for a, b in zip((*found, *moved), (y, mean, *factors, *right), strict=True):
        assert (exact(a) == exact(b)).all()
    for shape, wrong in (((4, 5, 6, 7), gpu.zeros(8, "float32")), ((1, 5, 1, 1), moved[0]), ((0, 5, 6, 7), moved[0])):
        one_pixel = gpu.ascontiguousarray(w[:, :, :1, :1])
        unpadded = (1, 1, 0, 0, 0, 0, 1, 1, 1)
        before = exact(wrong)
        assert primitives.conv_and_prepare(draw(shape), one_pixel, unpadded, wrong, *[None] * 3, 1e-3, 0.25) is None
        assert (exact(wrong) == before).all()


def test_running_statistics_of_halves_move_too(gpu):
    mean, m2 = vectors(1, 8)[0], gpu.full(8, 19, "float32")
    running_mean, running_var = gpu.zeros(8, "float16"), gpu.ones(8, "float16")
    normalization.batch_norm_prepare(mean, m2, 20, None, None, 1e-5, running_mean, running_var, 0.5)
    assert near(exact(running_mean), exact(mean) / 2, ROUNDING["float16"])
    assert (exact(running_var) == 1).all()
