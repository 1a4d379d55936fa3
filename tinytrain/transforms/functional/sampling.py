"""Reading an array between its pixels."""

from __future__ import annotations

import numpy as np

from tinytrain.device import Array, array_module
from tinytrain.transforms.functional.images import Fill, as_list, cast_back, computing_dtype


def read_at(array: Array, x: Array, y: Array, mode: str, fill: Fill) -> Array:
    """Return the image read at positions between its pixels; outside it is `fill`.

    Args:
        array: (..., h, w).
        x, y: (oh, ow) positions in pixels, 0 being the centre of the first.
        mode: `nearest` or `bilinear`.
        fill: a number or one a channel, which the edge fades into over a pixel; None is 0.

    Returns:
        (..., oh, ow) of the same type.

    Raises:
        ValueError: another mode, or `fill` does not go with the channels.
    """
    xp, dtype = array_module(array), computing_dtype(array)
    if mode not in ("nearest", "bilinear"):
        raise ValueError(f"Interpolation mode '{mode}' is unsupported with Tensor input")
    background = _background(fill, array)
    if mode == "nearest":
        values, inside = _gather(array, xp.rint(x), xp.rint(y))
        return values if fill is None else xp.where(inside, values, cast_back(background, array.dtype))
    left, top = xp.floor(x), xp.floor(y)
    right_share, lower_share = x - left, y - top
    result, cover = xp.zeros((*array.shape[:-2], *x.shape), dtype), xp.zeros(x.shape, dtype)
    for column, share_x in ((left, 1 - right_share), (left + 1, right_share)):
        for row, share_y in ((top, 1 - lower_share), (top + 1, lower_share)):
            values, inside = _gather(array, column, row)
            weight = share_x * share_y * inside
            result += values * weight
            cover += weight
    if fill is not None:
        result = result * cover + (1 - cover) * background
    return cast_back(result, array.dtype)


def _gather(array: Array, columns: Array, rows: Array) -> tuple[Array, Array]:
    """Return the pixels at whole positions, 0 outside, and a mask of those inside."""
    xp = array_module(array)
    height, width = array.shape[-2:]
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    columns, rows = (xp.where(inside, index, 0).astype(np.int64) for index in (columns, rows))
    return array[..., rows, columns] * inside.astype(array.dtype), inside


def _background(fill: Fill, array: Array) -> Array:
    """Return `fill` as (1, 1, 1) or (c, 1, 1), so that it broadcasts with the image."""
    values = as_list(0 if fill is None else fill)
    num_channels = 1 if array.ndim == 2 else array.shape[-3]
    if len(values) not in (1, num_channels):
        raise ValueError(
            "The number of elements in 'fill' cannot broadcast to match the number of channels of the image "
            f"({len(values)} != {num_channels})"
        )
    column = array_module(array).asarray(values, dtype=computing_dtype(array))
    return column.reshape(-1, 1, 1) if array.ndim > 2 else column.reshape(1, 1)
