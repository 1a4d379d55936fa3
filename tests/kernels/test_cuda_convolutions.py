"""The convolutions on a GPU compute what the reference kernels do in float64, whatever is fused into them.

They run on a GPU, or with `TINYTRAIN_EMULATED_GPU=1` on the host.
"""

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
from tests.kernels.gpu import dtype_of, elements
from tests.kernels.native_reference import ACTIVATIONS, MEMORY_ORDERS, finished, gradient_of, near, value_of
from tests.kernels.on_device import OnDevice
from tinytrain.kernels.cuda import depthwise

on_gpu = pytest.mark.gpu
pytestmark = pytest.mark.timeout(600)  # the first run of an emulated kernel compiles it
small = pytest.mark.parametrize("case", SMALL.values(), ids=SMALL)
DEPTHWISE = {name: case for name, case in SMALL.items() if "depthwise" in name}


@pytest.fixture
def library(gpu):
    """Return the primitives with dense convolutions by cuDNN; the test is skipped where it cannot be used."""
    from tinytrain.kernels.cuda import convolution, cudnn

    if (problem := cudnn.problem()) is not None:
        pytest.skip(problem)
    return OnDevice(convolution)


@pytest.fixture
def backend(gpu, monkeypatch):
    """Return the primitives with all convolutions by our own kernels."""
    from tinytrain.kernels.cuda import convolution, cudnn

    monkeypatch.setattr(cudnn, "problem", lambda: "not wanted here")
    return OnDevice(convolution)


def of_type(case, element):
    dtype_of(element)  # makes the name known to NumPy
    return replace(case, dtype=element)


def check_all(backend, cases):
    for number, case in enumerate(cases):
        try:
            check(backend, case, list(ACTIVATIONS)[number % len(ACTIVATIONS)])
        except AssertionError as error:
            raise AssertionError(f"{case}: {error}") from error


@on_gpu
@elements
@pytest.mark.parametrize("groups", [1, 2, 9], ids=["dense", "grouped", "depthwise"])
def test_every_stride_padding_and_dilation(backend, groups, element):
    cases = [of_type(case, element) for case in GEOMETRIES if case.groups == groups]
    check_all(backend, cases if element == "float32" else cases[::5])


@on_gpu
@pytest.mark.parametrize("case", NETWORKS.values(), ids=NETWORKS)
def test_layers_of_networks(backend, case):
    check(backend, case)


