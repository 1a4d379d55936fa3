"""Convolutions of one or two spatial axes in the fused kernels; others go to the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinytrain.device import Array, array_module
from tinytrain.kernels.fused.activations import source_of
from tinytrain.kernels.fused.backends import primitives, reads_pending
from tinytrain.kernels.fused.gradients import (
    ConvolutionGradient,
    Job,
    WeightGradient,
    gradient_source,
)
from tinytrain.kernels.reference import convolution as reference
from tinytrain.kernels.reference.windows import Pairs
from tinytrain.kernels.steps import Steps
from tinytrain.pending import Pending, settled

Geometry = tuple[int, ...]


def conv_forward(
    x: Any,
    w: Array,
    stride: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
    groups: int,
    b: Array | None = None,
) -> Array:
    """Return the convolution of `x` with `w`; arguments as for the reference, `x` may be pending."""
    return convolve(x, w, Steps((stride, padding, dilation, groups)), b, False)[0]


def convolve(
    x: Any, w: Array, steps: Steps, b: Array | None, with_moments: bool
) -> tuple[Array, tuple[Array, Array] | None]:
    """Return the convolution, perhaps with mean and sum of squared deviations of every output channel.

    Args:
        x: the input, perhaps pending.
        w: the weight.
        steps: how it goes over its input.
        b: a bias or None.
        with_moments: whether the moments are wanted; they are taken while the result is in cache, if there are values
            and at most two axes.
    """
    where = steps.numbers
    if where is None:
        return reference.convolve(settled(x), w, steps, b, with_moments)
    x, w = operands(x, w, where)
    found = primitives(w).conv_forward(x, w, where, None if b is None else _contiguous(b), with_moments)
    return (found[0], found[1:]) if found.__class__ is tuple else (found, None)


def operands(x: Any, w: Array, where: Geometry) -> tuple[Any, Array]:
    """Return what the back end reads of a convolution's input, and its weight, contiguous."""
    if isinstance(x, Pending):
        x = source_of(x) if reads_pending(w, where, w.shape) else x.settle()
    return x, _contiguous(w)


def conv_input_grad(
    g: Any,
    w: Array,
    x_shape: Sequence[int],
    stride: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
    groups: int,
) -> Array:
    """Return the gradient of a convolution's input; arguments as for the reference."""
    where = Steps((stride, padding, dilation, groups)).numbers
    if where is None:
        return reference.conv_input_grad(g, w, x_shape, stride, padding, dilation, groups)
    return primitives(w).conv_input_grad(_output_gradient(g, w, where), _contiguous(w), tuple(x_shape), where, None)[0]


def conv_weight_grad(
    g: Any,
    x: Any,
    w_shape: Sequence[int],
    stride: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
    groups: int,
) -> Array:
    """Return the gradient of a convolution's weight; arguments as for the reference."""
    where = Steps((stride, padding, dilation, groups)).numbers
    if where is None:
        return reference.conv_weight_grad(g, x, w_shape, stride, padding, dilation, groups)
    w_shape = tuple(w_shape)
    if not reads_pending(g, where, w_shape):
        g, x = settled(g), settled(x)
    return primitives(g).conv_weight_grad(gradient_source(g), source_of(x), w_shape, where)


def conv_bias_grad(g: Any) -> Array:
    """Return the gradient of a convolution's bias."""
    if g.ndim > 4:
        return reference.conv_bias_grad(g)
    return primitives(g).grad_sums(gradient_source(g), None)[0]


def conv_gradients(g: Any, x: Any, w: Array, steps: Steps, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """Return the gradients of input, weight and bias as the reference does, the first two pending; `x` may be, too."""
    where = steps.numbers
    if where is None:
        return reference.conv_gradients(g, settled(x), w, steps, needs)
    if not reads_pending(w, where, w.shape):
        g, x = settled(g), settled(x)
    job = Job(gradient_source(g), x, _contiguous(w), where, needs)
    grad_x = ConvolutionGradient(job) if needs[0] else None
    grad_w = WeightGradient(job) if needs[1] else None
    return (grad_x, grad_w) if len(needs) == 2 else (grad_x, grad_w, conv_bias_grad(g) if needs[2] else None)


def _output_gradient(g: Any, w: Array, where: Geometry) -> Any:
    """Return what the back end's backward reads of the output's gradient `g`."""
    return gradient_source(g) if reads_pending(w, where, w.shape) else settled(g)


def _contiguous(w: Array) -> Array:
    return w if w.flags.c_contiguous else array_module(w).ascontiguousarray(w)
