"""Convolutions on a GPU: primitives of the names and arguments of `kernels/native/_native.pyi`.

Depthwise ones read pending values and do what a sink asks while they write. Dense and grouped ones are cuDNN's, or
where that will not do our own: what they read is computed first, moments and sinks have a pass of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinytrain.device import Array, cupy
from tinytrain.kernels.cuda import cudnn, depthwise, direct, elementwise
from tinytrain.kernels.cuda.geometry import Geometry, output_shape
from tinytrain.kernels.cuda.layout import empty, pixels_of
from tinytrain.kernels.cuda.normalization import are_vectors, batch_norm_prepare
from tinytrain.kernels.cuda.plans import NoPlanError
from tinytrain.kernels.cuda.sources import NONE

__all__ = [
    "conv_and_prepare",
    "conv_backward",
    "conv_forward",
    "conv_input_grad",
    "conv_weight_grad",
    "reads_pending",
]

Numbers = tuple[int, ...]
Sink = tuple[Any, ...] | None


def reads_pending(geometry: Numbers, w_shape: tuple[int, ...]) -> bool:
    """Return whether a convolution reads values that are not computed yet.

    Args:
        geometry: see `Steps.numbers`.
        w_shape: `(o, c // groups, *kernel)`.
    """
    return geometry[-1] > 1 and w_shape[0] == geometry[-1] and w_shape[1] == 1


def conv_forward(x: Any, w: Array, geometry: Numbers, bias: Array | None, want_moments: bool) -> Any:
    """Return the convolution, or with moments `(y, mean, m2)` where it has values.

    Args:
        x: an array, or `(y, scale, shift, kind, low, high)`.
        w: `(o, c // groups, *kernel)`, contiguous.
        geometry: see `Steps.numbers`.
        bias: `(o,)` or None.
        want_moments: whether mean and sum of squared deviations of each channel are.

    Raises:
        ValueError: the operands do not fit together.
        TypeError: they differ in type.
    """
    array = _array(x)
    it = Geometry.of_input(pixels_of(array), w.shape, geometry)
    _check_types(array, w)
    if bias is not None and bias.size != it.o:
        raise ValueError(f"a vector has the wrong length: expected {it.o}, got {bias.size}")
    want_moments = want_moments and it.n * it.oh * it.ow > 0
    if it.is_empty:
        y = _zeros(output_shape(array.shape, it.o, it.oh, it.ow), w.dtype)
        if bias is not None:
            y += bias.reshape(1, -1, *(1,) * (y.ndim - 2)).astype(w.dtype)
    elif it.is_depthwise:
        y, mean, m2 = depthwise.forward(x, w, it, bias, want_moments)
        return (y, mean, m2) if want_moments else y
    else:
        y = _dense_forward(_computed(x), w, geometry, it, bias)
    return (y, *elementwise.moments(y)) if want_moments else y


def conv_input_grad(
    g: Any, w: Array, x_shape: tuple[int, ...], geometry: Numbers, sink: Sink
) -> tuple[Array, Array | None, Array | None]:
    """Return the input gradient, finished as the sink asks, and its two sums or None.

    Args:
        g: gradient of the output: an array, or `(g, y, scale, shift, kind, low, high, alpha, beta, gamma)`.
        w: `(o, c // groups, *kernel)`, contiguous.
        x_shape: of the input.
        geometry: see `Steps.numbers`.
        sink: `(add, m, scale, shift, kind, low, high, y, mean)` or None.

    Raises:
        ValueError: the operands do not fit together.
        TypeError: they differ in type.
    """
    array = _array(g)
    it = Geometry.of_gradient(pixels_of(array), x_shape, w.shape, geometry)
    _check_types(array, w)
    if it.is_empty:
        return elementwise.finish(_zeros(x_shape, array.dtype), sink)
    if it.is_depthwise:
        grad = empty(tuple(x_shape), array.dtype)
        total, total_y, _ = depthwise.backward(g, None, w, it, grad, None, sink)
        return grad, total, total_y
    return elementwise.finish(_dense_input_grad(_computed_gradient(g), w, x_shape, geometry, it), sink)


def conv_weight_grad(g: Any, x: Any, w_shape: tuple[int, ...], geometry: Numbers) -> Array:
    """Return the weight gradient, contiguous, in the type of the output's gradient.

    Args:
        g: as for `conv_input_grad`.
        x: as for `conv_forward`.
        w_shape: `(o, c // groups, *kernel)`.
        geometry: see `Steps.numbers`.

    Raises:
        ValueError: the operands do not fit together.
        TypeError: they differ in type.
    """
    array, of_x = _array(g), _array(x)
    it = Geometry.of_gradient(pixels_of(array), of_x.shape, w_shape, geometry)
    _check_types(array, of_x)
    if it.is_empty:
        return cupy().zeros(tuple(w_shape), array.dtype)
    if it.is_depthwise:
        grad_w = depthwise.backward(g, x, None, it, None, tuple(w_shape), None)[2]
        assert grad_w is not None
        return grad_w
    return _dense_weight_grad(_computed_gradient(g), _computed(x), tuple(w_shape), geometry, it)


def conv_and_prepare(
    x: Any,
    w: Array,
    geometry: Numbers,
    running_mean: Array | None,
    running_var: Array | None,
    norm_w: Array | None,
    norm_b: Array | None,
    eps: float,
    momentum: float,
) -> tuple[Array, Array, Array, Array, Array] | None:
    """Return a convolution and what it is normalised by its own statistics with: `(y, mean, scale, shift, rstd)`.

    Args:
        x, w, geometry: as for `conv_forward`.
        running_mean, running_var, norm_w, norm_b, eps, momentum: as for `batch_norm_prepare`.

    Returns:
        None, and nothing has changed, where a vector does not fit or a channel has not two values.
    """
    if not are_vectors(w.shape[0], running_mean, running_var, norm_w, norm_b):
        return None
    found = conv_forward(x, w, geometry, None, True)
    if not isinstance(found, tuple):
        return None
    y, mean, m2 = found
    count = y.size // y.shape[1]
    if count < 2:
        return None
    return (y, mean, *batch_norm_prepare(mean, m2, count, norm_w, norm_b, eps, running_mean, running_var, momentum))


def conv_backward(
    g: Any, x: Any, w: Array, geometry: Numbers, sink: Sink
) -> tuple[Array, Array | None, Array | None, Array]:
    """Return both gradients: the input's with its sums as `conv_input_grad`, and the weight's.

    Args:
        g, w, geometry, sink: as for `conv_input_grad`.
        x: as for `conv_forward`.

    Raises:
        ValueError: the operands do not fit together.
        TypeError: they differ in type.
    """
    array, of_x = _array(g), _array(x)
    it = Geometry.of_gradient(pixels_of(array), of_x.shape, w.shape, geometry)
    _check_types(array, of_x, w)
    if it.is_depthwise and not it.is_empty:
        grad = empty(of_x.shape, array.dtype)
        total, total_y, grad_w = depthwise.backward(g, x, w, it, grad, w.shape, sink)
        assert grad_w is not None
        return grad, total, total_y, grad_w
    g = _computed_gradient(g)
    return (*conv_input_grad(g, w, of_x.shape, geometry, sink), conv_weight_grad(g, x, w.shape, geometry))


def _dense_forward(x: Array, w: Array, numbers: Numbers, it: Geometry, bias: Array | None) -> Array:
    of_type = None if bias is None else bias.astype(x.dtype, copy=False)
    y = _by_cudnn(cudnn.fprop, _with_axes(x), _with_axes(w), numbers, of_type)
    return direct.forward(x, w, it, bias) if y is None else _like(x, y)


def _dense_input_grad(g: Array, w: Array, x_shape: tuple[int, ...], numbers: Numbers, it: Geometry) -> Array:
    grad = _by_cudnn(cudnn.dgrad, _with_axes(g), _with_axes(w), _shape_with_axes(x_shape), numbers)
    return direct.input_grad(g, w, tuple(x_shape), it) if grad is None else _like(g, grad)


def _dense_weight_grad(g: Array, x: Array, w_shape: tuple[int, ...], numbers: Numbers, it: Geometry) -> Array:
    grad = _by_cudnn(cudnn.wgrad, _with_axes(g), _with_axes(x), _shape_with_axes(w_shape), numbers)
    return direct.weight_grad(g, x, w_shape, it) if grad is None else _like(g, grad)


def _by_cudnn(compute: Callable[..., Array], *operands: Any) -> Array | None:
    """Return what cuDNN computes; None where it cannot be used or cannot do this, so that our own kernels shall."""
    if cudnn.problem() is not None:
        return None
    try:
        return compute(*operands)
    except NoPlanError:
        return None


def _with_axes(array: Array) -> Array:
    """Return rows of a matrix, `(n, c)`, as images of one pixel; anything else as it is."""
    return array[:, :, None, None] if array.ndim == 2 else array


def _shape_with_axes(shape: Sequence[int]) -> tuple[int, ...]:
    return (*shape, 1, 1) if len(shape) == 2 else tuple(shape)


def _like(array: Array, result: Array) -> Array:
    """Return images of one pixel as rows where `array` has rows."""
    return result[:, :, 0, 0] if array.ndim == 2 else result


def _computed(x: Any) -> Array:
    """Return the array that an input stands for."""
    if not isinstance(x, tuple):
        return x
    y, scale, shift, kind, low, high = x
    return elementwise.apply((y, scale, shift, NONE, 0.0, 0.0), None, kind, low, high, None)


def _computed_gradient(g: Any) -> Array:
    """Return the array that a gradient stands for."""
    return elementwise.apply_grad(g) if isinstance(g, tuple) else g


def _array(value: Any) -> Array:
    return value[0] if isinstance(value, tuple) else value


def _zeros(shape: tuple[int, ...], dtype: Any) -> Array:
    zeros = empty(tuple(shape), dtype)
    zeros[...] = 0
    return zeros


def _check_types(*arrays: Array) -> None:
    """Check that arrays are of one type.

    Raises:
        TypeError: they are not.
    """
    names = sorted({each.dtype.name for each in arrays})
    if len(names) > 1:
        raise TypeError(f"an array has the wrong dtype: expected one type for all, got {' and '.join(names)}")
