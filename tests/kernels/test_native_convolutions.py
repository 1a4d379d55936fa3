"""The native convolutions compute what the reference kernels do in float64, whatever is fused into them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from tests.kernels.convolution_cases import (
    GEOMETRIES,
    NETWORKS,
    NOTHING,
    SMALL,
    Case,
    both,
    check,
    expectation,
    operands,
    own_sink,
    pad,
    pending_gradient,
    pending_input,
    reference_forward,
    reference_input_grad,
    reference_weight_grad,
)
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

_native = native.EXTENSION
pytestmark = pytest.mark.usefixtures("instruction_set")


@pytest.mark.parametrize("groups", [1, 2, 9], ids=["dense", "grouped", "depthwise"])
def test_every_stride_padding_and_dilation(groups):
    for number, case in enumerate(each for each in GEOMETRIES if each.groups == groups):
        try:
            check(_native, case, list(ACTIVATIONS)[number % len(ACTIVATIONS)])
        except AssertionError as error:
            raise AssertionError(f"{case}: {error}") from error


@pytest.mark.parametrize("case", NETWORKS.values(), ids=NETWORKS)
def test_layers_of_networks(case):
    check(_native, case)


@pytest.mark.parametrize("size", [3, 5])
def test_depthwise_kernels_of_every_stride(size):
    for stride, channels, width in product([1, 2, 3], [1, 7, 16, 35], [5, 6, 11]):
        if channels > 1:  # one channel in one group is a dense convolution
            check(
                _native,
                Case(
                    2,
                    channels,
                    channels,
                    (7, width),
                    both(size),
                    both(stride),
                    pad(size // 2, size // 2),
                    groups=channels,
                ),
            )


def test_channels_that_do_not_fill_a_vector():
    for channels, kernel in product([1, 2, 3, 5, 8, 9, 15, 17, 31, 33, 40], [1, 3]):
        check(_native, Case(1, channels, 18, (4, 5), both(kernel), padding=pad(kernel // 2, kernel // 2)))
        check(_native, Case(2, 11, channels, (4, 5), both(kernel), padding=pad(kernel // 2, kernel // 2)))


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 7, 12, 15])
def test_lines_of_few_channels(channels):
    for kernel, stride, dilation, size in product(
        [(3, 3), (5, 5), (1, 4), (2, 1)], [(1, 1), (2, 1)], [(1, 1), (2, 3)], [(4, 1), (3, 17), (40, 9)]
    ):
        case = Case(3, channels, channels, size, kernel, stride, ((1, 2), (4, 5)), dilation, channels)
        if case.fits:
            check(_native, case, "hardswish")
    check(_native, Case(2, channels, channels, (33,), (3,), (1,), (both(1),), (1,), channels))


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (2, 2)])
def test_few_pixels(size):
    for n, (c, o), kernel in product([1, 2, 3, 4, 5], [(1, 1), (5, 2), (16, 15), (33, 17), (40, 64)], [1, 3]):
        check(_native, Case(n, c, o, size, both(kernel), padding=pad(kernel // 2, kernel // 2)), "hardswish")
    check(_native, Case(1, 7, 35, (9, 8), (3, 2), (4, 5), pad(2, 0), (2, 1)))


IMAGES_OF_FEW_PIXELS = {
    "strided": Case(5, 16, 15, (4, 5), (3, 3), (2, 2), pad(1, 1)),
    "16 results each": Case(4, 33, 40, (8, 7), (3, 3), (2, 2), pad(1, 1)),
    "dilated": Case(9, 17, 6, (6, 6), (3, 2), (2, 1), pad(1, 2), (2, 3)),
    "uneven padding": Case(6, 20, 33, (3, 4), (2, 3), (1, 2), ((0, 1), (2, 0))),
    "pixels that no result reads": Case(4, 18, 9, (8, 9), (2, 2), (5, 4)),
    "rows that no result reads": Case(40, 16, 3, (9, 2), (1, 2), (4, 1)),
    "a kernel as large as the image": Case(17, 40, 70, (4, 3), (4, 3)),
    "more padding than the kernel reaches": Case(5, 16, 5, (1, 1), (2, 2), (2, 1), pad(2, 1)),
    "one axis": Case(12, 24, 10, (9,), (5,), (2,), (both(2),), (1,)),
    "more sums than a cache holds": Case(4, 350, 340, (2, 2), (3, 3), (2, 2), pad(1, 1)),
}


@pytest.mark.parametrize("case", IMAGES_OF_FEW_PIXELS.values(), ids=IMAGES_OF_FEW_PIXELS)
@pytest.mark.parametrize("activation", ["relu", "hardswish"])
def test_images_of_few_pixels(case, activation):
    check(_native, case, activation)


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


IMAGES = SMALL | {name: NETWORKS[name] for name in ("3x3", "pointwise, many bands", "one axis")}


@pytest.mark.parametrize("winograd", [True, "always"])
@pytest.mark.parametrize("case", IMAGES.values(), ids=IMAGES)
def test_a_gradient_that_an_image_shares_is_read_for_each_pixel(case, winograd):
    ops = operands(case)
    of_images = ops.g[(..., *(slice(0, 1) for _ in case.size))]
    shared = _native.spread_pixels(of_images, *(1, *ops.g.shape[2:])[-2:])
    assert shared.strides[2:] == (0,) * len(case.size)
    whole = channels_last(np.ascontiguousarray(shared))
    x, sink, (_, *rest) = pending_input(case), own_sink(case), pending_gradient(case)

    def results(g):
        source = (g, *rest)
        return [
            *_native.conv_backward(source, x, ops.w, case.geometry, sink),
            *_native.conv_backward(g, x, ops.w, case.geometry, sink),
            _native.conv_input_grad(source, ops.w, ops.x.shape, case.geometry, None)[0],
            _native.conv_weight_grad(source, x, ops.w.shape, case.geometry),
            _native.apply_grad(source),
            *_native.grad_sums(source, rest[2]),
        ]

    _native.use_winograd(winograd)
    try:
        for found, right in zip(results(shared), results(whole), strict=True):
            assert (found is None and right is None) or near(found, right, scale=np.abs(right).max() + 1)
    finally:
        _native.use_winograd(True)


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
