"""The native convolutions compute what the reference kernels do in float64, whatever is fused into them."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest

from tests.kernels.native_reference import (
    ACTIVATIONS,
    MEMORY_ORDERS,
    channels_last,
    finished,
    gradient_of,
    near,
    value_of,
)
from tinytrain.kernels import native
from tinytrain.kernels.fused.convolution import geometry
from tinytrain.kernels.reference import convolution as reference

_native = native._native
pytestmark = pytest.mark.usefixtures("instruction_set")
NOTHING = (None, None, None, None, 0, 0.0, 0.0, None, None)
"""A sink that changes nothing."""


@dataclass(frozen=True)
class Case:
    """A convolution; the sizes are (h, w), (w,) or ()."""

    n: int
    c: int
    o: int
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1

    @property
    def arguments(self):
        return self.stride, self.padding, self.dilation, self.groups

    @property
    def geometry(self):
        return geometry(*self.arguments) if self.size else (1, 1, 0, 0, 0, 0, 1, 1, 1)

    @property
    def fits(self):
        axes = zip(self.size, self.padding, self.dilation, self.kernel, strict=True)
        return all(size + sum(padding) >= d * (k - 1) + 1 for size, padding, d, k in axes)


def both(value):
    return (value, value)


def pad(h, w):
    return (both(h), both(w))


def reference_forward(case, x, w):
    if not case.size:
        return x @ w.T.astype(np.float64)
    return reference.conv_forward(x, w.astype(np.float64), *case.arguments)


def reference_input_grad(case, g, w, x_shape):
    if not case.size:
        return g @ w.astype(np.float64)
    return reference.conv_input_grad(g, w.astype(np.float64), x_shape, *case.arguments)


def reference_weight_grad(case, g, x, w_shape):
    if not case.size:
        return g.T @ x
    return reference.conv_weight_grad(g, x, w_shape, *case.arguments)


@dataclass(frozen=True, eq=False)
class Operands:
    """Everything that can go into a convolution's kernels, float32, activations channels-last."""

    x: np.ndarray
    w: np.ndarray
    bias: np.ndarray
    g: np.ndarray
    y: np.ndarray
    add: np.ndarray
    m: np.ndarray
    of_inputs: tuple[np.ndarray, ...]
    of_outputs: tuple[np.ndarray, ...]


