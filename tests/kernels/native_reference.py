"""What the native kernels must compute, in float64 with NumPy and the reference kernels."""

from __future__ import annotations

import numpy as np

NONE, RELU, CLIP, LEAKY, HARDSWISH = range(5)

ACTIVATIONS = {
    "no activation": (NONE, 0.0, 0.0),
    "relu": (RELU, 0.0, 0.0),
    "clip": (CLIP, -0.5, 1.0),
    "leaky": (LEAKY, 0.1, 0.0),
    "hardswish": (HARDSWISH, 0.0, 0.0),
}


def activate(v, kind, low, high):
    """Return the activation of `v`."""
    return {
        NONE: lambda: v,
        RELU: lambda: np.maximum(v, 0),
        CLIP: lambda: np.clip(v, low, high),
        LEAKY: lambda: np.where(v < 0, v * low, v),
        HARDSWISH: lambda: v * np.clip(v + 3, 0, 6) / 6,
    }[kind]()


def derivative(v, kind, low, high):
    """Return the derivative of the activation at `v`."""
    return {
        NONE: lambda: np.ones_like(v),
        RELU: lambda: (v > 0) * 1.0,
        CLIP: lambda: ((v > low) & (v < high)) * 1.0,
        LEAKY: lambda: np.where(v <= 0, low, 1.0),
        HARDSWISH: lambda: np.where(v <= -3, 0, np.where(v >= 3, 1, v / 3 + 0.5)),
    }[kind]()


def along_channels(vector, ndim):
    """Return a vector of one value per channel in a shape that broadcasts with (n, c, *size), in float64."""
    return np.asarray(vector, np.float64).reshape(1, -1, *(1,) * (ndim - 2))


def value_of(source):
    """Return what a source of activations stands for: an array or (x, scale, shift, kind, low, high)."""
    if not isinstance(source, tuple):
        return source.astype(np.float64)
    x, scale, shift, *activation = source
    return activate(argument_of(x, scale, shift), *activation)


def argument_of(x, scale, shift):
    """Return scale * x + shift."""
    x = x.astype(np.float64)
    return x if scale is None else x * along_channels(scale, x.ndim) + along_channels(shift, x.ndim)


def gradient_of(source):
    """Return what a source of gradients stands for: an array or (g, y, scale, shift, kind, low, high, α, β, γ)."""
    if not isinstance(source, tuple):
        return source.astype(np.float64)
    g, y, scale, shift, kind, low, high, alpha, beta, gamma = source
    g = g * derivative(argument_of(y, scale, shift), kind, low, high)
    if alpha is not None:
        g = g * along_channels(alpha, g.ndim)
    if beta is not None:
        g = g + along_channels(beta, g.ndim) * y + along_channels(gamma, g.ndim)
    return g


def finished(grad, sink):
    """Return an input gradient after its sink (add, m, scale, shift, kind, low, high, y, mean), and its two sums."""
    add, m, scale, shift, kind, low, high, y, mean = sink
    grad = grad if add is None else grad + add
    if m is not None:
        grad = grad * derivative(argument_of(m, scale, shift), kind, low, high)
    if y is None:
        return grad, None, None
    axes = (0, *range(2, grad.ndim))
    return grad, grad.sum(axes), (grad * (y - along_channels(mean, y.ndim))).sum(axes)


def channels_last(array):
    """Return the same values, pixel by pixel in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)


def _with_gaps(array):
    wide = np.full((array.shape[0], array.shape[1] + 5, *array.shape[2:]), np.nan, array.dtype)
    wide = channels_last(wide)
    wide[:, 2:-3] = array
    return wide[:, 2:-3]


def _every_other(array):
    wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def _backwards(array):
    return np.ascontiguousarray(array[..., ::-1])[..., ::-1]


MEMORY_ORDERS = {
    "channels-last": channels_last,
    "channels-first": np.ascontiguousarray,
    "column-major": np.asfortranarray,
    "gaps between pixels": _with_gaps,
    "gaps between elements": _every_other,
    "backwards": _backwards,
}


def near(found, expected, tolerance=1e-5, scale=None):
    """Return whether two arrays are of one shape and equal up to `tolerance` times the largest value (or `scale`)."""
    if found.shape != expected.shape:
        return False
    if expected.size == 0:
        return True
    scale = np.abs(expected).max() if scale is None else scale
    return bool(np.abs(found - expected).max() <= tolerance * scale + 1e-30)
