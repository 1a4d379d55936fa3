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
    if len(stride) > 2:
        return reference.conv_forward(x, w, stride, padding, dilation, groups, b)
    return convolve(x, w, Steps((stride, padding, dilation, groups)), b, False)[0]


def convolve(
    x: Any, w: Array, steps: Steps, b: Array | None, with_moments: bool
) -> tuple[Array, tuple[Array, Array] | None]:
    """Return the convolution, perhaps with mean and sum of squared deviations of every output channel.

    Args:
        x: the input, perhaps pending.
        w: the weight.
        steps: at most two axes.
        b: a bias or None.
        with_moments: whether the moments are wanted; they are taken while the result is in cache, if there are values.
    """
    where, source, w = operands(x, w, steps)
    found = primitives(w).conv_forward(source, w, where, None if b is None else _contiguous(b), with_moments)
    return (found[0], found[1:]) if with_moments and isinstance(found, tuple) else (found, None)


def operands(x: Any, w: Array, steps: Steps) -> tuple[Geometry, Any, Array]:
    """Return the geometry of a convolution, what the back end reads of its input, and its weight, contiguous."""
    where = steps.numbers
    if isinstance(x, Pending):
        x = source_of(x) if reads_pending(w, where, w.shape) else x.settle()
    return where, x, _contiguous(w)


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
    if len(stride) > 2:
        return reference.conv_input_grad(g, w, x_shape, stride, padding, dilation, groups)
    where = Steps((stride, padding, dilation, groups)).numbers
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
    if len(stride) > 2:
        return reference.conv_weight_grad(g, x, w_shape, stride, padding, dilation, groups)
    where = Steps((stride, padding, dilation, groups)).numbers
    w_shape = tuple(w_shape)
    if not reads_pending(g, where, w_shape):
        g, x = settled(g), settled(x)
    return primitives(g).conv_weight_grad(gradient_source(g), source_of(x), w_shape, where)


def conv_bias_grad(g: Any) -> Array:
    """Return the gradient of a convolution's bias."""
    if g.ndim > 4:
        return reference.conv_bias_grad(g)
    return primitives(g).grad_sums(gradient_source(g), None)[0]


def conv_gradients(g: Any, x: Any, w: Array, steps: Steps, needs: tuple[bool, ...]) -> tuple[Any, Any]:
    """Return both gradients of a convolution, pending; None where not needed.

    Args:
        g: gradient of the output, perhaps pending.
        x: the input, perhaps pending.
        w: the weight.
        steps: at most two axes.
        needs: whether the input's and the weight's gradient are wanted.
    """
    where = steps.numbers
    if not reads_pending(w, where, w.shape):
        g, x = settled(g), settled(x)
    job = Job(gradient_source(g), x, _contiguous(w), where, needs)
    return ConvolutionGradient(job) if needs[0] else None, WeightGradient(job) if needs[1] else None


def _output_gradient(g: Any, w: Array, where: Geometry) -> Any:
    """Return what the back end's backward reads of the output's gradient `g`."""
    return gradient_source(g) if reads_pending(w, where, w.shape) else settled(g)


def _contiguous(w: Array) -> Array:
    return w if w.flags.c_contiguous else array_module(w).ascontiguousarray(w)
