"""Pooling on a GPU: maxima of windows with their gradients, and means of whole images.

Primitives of the names and arguments of `kernels/native/_native.pyi`; element types as in `elementwise`.
"""

from __future__ import annotations

from typing import Any

from tinytrain.device import Array, cupy
from tinytrain.kernels.cuda.compiler import kernel, launch, num_blocks
from tinytrain.kernels.cuda.layout import empty, pixels_of, tile
from tinytrain.kernels.cuda.sources import Source

__all__ = ["max_pool", "max_pool_grad", "mean_pixels", "spread_pixels"]


def max_pool(x: Any, oh: int, ow: int, window: tuple[int, ...], with_winners: bool) -> tuple[Array, Array | None]:
    """Return the maximum of each window, and the tap that holds it: uint8, channels-last as the maxima.

    Args:
        x: an array, or `(y, scale, shift, kind, low, high)`.
        oh, ow: size of the result.
        window: `(kh, kw, sh, sw, ph, pw, dh, dw)`, 256 taps at most.
        with_winners: whether the taps are wanted.
    """
    source = Source.of(x)
    pixels = source.present
    shape = _shape(pixels.array, oh, ow)
    y = empty(shape, pixels.array.dtype)
    winners = empty(shape, "uint8") if with_winners else None
    columns, rows, tiles = tile(pixels.c, pixels.pack)
    launch(
        kernel("pooling", "max_pool", y.dtype, PACK=pixels.pack),
        (num_blocks(pixels.n * oh * ow, rows, tiles), tiles),
        (columns, rows),
        *(*source.line, *source.activation, pixels.n, pixels.h, pixels.w, pixels.c, oh, ow, *window, y, winners),
    )
    return y, winners


def max_pool_grad(g: Array, winners: Array, h: int, w: int, window: tuple[int, ...]) -> Array:
    """Return the gradient of `max_pool`'s input, gathered: no two threads add in one place.

    Args:
        g: gradient of the maxima.
        winners: what `max_pool` returned.
        h, w: size of the input.
        window: as for `max_pool`.

    Raises:
        ValueError: gradient and winners have different shapes.
    """
    pixels, taps = pixels_of(g), cupy().ascontiguousarray(cupy().moveaxis(winners, 1, -1))
    if winners.shape != g.shape:
        raise ValueError("the winners have another shape")
    grad = empty(_shape(g, h, w), g.dtype)
    columns, rows, tiles = tile(pixels.c, pixels.pack)
    launch(
        kernel("pooling", "max_pool_grad", g.dtype, PACK=pixels.pack),
        (num_blocks(pixels.n * h * w, rows, tiles), tiles),
        (columns, rows),
        *(pixels.array, pixels.step, taps, pixels.n, h, w, pixels.c, pixels.h, pixels.w, *window, grad),
    )
    return grad


def mean_pixels(x: Any) -> Array:
    """Return the mean over the pixels of each image, `(n, c, *ones)`.

    Args:
        x: an array, or `(y, scale, shift, kind, low, high)`.
    """
    source = Source.of(x)
    pixels = source.present
    y = empty(_shape(pixels.array, 1, 1), pixels.array.dtype)
    columns, rows, tiles = tile(pixels.c, pixels.pack)
    launch(
        kernel("pooling", "mean_pixels", y.dtype, PACK=pixels.pack),
        (pixels.n, tiles),
        (columns, rows),
        *(*source.line, *source.activation, pixels.h * pixels.w, pixels.c, y),
        shared=pixels.pack * 4 * columns * rows,
    )
    return y


def spread_pixels(g: Array, h: int, w: int) -> Array:
    """Return the gradient of `mean_pixels`' input, of the size h times w."""
    pixels = pixels_of(g)
    grad = empty(_shape(g, h, w), g.dtype)
    columns, rows, tiles = tile(pixels.c, pixels.pack)
    launch(
        kernel("pooling", "spread_pixels", g.dtype, PACK=pixels.pack),
        (num_blocks(pixels.n * h * w, 2 * rows, tiles), tiles),
        (columns, rows),
        *(pixels.array, pixels.step, pixels.n, h * w, pixels.c, grad),
    )
    return grad


def _shape(array: Array, h: int, w: int) -> tuple[int, ...]:
    """Return the shape of an array with other pixels."""
    return (*array.shape[:2], *(h, w)[4 - array.ndim :])
