"""Depthwise convolution by shifted products: one multiply-add over the whole activation per kernel tap.

Arrays are channels-last: `x` and its gradient `(n, *size, c)`, `y` and its gradient `(n, *out_size, c * m)`
with `m` filters per channel, `w` `(c * m, 1, *kernel)`. Each piece of the batch stays in cache for all taps,
and the weight is laid out along a whole row of pixels, so that inner loops are as long as the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tinytrain.device import array_module
from tinytrain.kernels.reference.windows import Array, Pairs, taps

PIECE_BYTES = 1 << 19


def depthwise_forward(
    x: Array, w: Array, y: Array, stride: Sequence[int], padding: Pairs, dilation: Sequence[int]
) -> None:
    """Write the depthwise convolution of `x` with `w` into `y`."""
    xp = array_module(x)
    c = x.shape[-1]
    y.fill(0)
    y_split, x_split = y.reshape(*y.shape[:-1], c, w.shape[0] // c), x[..., None]
    rows = _filter_rows(w, c, y.shape[-2])
    tap_list = list(taps(x.shape[1:-1], y.shape[1:-1], w.shape[2:], stride, _before(padding), dilation))
    for piece in _pieces(y):
        y_piece, x_piece = y_split[piece], x_split[piece]
        products = xp.empty_like(y_piece)
        for tap, outputs, inputs in tap_list:
            target = y_piece[(slice(None), *outputs)]
            product = products[(slice(None), *outputs)]
            xp.multiply(x_piece[(slice(None), *inputs)], rows[tap][: target.shape[-3]], out=product)
            target += product


def depthwise_input_grad(
    g: Array, w: Array, x_shape: Sequence[int], stride: Sequence[int], padding: Pairs, dilation: Sequence[int]
) -> Array:
    """Return the gradient `(n, *size, c)` of the input from `g` `(n, *out_size, c * m)`."""
    xp = array_module(g)
    c = x_shape[-1]
    grad = xp.zeros(tuple(x_shape), g.dtype)
    g_split = g.reshape(*g.shape[:-1], c, w.shape[0] // c)
    rows = _filter_rows(w, c, g.shape[-2])
    tap_list = list(taps(x_shape[1:-1], g.shape[1:-1], w.shape[2:], stride, _before(padding), dilation))
    for piece in _pieces(g):
        g_piece, grad_piece = g_split[piece], grad[piece]
        products = xp.empty_like(g_piece)
        for tap, outputs, inputs in tap_list:
            source = g_piece[(slice(None), *outputs)]
            product = products[(slice(None), *outputs)]
            xp.multiply(source, rows[tap][: source.shape[-3]], out=product)
            # Summing over an axis of length 1 would cost a pass of its own.
            grad_piece[(slice(None), *inputs)] += product[..., 0] if product.shape[-1] == 1 else product.sum(-1)
    return grad


def depthwise_weight_grad(
    g: Array, x: Array, w_shape: Sequence[int], stride: Sequence[int], padding: Pairs, dilation: Sequence[int]
) -> Array:
    """Return the gradient of the weight, `(c * m, 1, *kernel)`."""
    xp = array_module(g)
    c = x.shape[-1]
    o, _, *kernel = w_shape
    grad = xp.zeros((*kernel, c, o // c), g.dtype)
    g_split, x_split = g.reshape(*g.shape[:-1], c, o // c), x[..., None]
    tap_list = list(taps(x.shape[1:-1], g.shape[1:-1], kernel, stride, _before(padding), dilation))
    for piece in _pieces(g):
        g_piece, x_piece = g_split[piece], x_split[piece]
        products = xp.empty_like(g_piece)
        for tap, outputs, inputs in tap_list:
            product = products[(slice(None), *outputs)]
            xp.multiply(g_piece[(slice(None), *outputs)], x_piece[(slice(None), *inputs)], out=product)
            # Rows of pixels first: a sum over all of them at once would add `c` numbers at a time.
            grad[tap] += product.sum(axis=tuple(range(product.ndim - 3))).sum(axis=0)
    return xp.moveaxis(grad.reshape(*kernel, o), -1, 0)[:, None]


def _before(padding: Pairs) -> list[int]:
    return [before for before, _ in padding]


def _filter_rows(w: Array, c: int, width: int) -> Array:
    """Return the filters repeated along a row of `width` pixels: `(*kernel, width, c, m)`."""
    xp = array_module(w)
    o, _, *kernel = w.shape
    by_tap = xp.moveaxis(w[:, 0], 0, -1).reshape(*kernel, 1, c, o // c)
    return xp.ascontiguousarray(xp.broadcast_to(by_tap, (*kernel, width, c, o // c)))


def _pieces(y: Array) -> Iterator[slice]:
    """Yield slices of the batch whose outputs fit into the cache together with a buffer of products."""
    n = y.shape[0]
    image_bytes = max(1, y[:1].nbytes)
    images = max(1, PIECE_BYTES // image_bytes)
    for start in range(0, n, images):
        yield slice(start, min(n, start + images))
