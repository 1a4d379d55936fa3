"""A batch of small images gathered out of a set that lies in memory: windows, mirror images, levels, erased boxes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytrain.device import Array, array_module

MIRRORED, UPSIDE_DOWN = 1, 2
"""Bits of the last column of `places`."""


def gather_images(
    images: Array,
    places: np.ndarray,
    size: tuple[int, int],
    border: str,
    table: Array,
    boxes: np.ndarray | None = None,
    erased: Array | None = None,
) -> Array:
    """Cut a window out of one image for each place, and turn its levels into what a table says.

    Args:
        images: uint8 (m, h, w, c).
        places: int32 (n, 4) on the host: which image, the window's top and left in it, which may lie outside, and
            how it is turned: `MIRRORED`, `UPSIDE_DOWN`, both or 0.
        size: (oh, ow) of the windows.
        border: what lies outside of an image: `constant`, `edge`, `reflect` or `symmetric`, as `numpy.pad` has them.
        table: (c, 257); column k is what level k becomes, the last one is the constant border.
        boxes: int32 (n, 4) on the host: top, left, height and width of a box of each result that is overwritten.
        erased: (c,) what it is overwritten with, of the table's type.

    Returns:
        (n, c, oh, ow), channels last in memory, of the table's type.
    """
    xp = array_module(images)
    m, h, w, c = images.shape
    columns = xp.asarray(places.astype(np.int64)).T
    rows, is_row = _axis(columns[1], columns[3] & UPSIDE_DOWN, size[0], h, border)
    cols, is_col = _axis(columns[2], columns[3] & MIRRORED, size[1], w, border)
    pixels = ((columns[0] * h)[:, None] + rows)[:, :, None] * w + cols[:, None, :]
    levels = images.reshape(m * h * w, c).take(pixels, axis=0).astype(np.int64)
    if border == "constant":
        levels[~(is_row[:, :, None] & is_col[:, None, :])] = 256
    levels += 257 * xp.arange(c)
    result = table.ravel().take(levels)
    if boxes is not None:
        assert erased is not None
        result = xp.where(_inside(xp.asarray(boxes), size)[..., None], erased, result)
    return result.transpose(0, 3, 1, 2)


def _axis(start: Array, turned: Array, length: int, extent: int, border: str) -> tuple[Array, Array]:
    """Return (n, length): the place in the image that each place of a window shows, and whether it lies inside."""
    xp = array_module(start)
    along = xp.arange(length)
    at = start[:, None] + xp.where(turned[:, None] != 0, length - 1 - along, along)
    inside = (at >= 0) & (at < extent)
    if border == "reflect":
        period = max(2 * (extent - 1), 1)
        at = (extent - 1) - xp.abs((extent - 1) - at % period)
    elif border == "symmetric":
        at = at % (2 * extent)
        at = xp.minimum(at, 2 * extent - 1 - at)
    return at.clip(0, extent - 1), inside


def _inside(boxes: Array, size: tuple[int, int]) -> Any:
    """Return (n, oh, ow): whether each place lies in its image's box."""
    xp = array_module(boxes)
    top, left, height, width = (boxes[:, i, None] for i in range(4))
    y, x = (xp.arange(side)[None] for side in size)
    in_rows, in_columns = (y >= top) & (y < top + height), (x >= left) & (x < left + width)
    return in_rows[:, :, None] & in_columns[:, None, :]