@on_gpu
@elements
@pytest.mark.parametrize("size", [1, 3, 5, 7])
def test_depthwise_kernels_of_every_stride(backend, size, element):
    cases = [
        Case(
            2,
            c,
            c,
            image,
            both(size),
            both(stride),
            ((before, size // 2), (size // 2, before)),
            groups=c,
            dtype=element,
        )
        for (stride, before), (c, image) in product(
            [(1, size // 2), (2, size // 2), (2, 0), (3, 1)], [(2, (9, 5)), (7, (8, 7)), (36, (7, 11)), (70, (2, 3))]
        )
    ]
    check_all(backend, [of_type(case, element) for case in cases if case.fits])


@on_gpu
def test_padding_differs_before_and_after(backend):
    paddings = [((2, 0), (0, 2)), ((0, 3), (4, 0)), ((5, 1), (1, 6))]
    for padding, stride, size in product(paddings, [1, 2], [3, 5]):
        check(backend, Case(2, 6, 6, (8, 7), both(size), both(stride), padding, groups=6))


@on_gpu
def test_a_thread_takes_several_turns(backend, monkeypatch):
    monkeypatch.setattr(depthwise, "MULTIPROCESSORS", 1)
    for case in DEPTHWISE.values():
        check(backend, replace(case, n=9, size=(13, 21)))


@on_gpu
def test_places_beyond_32_bits_are_left_to_another_kernel(backend, monkeypatch):
    monkeypatch.setattr(depthwise, "INT32", 1000)
    check(backend, SMALL["depthwise 3x3"])


@on_gpu
@elements
@small
def test_small_convolutions_of_every_type(backend, case, element):
    check(backend, of_type(case, element))


@on_gpu
@elements
@small
def test_small_convolutions_of_every_type_by_cudnn(library, case, element):
    check(library, of_type(case, element))


@on_gpu
@pytest.mark.parametrize("case", NETWORKS.values(), ids=NETWORKS)
def test_layers_of_networks_by_cudnn(library, case):
    check(library, case)


@on_gpu
@small
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("scaled", [False, True], ids=["as it is", "scaled"])
def test_input_is_scaled_and_activated_while_it_is_read(backend, case, activation, scaled):
    ops = operands(case)
    source = (ops.x, *(ops.of_inputs[:2] if scaled else (None, None)), *ACTIVATIONS[activation])
    x, g = value_of(source), ops.g.astype(np.float64)
    assert near(backend.conv_forward(source, ops.w, case.geometry, None, False), reference_forward(case, x, ops.w))
    grad_w = reference_weight_grad(case, g, x, ops.w.shape)
    assert near(backend.conv_weight_grad(ops.g, source, ops.w.shape, case.geometry), grad_w)
    assert near(backend.conv_backward(ops.g, source, ops.w, case.geometry, None)[3], grad_w)


@on_gpu
@small
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("parts", ["", "scaled", "alpha", "scaled alpha", "alpha beta", "scaled alpha beta"])
def test_gradient_is_finished_while_it_is_read(backend, case, activation, parts):
    ops = operands(case)
    scale, shift, alpha, beta, gamma = ops.of_outputs
    source = (
        *(ops.g, ops.y, *((scale, shift) if "scaled" in parts else (None, None)), *ACTIVATIONS[activation]),
        *(alpha if "alpha" in parts else None, *((beta, gamma) if "beta" in parts else (None, None))),
    )
    g, x = gradient_of(source), ops.x.astype(np.float64)
    found = backend.conv_backward(source, ops.x, ops.w, case.geometry, None)
    assert near(found[0], reference_input_grad(case, g, ops.w, x.shape))
    assert near(found[3], reference_weight_grad(case, g, x, ops.w.shape))


@on_gpu
@small
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("through", ["nothing", "own", "another", "another, scaled"])
def test_input_gradient_is_finished_while_it_is_written(backend, case, activation, through):
    ops = operands(case)
    scale, shift, mean, other_scale, other_shift = ops.of_inputs
    act = ACTIVATIONS[activation]
    x = (ops.x, scale, shift, *act)
    passes = {
        "nothing": (None, None, None, 0, 0.0, 0.0),
        "own": x,
        "another": (ops.m, None, None, *act),
        "another, scaled": (ops.m, other_scale, other_shift, *act),
    }[through]
    grad_x = reference_input_grad(case, ops.g.astype(np.float64), ops.w, ops.x.shape)
    for add, (y, mu) in product([None, ops.add], [(None, None), (ops.x, mean), (ops.add, mean)]):
        sink = (add, *passes, y, mu)
        expected, total, total_y = finished(grad_x, sink)
        found = backend.conv_backward(ops.g, x, ops.w, case.geometry, sink)
        assert near(found[0], expected)
        if y is None:
            assert found[1] is None
            assert found[2] is None
        else:
            assert near(found[1], total, scale=np.abs(expected).sum((0, 2, 3)).max())
            assert near(found[2], total_y, scale=np.abs(expected).sum((0, 2, 3)).max() * 3)


@on_gpu
@small
@pytest.mark.parametrize("order", MEMORY_ORDERS)
def test_any_order_in_memory_is_read(backend, case, order):
    ops = operands(case)
    laid = MEMORY_ORDERS[order]
    y, grad_x, grad_w = expectation(case, "relu")
    x, g, sink = pending_input(case), pending_gradient(case), own_sink(case)
    expected, total, total_y = finished(grad_x, sink)
    x = (laid(x[0]), *x[1:])
    g = (laid(g[0]), laid(g[1]), *g[2:])
    sink = (laid(sink[0]), laid(sink[1]), *sink[2:7], laid(sink[7]), sink[8])
    assert near(backend.conv_forward(x, ops.w, case.geometry, None, False), y)
    found = backend.conv_backward(g, x, ops.w, case.geometry, sink)
    for result, right in zip(found, (expected, total, total_y, grad_w), strict=True):
        assert near(result, right, scale=np.abs(right).max() + 1)


EMPTY = SMALL | {"one axis": NETWORKS["one axis"], "no axis": NETWORKS["no axis"]}


@on_gpu
@pytest.mark.parametrize("case", [replace(each, n=0) for each in EMPTY.values()], ids=EMPTY)
def test_an_empty_batch_has_weight_gradients_of_zero(backend, case):
    ops = operands(case)
    assert backend.conv_forward(pending_input(case), ops.w, case.geometry, ops.bias, False).shape == ops.g.shape
    assert isinstance(backend.conv_forward(ops.x, ops.w, case.geometry, None, True), np.ndarray)  # no moments
    for x, g, sink in (
        (ops.x, ops.g, None),
        (pending_input(case), pending_gradient(case), own_sink(case)),
    ):
        grad, total, total_y, grad_w = backend.conv_backward(g, x, ops.w, case.geometry, sink)
        assert grad.shape == ops.x.shape
        assert (grad_w == 0).all()
        assert (backend.conv_weight_grad(g, x, ops.w.shape, case.geometry) == 0).all()
        if sink is not None:
            assert (total == 0).all()
            assert (total_y == 0).all()


@on_gpu
@pytest.mark.parametrize("kernel", [1, 3])
def test_no_input_channels_give_zeros(backend, kernel):
    case = Case(2, 0, 4, (5, 5), both(kernel), padding=pad(kernel // 2, kernel // 2))
    ops = operands(case)
    assert (backend.conv_forward(ops.x, ops.w, case.geometry, None, False) == 0).all()
    grad, _, _, grad_w = backend.conv_backward(ops.g, ops.x, ops.w, case.geometry, None)
    assert grad.shape == ops.x.shape
    assert grad_w.shape == ops.w.shape


@on_gpu
@small
@pytest.mark.parametrize("place", [(0, 0, 0, 0), (1, -1, -1, -1)])
def test_a_nan_reaches_what_reads_it_and_nothing_else(backend, case, place):
    ops = operands(case)
    x, g = ops.x.copy(order="K"), ops.g.copy(order="K")
    x[place] = g[place] = np.nan
    x64, g64 = x.astype(np.float64), g.astype(np.float64)
    w = np.abs(ops.w) + 1
    for found, expected in (
        (backend.conv_forward(x, w, case.geometry, None, False), reference_forward(case, x64, w)),
        (backend.conv_input_grad(g, w, x.shape, case.geometry, None)[0], reference_input_grad(case, g64, w, x.shape)),
    ):
        assert np.array_equal(np.isnan(found), np.isnan(expected))


@on_gpu
@small
def test_moments_survive_a_mean_much_larger_than_the_spread(backend, case):
    ops = operands(case)
    far = ops.x.copy(order="K")
    far[...] = 100 + far / 100
    no_padding = (*case.geometry[:2], 0, 0, 0, 0, *case.geometry[6:])
    y, mean, m2 = backend.conv_forward(far, np.abs(ops.w), no_padding, None, True)
    y = y.astype(np.float64)
    deviations = ((y - y.mean((0, 2, 3), keepdims=True)) ** 2).sum((0, 2, 3))
    assert near(mean, y.mean((0, 2, 3)), 1e-6)
    assert np.all(np.abs(m2 - deviations) <= 0.02 * deviations + 1e-9)


@on_gpu
@small
def test_results_repeat_to_the_bit_in_whatever_order_blocks_run(backend, case, monkeypatch):
    ops = operands(case)
    x, g, sink = pending_input(case), pending_gradient(case), own_sink(case)

    def compute():
        forward = backend.conv_forward(x, ops.w, case.geometry, None, True)
        return [*forward, *backend.conv_backward(g, x, ops.w, case.geometry, sink)]

    first = compute()
    monkeypatch.setenv("TINYTRAIN_EMULATION_ORDER", "backwards")
    assert all(np.array_equal(a, b) for a, b in zip(first, compute(), strict=True))


@on_gpu
def test_operands_that_do_not_fit_together_are_refused(backend):
    case = SMALL["dense"]
    ops = operands(case)
    geo = case.geometry
    with pytest.raises(ValueError, match="input and weight have different channels: 17 and 18 times 1 groups"):
        backend.conv_forward(ops.x[:, :-1], ops.w, geo, None, False)
    with pytest.raises(ValueError, match="a vector has the wrong length: expected 20, got 19"):
        backend.conv_forward(ops.x, ops.w, geo, ops.bias[:-1], False)
    with pytest.raises(ValueError, match="gradient and weight have different channels: 19 and 20"):
        backend.conv_input_grad(ops.g[:, :-1], ops.w, ops.x.shape, geo, None)
    with pytest.raises(TypeError, match="expected one type for all, got float16 and float32"):
        backend.conv_forward(ops.x.astype(np.float16), ops.w, geo, None, False)
    for case in (SMALL["dense"], SMALL["depthwise 3x3"]):
        ops = operands(case)
        with pytest.raises(ValueError, match="a gradient and what it meets have different shapes"):
            backend.conv_input_grad(ops.g, ops.w, ops.x.shape, case.geometry, (ops.add[:-1], *NOTHING[1:]))


@on_gpu
def test_only_depthwise_convolutions_read_pending_values(backend):
    from tinytrain.kernels.cuda.convolution import reads_pending

    found = {name: reads_pending(case.geometry, operands(case).w.shape) for name, case in SMALL.items()}
    assert found == {name: "depthwise" in name for name in SMALL}
