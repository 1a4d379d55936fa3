"""Depthwise convolution by shifted products: one multiply-add over the whole activation per kernel tap.

Arrays are channels-last: `x` and its gradient `(n, *size, c)`, `y` and its gradient `(n, *out_size, c * m)`
with `m` filters per channel, `w` `(c * m, 1, *kernel)`. The batch goes through in pieces that stay in cache for all
taps; each is padded first, so that every tap reads a whole activation, and filters are laid out along pixels as the
activation is. Both make the inner loops long, which halves the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tinytrain.device import array_module
from tinytrain.kernels.reference.windows import Array, Pairs, inner

PIECE_BYTES = 1 << 18


def depthwise_forward(
    x: Array, w: Array, y: Array, stride: Sequence[int], padding: Pairs, dilation: Sequence[int]
) -> None:
    """Write the depthwise convolution of `x` with `w` into `y`."""
    xp = array_module(x)
    y_split = _by_channel(y, x.shape[-1])
    filters = _filters(w, y_split)
    for piece in _pieces(y):
        padded = _padded(x[piece], padding)[..., None]
        target = y_split[piece]
        product = xp.empty_like(target)
        target.fill(0)
        for tap, window in _taps(y.shape[1:-1], w.shape[2:], stride, dilation):
            target += xp.multiply(padded[window], filters[tap], out=product)


def depthwise_input_grad(
    g: Array, w: Array, x_shape: Sequence[int], stride: Sequence[int], padding: Pairs, dilation: Sequence[int]
) -> Array:
    """Return the gradient `(n, *size, c)` of the input from `g` `(n, *out_size, c * m)`."""
    xp = array_module(g)
    grad = xp.empty(tuple(x_shape), g.dtype)
    g_split = _by_channel(g, x_shape[-1])
    filters = _filters(w, g_split)
    for piece in _pieces(g):
        source = g_split[piece]
        product = xp.empty_like(source)
        target = grad[piece]
        target.fill(0)
        padded = _padded(target, padding)
        for tap, window in _taps(g.shape[1:-1], w.shape[2:], stride, dilation):
            xp.multiply(source, filters[tap], out=product)
            # Summing over an axis of length 1 would cost a pass of its own.
            padded[window] += product[..., 0] if product.shape[-1] == 1 else product.sum(-1)
        target[...] = padded[inner(padding, x_shape[1:-1])]
    return grad


def depthwise_weight_grad(
    g: Array, x: Array, w_shape: Sequence[int], stride: Sequence[int], padding: Pairs, dilation: Sequence[int]
) -> Array:
    """Return the gradient of the weight, `(c * m, 1, *kernel)`."""
    xp = array_module(g)
    c, o, kernel = x.shape[-1], w_shape[0], w_shape[2:]
    grad = xp.zeros((*kernel, c, o // c), g.dtype)
    g_split = _by_channel(g, c)
    axes = list(range(g.ndim + 1))  # n, *out_size, c, m
    for piece in _pieces(g):
        padded = _padded(x[piece], padding)
        for tap, window in _taps(g.shape[1:-1], kernel, stride, dilation):
            # Rows of pixels first: a sum over all of them at once would add `c` numbers at a time.
            row = xp.einsum(g_split[piece], axes, padded[window], axes[:-1], axes[-3:])
            grad[tap] += row.sum(axis=0)
    return xp.moveaxis(grad.reshape(*kernel, o), -1, 0)[:, None]


def _by_channel(y: Array, c: int) -> Array:
    """Return `(n, *out_size, c * m)` as a view `(n, *out_size, c, m)`."""
    return y.reshape(*y.shape[:-1], c, y.shape[-1] // c)


def _filters(w: Array, y_split: Array) -> Array:
    """Return the filters repeated along pixels, `(*kernel, *pixels, c, m)`: of a whole image, or of a row of one."""
    xp = array_module(w)
    *size, c, m = y_split.shape[1:]
    pixels = size if y_split[:1].nbytes <= PIECE_BYTES else size[-1:]
    kernel = w.shape[2:]
    by_tap = xp.moveaxis(w[:, 0], 0, -1).reshape(*kernel, *(1,) * len(pixels), c, m)
    return xp.ascontiguousarray(xp.broadcast_to(by_tap, (*kernel, *pixels, c, m)))


def _padded(x: Array, padding: Pairs) -> Array:
    """Return channels-last `x` with zeros around it; `x` itself where there is no padding."""
    if not any(before or after for before, after in padding):
        return x
    n, *size, c = x.shape
    padded_size = (s + before + after for s, (before, after) in zip(size, padding, strict=True))
    padded = array_module(x).zeros((n, *padded_size, c), x.dtype)
    padded[inner(padding, size)] = x
    return padded


def _taps(
    out_size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Yield each kernel tap and the index of what it reads in a padded input, one element an output."""
    for tap in np.ndindex(*kernel):
        starts = [t * d for t, d in zip(tap, dilation, strict=True)]
        axes = zip(starts, out_size, stride, strict=True)
        yield tap, (slice(None), *(slice(start, start + (out - 1) * s + 1, s) for start, out, s in axes))


def _pieces(y: Array) -> Iterator[slice]:
    """Yield slices of the batch whose outputs fit into the cache together with what they are computed from."""
    n = y.shape[0]
    images = max(1, PIECE_BYTES // max(1, y[:1].nbytes))
    for start in range(0, n, images):
        yield slice(start, min(n, start + images))