@functools.cache
def operands(case):
    rng = np.random.default_rng(0)

    def draw(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    x = channels_last(draw(case.n, case.c, *case.size))
    w = draw(case.o, case.c // case.groups, *case.kernel)
    shape = reference_forward(case, x.astype(np.float64), w).shape
    return Operands(
        x=x,
        w=w,
        bias=draw(case.o),
        g=channels_last(draw(*shape)),
        y=channels_last(draw(*shape)),
        add=channels_last(draw(*x.shape)),
        m=channels_last(draw(*x.shape)),
        of_inputs=tuple(draw(case.c) for _ in range(5)),
        of_outputs=tuple(draw(case.o) for _ in range(5)),
    )


def pending_input(case, activation="relu"):
    """Return a source with a scale, a shift and an activation."""
    ops = operands(case)
    return (ops.x, *ops.of_inputs[:2], *ACTIVATIONS[activation])


def pending_gradient(case, activation="relu"):
    """Return a gradient with all of its parts."""
    ops = operands(case)
    return (ops.g, ops.y, *ops.of_outputs[:2], *ACTIVATIONS[activation], *ops.of_outputs[2:])


def own_sink(case, activation="relu"):
    """Return the sink of a network: the input's own activation, and sums with the input."""
    ops = operands(case)
    return (ops.add, *pending_input(case, activation), ops.x, ops.of_inputs[2])


@functools.cache
def expectation(case, activation):
    """Return output, input gradient and weight gradient of pending operands."""
    ops = operands(case)
    x, g = value_of(pending_input(case, activation)), gradient_of(pending_gradient(case, activation))
    return (
        reference_forward(case, x, ops.w),
        reference_input_grad(case, g, ops.w, x.shape),
        reference_weight_grad(case, g, x, ops.w.shape),
    )


def check(case, activation="relu"):
    """Compare every kernel of a convolution on pending operands with the reference."""
    ops = operands(case)
    y, grad_x, grad_w = expectation(case, activation)
    x, g = pending_input(case, activation), pending_gradient(case, activation)
    axes = (0, *range(2, y.ndim))

    found, mean, m2 = _native.conv_forward(x, ops.w, case.geometry, None, True)
    assert near(found, y), "output"
    assert near(mean, y.mean(axes), scale=np.abs(y).max()), "mean"
    assert near(m2, ((y - y.mean(axes, keepdims=True)) ** 2).sum(axes), scale=(y**2).sum(axes).max()), "deviations"
    found = _native.conv_forward(x, ops.w, case.geometry, ops.bias, False)
    assert near(found, y + ops.bias.reshape(1, -1, *(1,) * (y.ndim - 2))), "output with bias"

    for sink in (None, own_sink(case, activation)):
        expected, total, total_y = finished(grad_x, sink or NOTHING)
        combined = _native.conv_backward(g, x, ops.w, case.geometry, sink)
        for name, grads in {
            "input gradient": _native.conv_input_grad(g, ops.w, ops.x.shape, case.geometry, sink),
            "input gradient of both": combined,
        }.items():
            assert near(grads[0], expected, scale=np.abs(grad_x).max() + 1), name
            if sink is None:
                assert grads[1] is None
                assert grads[2] is None
            else:
                assert near(grads[1], total, scale=np.abs(expected).sum(axes).max()), f"sum of the {name}"
                assert near(grads[2], total_y, scale=np.abs(expected * ops.x).sum(axes).max() + 1), (
                    f"products of the {name}"
                )
        assert near(combined[3], grad_w), "weight gradient of both"
    assert near(_native.conv_weight_grad(g, x, ops.w.shape, case.geometry), grad_w), "weight gradient"


GEOMETRIES = [
    case
    for kernel, stride, padding, dilation, (c, o, groups) in product(
        [(1, 1), (3, 3), (2, 3), (4, 1)],
        [(1, 1), (2, 1), (3, 2)],
        [pad(0, 0), pad(1, 2), ((0, 1), (2, 0))],
        [(1, 1), (2, 1), (1, 3)],
        [(5, 7, 1), (6, 4, 2), (9, 9, 9)],
    )
    if (case := Case(2, c, o, (7, 8), kernel, stride, padding, dilation, groups)).fits
]


@pytest.mark.parametrize("groups", [1, 2, 9], ids=["dense", "grouped", "depthwise"])
def test_every_stride_padding_and_dilation(groups):
    for number, case in enumerate(each for each in GEOMETRIES if each.groups == groups):
        try:
            check(case, list(ACTIVATIONS)[number % len(ACTIVATIONS)])
        except AssertionError as error:
            raise AssertionError(f"{case}: {error}") from error


NETWORKS = {
    "the first layer": Case(4, 3, 32, (32, 32), (3, 3), padding=pad(1, 1)),
    "a 7x7 first layer of stride 2": Case(2, 3, 20, (37, 35), (7, 7), (2, 2), pad(3, 3)),
    "3x3": Case(4, 32, 40, (14, 14), (3, 3), padding=pad(1, 1)),
    "3x3 of stride 2": Case(3, 24, 36, (15, 14), (3, 3), (2, 2), pad(1, 1)),
    "pointwise, many bands": Case(16, 32, 64, (16, 16), (1, 1)),
    "pointwise, too large for both gradients at once": Case(2, 600, 520, (7, 7), (1, 1)),
    "pointwise of stride 2": Case(3, 20, 40, (9, 9), (1, 1), (2, 2)),
    "few pixels, many channels": Case(1, 96, 200, (2, 2), (3, 3), padding=pad(1, 1)),
    "depthwise 3x3, many bands": Case(6, 48, 48, (28, 28), (3, 3), padding=pad(1, 1), groups=48),
    "depthwise, more channels than a block": Case(2, 300, 300, (7, 7), (3, 3), padding=pad(1, 1), groups=300),
    "depthwise 7x7": Case(2, 20, 20, (12, 12), (7, 7), padding=pad(3, 3), groups=20),
    "two filters a channel": Case(2, 12, 24, (9, 8), (3, 3), padding=pad(1, 1), groups=12),
    "five filters a channel, strided": Case(2, 3, 15, (9, 8), (3, 3), (2, 2), pad(1, 1), groups=3),
    "groups of many channels": Case(2, 64, 96, (8, 8), (3, 3), padding=pad(1, 1), groups=2),
    "one long row": Case(2, 6, 5, (1, 700), (1, 5), padding=pad(0, 2)),
    "a wide image": Case(1, 5, 6, (3, 300), (3, 3), padding=pad(1, 1)),
    "a kernel as large as the image": Case(3, 10, 12, (5, 4), (5, 4)),
    "more padding than the kernel reaches": Case(2, 3, 5, (3, 3), (2, 2), (1, 1), pad(4, 3)),
    "strides larger than the kernel": Case(2, 4, 5, (11, 10), (2, 1), (4, 3), pad(1, 0)),
    "one pixel": Case(2, 8, 3, (1, 1), (3, 3), padding=pad(1, 1)),
    "one axis": Case(3, 10, 12, (40,), (5,), (1,), (both(2),), (1,)),
    "one axis, strided, dilated, grouped": Case(3, 6, 4, (41,), (3,), (2,), ((1, 2),), (3,), 2),
    "one axis, depthwise": Case(2, 18, 18, (33,), (3,), (1,), (both(1),), (1,), 18),
    "no axis": Case(50, 33, 17, (), (), (), (), ()),
}


@pytest.mark.parametrize("case", NETWORKS.values(), ids=NETWORKS)
def test_layers_of_networks(case):
    check(case)


@pytest.mark.parametrize("size", [3, 5])
def test_depthwise_kernels_of_every_stride(size):
    for stride, channels, width in product([1, 2, 3], [1, 7, 16, 35], [5, 6, 11]):
        if channels > 1:  # one channel in one group is a dense convolution
            check(
                Case(
                    2,
                    channels,
                    channels,
                    (7, width),
                    both(size),
                    both(stride),
                    pad(size // 2, size // 2),
                    groups=channels,
                )
            )


def test_channels_that_do_not_fill_a_vector():
    for channels, kernel in product([1, 2, 3, 5, 8, 9, 15, 17, 31, 33, 40], [1, 3]):
        check(Case(1, channels, 18, (4, 5), both(kernel), padding=pad(kernel // 2, kernel // 2)))
        check(Case(2, 11, channels, (4, 5), both(kernel), padding=pad(kernel // 2, kernel // 2)))


SMALL = {
    "dense": Case(3, 18, 20, (6, 5), (3, 3), padding=pad(1, 1)),
    "grouped": Case(2, 12, 8, (6, 5), (3, 3), (2, 1), pad(1, 1), groups=4),
    "pointwise": Case(3, 18, 20, (6, 5), (1, 1)),
    "depthwise 3x3": Case(3, 18, 18, (6, 5), (3, 3), padding=pad(1, 1), groups=18),
    "depthwise, strided": Case(3, 18, 18, (6, 5), (3, 2), (2, 2), pad(1, 1), groups=18),
}
small = pytest.mark.parametrize("case", SMALL.values(), ids=SMALL)


@small
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("scaled", [False, True], ids=["as it is", "scaled"])
def test_input_is_scaled_and_activated_while_it_is_read(case, activation, scaled):
    ops = operands(case)
    source = (ops.x, *(ops.of_inputs[:2] if scaled else (None, None)), *ACTIVATIONS[activation])
    x, g = value_of(source), ops.g.astype(np.float64)

    assert near(_native.conv_forward(source, ops.w, case.geometry, None, False), reference_forward(case, x, ops.w))
    grad_w = reference_weight_grad(case, g, x, ops.w.shape)
    assert near(_native.conv_weight_grad(ops.g, source, ops.w.shape, case.geometry), grad_w)
    assert near(_native.conv_backward(ops.g, source, ops.w, case.geometry, None)[3], grad_w)


@small
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("parts", ["", "scaled", "alpha", "scaled alpha", "alpha beta", "scaled alpha beta"])
def test_gradient_is_finished_while_it_is_read(case, activation, parts):
    ops = operands(case)
    scale, shift, alpha, beta, gamma = ops.of_outputs
    source = (
        ops.g,
        ops.y,
        *((scale, shift) if "scaled" in parts else (None, None)),
        *ACTIVATIONS[activation],
        alpha if "alpha" in parts else None,
        *((beta, gamma) if "beta" in parts else (None, None)),
    )
    g, x = gradient_of(source), ops.x.astype(np.float64)
    grad_x = reference_input_grad(case, g, ops.w, x.shape)
    grad_w = reference_weight_grad(case, g, x, ops.w.shape)

    assert near(_native.conv_input_grad(source, ops.w, x.shape, case.geometry, None)[0], grad_x)
    assert near(_native.conv_weight_grad(source, ops.x, ops.w.shape, case.geometry), grad_w)
    found = _native.conv_backward(source, ops.x, ops.w, case.geometry, None)
    assert near(found[0], grad_x)
    assert near(found[3], grad_w)


@small
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("through", ["nothing", "own", "own, another activation", "another", "another, scaled"])
def test_input_gradient_is_finished_while_it_is_written(case, activation, through):
    ops = operands(case)
    scale, shift, mean, other_scale, other_shift = ops.of_inputs
    act = ACTIVATIONS[activation]
    x = (ops.x, scale, shift, *act)
    other = ACTIVATIONS["hardswish" if activation == "relu" else "relu"]
    passes = {
        "nothing": (None, None, None, 0, 0.0, 0.0),
        "own": x,
        "own, another activation": (ops.x, scale, shift, *other),
        "another": (ops.m, None, None, *act),
        "another, scaled": (ops.m, other_scale, other_shift, *act),
    }[through]
    grad_x = reference_input_grad(case, ops.g.astype(np.float64), ops.w, ops.x.shape)
    grad_w = reference_weight_grad(case, ops.g.astype(np.float64), value_of(x), ops.w.shape)
    for add, (y, mu) in product([None, ops.add], [(None, None), (ops.x, mean), (ops.m, mean), (ops.add, mean)]):
        sink = (add, *passes, y, mu)
        expected, total, total_y = finished(grad_x, sink)
        both_grads = _native.conv_backward(ops.g, x, ops.w, case.geometry, sink)
        assert near(both_grads[3], grad_w)
        for grad, found, found_y in (
            both_grads[:3],
            _native.conv_input_grad(ops.g, ops.w, ops.x.shape, case.geometry, sink),
        ):
            assert near(grad, expected)
            if y is None:
                assert found is None
                assert found_y is None
            else:
                assert near(found, total, scale=np.abs(expected).sum((0, 2, 3)).max())
                assert near(found_y, total_y, scale=np.abs(expected).sum((0, 2, 3)).max() * 3)


@small
@pytest.mark.parametrize("bounds", [(-0.25, 0.5), (0.5, 2.0)])
def test_the_limits_of_the_sink_are_its_own(case, bounds):
    ops = operands(case)
    x = (ops.x, None, None, *ACTIVATIONS["clip"])
    sink = (None, ops.x, None, None, ACTIVATIONS["clip"][0], *bounds, ops.x, ops.of_inputs[2])
    grad_x = reference_input_grad(case, ops.g.astype(np.float64), ops.w, ops.x.shape)
    assert near(_native.conv_backward(ops.g, x, ops.w, case.geometry, sink)[0], finished(grad_x, sink)[0])


@small
@pytest.mark.parametrize("order", MEMORY_ORDERS)
def test_any_order_in_memory_is_read(case, order):
    laid = MEMORY_ORDERS[order]
    ops = operands(case)
    _, grad_x, grad_w = expectation(case, "relu")
    x, g, sink = pending_input(case), pending_gradient(case), own_sink(case)
    expected, total, total_y = finished(grad_x, sink)
    x = (laid(x[0]), *x[1:])
    g = (laid(g[0]), laid(g[1]), *g[2:])
    sink = (laid(sink[0]), laid(sink[1]), *sink[2:7], laid(sink[7]), sink[8])

    assert near(_native.conv_forward(x, ops.w, case.geometry, None, False), expectation(case, "relu")[0])
    found = _native.conv_backward(g, x, ops.w, case.geometry, sink)
    for result, right in zip(found, (expected, total, total_y, grad_w), strict=True):
        assert near(result, right, scale=np.abs(right).max() + 1)
    assert near(_native.conv_weight_grad(g, x, ops.w.shape, case.geometry), grad_w)
    assert near(_native.conv_input_grad(g, ops.w, ops.x.shape, case.geometry, None)[0], grad_x)


@small
def test_a_gradient_spread_without_memory_is_read(case):
    ops = operands(case)
    ones = np.broadcast_to(np.float32(1), ops.g.shape)
    expected = reference_input_grad(case, ones.astype(np.float64), ops.w, ops.x.shape)
    assert near(_native.conv_input_grad(ones, ops.w, ops.x.shape, case.geometry, None)[0], expected)


EMPTY = SMALL | {"one axis": NETWORKS["one axis"], "no axis": NETWORKS["no axis"]}


@pytest.mark.parametrize("case", [replace(each, n=0) for each in EMPTY.values()], ids=EMPTY)
def test_an_empty_batch_has_weight_gradients_of_zero(case):
    ops = operands(case)
    found = _native.conv_forward(pending_input(case), ops.w, case.geometry, ops.bias, False)
    assert found.shape == ops.g.shape
    assert isinstance(_native.conv_forward(ops.x, ops.w, case.geometry, None, True), np.ndarray)  # no moments
    for x, g, sink in (
        (ops.x, ops.g, None),
        (pending_input(case), pending_gradient(case), own_sink(case)),
    ):
        grad, total, total_y, grad_w = _native.conv_backward(g, x, ops.w, case.geometry, sink)
        assert grad.shape == ops.x.shape
        assert (grad_w == 0).all()
        assert (_native.conv_weight_grad(g, x, ops.w.shape, case.geometry) == 0).all()
        assert _native.conv_input_grad(g, ops.w, ops.x.shape, case.geometry, sink)[0].shape == ops.x.shape
        if sink is not None:
            assert (total == 0).all()
            assert (total_y == 0).all()


@pytest.mark.parametrize("kernel", [1, 3])
def test_an_empty_image_of_an_empty_batch_passes(kernel):
    case = Case(0, 3, 4, (0, 5), both(kernel), padding=pad(1, 1))
    ops = operands(case)
    assert _native.conv_input_grad(ops.g, ops.w, ops.x.shape, case.geometry, None)[0].shape == ops.x.shape
    assert (_native.conv_weight_grad(ops.g, ops.x, ops.w.shape, case.geometry) == 0).all()
    case = Case(0, 3, 4, (5, 0), both(kernel), padding=pad(1, 1))
    ops = operands(case)
    assert _native.conv_input_grad(ops.g, ops.w, ops.x.shape, case.geometry, None)[0].shape == ops.x.shape
    assert (_native.conv_weight_grad(ops.g, ops.x, ops.w.shape, case.geometry) == 0).all()


@pytest.mark.parametrize("kernel", [1, 3])
def test_no_input_channels_give_zeros(kernel):
    case = Case(2, 0, 4, (5, 5), both(kernel), padding=pad(kernel // 2, kernel // 2))
    ops = operands(case)
    assert (_native.conv_forward(ops.x, ops.w, case.geometry, None, False) == 0).all()
    grad, _, _, grad_w = _native.conv_backward(ops.g, ops.x, ops.w, case.geometry, None)
    assert grad.shape == ops.x.shape
    assert grad_w.shape == ops.w.shape
    assert _native.conv_weight_grad(ops.g, ops.x, ops.w.shape, case.geometry).shape == ops.w.shape


@small
@pytest.mark.parametrize("place", [(0, 0, 0, 0), (1, -1, -1, -1), (-1, -1, -1, 2)])
def test_a_nan_reaches_what_reads_it_and_nothing_else(case, place):
    ops = operands(case)
    x, g = ops.x.copy(order="K"), ops.g.copy(order="K")
    x[place] = g[place] = np.nan
    x64, g64 = x.astype(np.float64), g.astype(np.float64)
    w = np.abs(ops.w) + 1
    for found, expected in (
        (_native.conv_forward(x, w, case.geometry, None, False), reference_forward(case, x64, w)),
        (_native.conv_input_grad(g, w, x.shape, case.geometry, None)[0], reference_input_grad(case, g64, w, x.shape)),
    ):
        assert np.array_equal(np.isnan(found), np.isnan(expected))


@small
def test_a_nan_input_reaches_the_weights_that_read_it_and_no_other_filter(case):
    ops = operands(case)
    x = ops.x.copy(order="K")
    x[1, -1, -1, -1] = np.nan
    found = np.isnan(_native.conv_weight_grad(ops.g, x, ops.w.shape, case.geometry))
    expected = np.isnan(reference_weight_grad(case, ops.g.astype(np.float64), x.astype(np.float64), ops.w.shape))
    # A depthwise kernel multiplies the pixel with the zeros around the gradient too: all taps of its filter may be NaN.
    assert np.array_equal(found.any((2, 3)), expected.any((2, 3)))
    assert (found | ~expected).all()
    if "depthwise" not in next(name for name, each in SMALL.items() if each is case):
        assert np.array_equal(found, expected)


@small
def test_moments_survive_a_mean_much_larger_than_the_spread(case):
    ops = operands(case)
    far = ops.x.copy(order="K")
    far[...] = 100 + far / 100
    no_padding = (*case.geometry[:2], 0, 0, 0, 0, *case.geometry[6:])
    y, mean, m2 = _native.conv_forward(far, np.abs(ops.w), no_padding, None, True)
    y = y.astype(np.float64)
    deviations = ((y - y.mean((0, 2, 3), keepdims=True)) ** 2).sum((0, 2, 3))
    assert near(mean, y.mean((0, 2, 3)), 1e-6)
    assert np.all(np.abs(m2 - deviations) <= 0.02 * deviations + 1e-9)


def test_operands_that_do_not_fit_together_are_refused():
    case = SMALL["dense"]
    ops = operands(case)
    geo = case.geometry
    with pytest.raises(ValueError, match="input and weight have different channels"):
        _native.conv_forward(ops.x[:, :-1], ops.w, geo, None, False)
    with pytest.raises(ValueError, match="a vector has the wrong length or is not contiguous"):
        _native.conv_forward(ops.x, ops.w, geo, ops.bias[:-1], False)
    with pytest.raises(ValueError, match="gradient and weight have different channels"):
        _native.conv_input_grad(ops.g[:, :-1], ops.w, ops.x.shape, geo, None)
    with pytest.raises(ValueError, match="a gradient and what it meets have different shapes"):
        _native.conv_input_grad(ops.g, ops.w, ops.x.shape, geo, (ops.add[:-1], *NOTHING[1:]))
    with pytest.raises(TypeError, match="an array has the wrong dtype"):
        _native.conv_forward(ops.x.astype(np.float64), ops.w, geo, None, False)
