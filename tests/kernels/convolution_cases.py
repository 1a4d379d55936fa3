"""Convolutions that every back end must compute, with their operands and what must come out, in float64."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from itertools import product

import numpy as np

from tests.kernels.native_reference import ACTIVATIONS, channels_last, finished, gradient_of, near, value_of
from tinytrain.kernels.reference import convolution as reference
from tinytrain.kernels.steps import Steps

NOTHING = (None, None, None, None, 0, 0.0, 0.0, None, None)
"""A sink that changes nothing."""

TOLERANCES = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 1.6e-2}
"""Of the largest value: four to eight roundings of the element type (for float32 the roundings of long sums)."""


@dataclass(frozen=True)
class Case:
    """A convolution; the sizes are (h, w), (w,) or (); the type is that of activations and weights."""

    n: int
    c: int
    o: int
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1
    dtype: str = "float32"

    @property
    def arguments(self):
        return self.stride, self.padding, self.dilation, self.groups

    @property
    def geometry(self):
        return Steps(self.arguments).numbers if self.size else (1, 1, 0, 0, 0, 0, 1, 1, 1)

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
    """Everything that can go into a convolution's kernels, activations channels-last, vectors per channel float32."""

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

    def draw_activations(*shape):
        return channels_last(draw(*shape).astype(case.dtype))

    x = draw_activations(case.n, case.c, *case.size)
    w = draw(case.o, case.c // case.groups, *case.kernel).astype(case.dtype)
    shape = reference_forward(case, x.astype(np.float64), w).shape
    return Operands(
        x=x,
        w=w,
        bias=draw(case.o).astype(case.dtype),
        g=draw_activations(*shape),
        y=draw_activations(*shape),
        add=draw_activations(*x.shape),
        m=draw_activations(*x.shape),
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


def check(backend, case, activation="relu"):
    """Compare every kernel of a convolution on pending operands with the reference.

    Args:
        backend: what offers the primitives, for NumPy arrays.
        case: the convolution.
        activation: of every pending operand.
    """
    ops = operands(case)
    y, grad_x, grad_w = expectation(case, activation)
    x, g = pending_input(case, activation), pending_gradient(case, activation)
    axes = (0, *range(2, y.ndim))
    agrees = functools.partial(near, tolerance=TOLERANCES[case.dtype])

    found, mean, m2 = backend.conv_forward(x, ops.w, case.geometry, None, True)
    assert agrees(found, y), "output"
    assert agrees(mean, y.mean(axes), scale=np.abs(y).max()), "mean"
    assert agrees(m2, ((y - y.mean(axes, keepdims=True)) ** 2).sum(axes), scale=(y**2).sum(axes).max()), "deviations"
    found = backend.conv_forward(x, ops.w, case.geometry, ops.bias, False)
    assert agrees(found, y + ops.bias.reshape(1, -1, *(1,) * (y.ndim - 2))), "output with bias"

    for sink in (None, own_sink(case, activation)):
        expected, total, total_y = finished(grad_x, sink or NOTHING)
        combined = backend.conv_backward(g, x, ops.w, case.geometry, sink)
        for name, grads in {
            "input gradient": backend.conv_input_grad(g, ops.w, ops.x.shape, case.geometry, sink),
            "input gradient of both": combined,
        }.items():
            assert agrees(grads[0], expected, scale=np.abs(grad_x).max() + 1), name
            if sink is None:
                assert grads[1] is None
                assert grads[2] is None
            else:
                scale = np.abs(expected).sum(axes).max(), np.abs(expected * ops.x).sum(axes).max() + 1
                assert agrees(grads[1], total, scale=scale[0]), f"sum of the {name}"
                assert agrees(grads[2], total_y, scale=scale[1]), f"products of the {name}"
        assert agrees(combined[3], grad_w), "weight gradient of both"
    assert agrees(backend.conv_weight_grad(g, x, ops.w.shape, case.geometry), grad_w), "weight gradient"


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


SMALL = {
    "dense": Case(3, 18, 20, (6, 5), (3, 3), padding=pad(1, 1)),
    "grouped": Case(2, 12, 8, (6, 5), (3, 3), (2, 1), pad(1, 1), groups=4),
    "pointwise": Case(3, 18, 20, (6, 5), (1, 1)),
    "depthwise 3x3": Case(3, 18, 18, (6, 5), (3, 3), padding=pad(1, 1), groups=18),
    "pointwise, few channels": Case(3, 3, 20, (6, 5), (1, 1)),
    "depthwise, few channels": Case(3, 3, 3, (6, 5), (3, 3), padding=pad(1, 1), groups=3),
    "depthwise, strided": Case(3, 18, 18, (6, 5), (3, 2), (2, 2), pad(1, 1), groups=18),
}
