"""A window of a resized Pillow image as an array, to the bit what Pillow's own resize would show there.

Pillow rounds to whole pixels between its two passes, so which of them comes first shows in the result: releases before
13 take the rows first, later ones the columns where that is less work. It is found out by trying.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from PIL import Image

from tinytrain.kernels.native.extension import native
from tinytrain.transforms.functional.geometry import InterpolationMode

Box = tuple[int, int, int, int]
"""(top, left, height, width)."""

_CHANNELS = {"L": 1, "RGB": 3}
_FILTERS = {
    InterpolationMode.LANCZOS: 1,
    InterpolationMode.BILINEAR: 2,
    InterpolationMode.BICUBIC: 3,
    InterpolationMode.BOX: 4,
    InterpolationMode.HAMMING: 5,
}
"""Pillow's numbers for its filters."""

Order = Callable[[int, int, int, int], bool]
"""Whether columns are resized first: from height and width before, and height and width after."""


def resize_window(
    img: Image.Image,
    box: Box,
    size: tuple[int, int],
    window: Box,
    interpolation: InterpolationMode,
    *,
    mirrored: bool = False,
) -> np.ndarray | None:
    """Cut out a box, resize it, cut out a window, perhaps mirror it left and right.

    Args:
        img: a Pillow image.
        box: inside it.
        size: (height, width) that the box is resized to.
        window: inside that.
        interpolation: how to read between pixels.
        mirrored: whether left and right change places.

    Returns:
        (height, width, channels) uint8; None where this is not computed here: another mode or interpolation, a window
        that leaves the image, an image that does not lie in one piece of memory, no native kernels.
    """
    if not isinstance(img, Image.Image) or img.mode not in _CHANNELS or interpolation not in _FILTERS:
        return None
    top, left, height, width = window
    if not (top >= 0 and left >= 0 and top + height <= size[0] and left + width <= size[1] and min(height, width) > 0):
        return None
    order = _order_of_passes()
    if order is None:
        return None
    return _resize(img, box, size, window, (_FILTERS[interpolation], mirrored), order)


def _resize(
    img: Image.Image, box: Box, size: tuple[int, int], window: Box, way: tuple[int, bool], order: Order
) -> np.ndarray | None:
    try:
        _, memory = img.__arrow_c_array__()
    except ValueError:  # Pillow keeps large images in several pieces
        top, left, height, width = box
        if (height, width) == img.size[::-1]:
            return None
        cut = img.crop((left, top, left + width, top + height))
        return _resize(cut, (0, 0, height, width), size, window, way, order)
    shape = (*img.size, _CHANNELS[img.mode])
    extension = native()
    assert extension is not None
    return extension.resize(memory, shape, box, size, window, (*way, order(*box[2:], *size)))


def _rows_first(height: int, width: int, new_height: int, new_width: int) -> bool:
    return False


def _columns_first_where_they_shrink_more(height: int, width: int, new_height: int, new_width: int) -> bool:
    return new_height < height and 2 * (width - new_width) < height - new_height


@functools.cache
def _order_of_passes() -> Order | None:
    """Return the order that this Pillow keeps to; None where it is a third one, or there are no native kernels."""
    if native() is None:
        return None
    trials = ((50, 24, 4, 47), (40, 40, 20, 29), (40, 40, 20, 30), (40, 40, 20, 31), (30, 20, 40, 40), (40, 40, 39, 20))
    for order in (_rows_first, _columns_first_where_they_shrink_more):
        if all(_agrees(order, *trial) for trial in trials):
            return order
    return None


def _agrees(order: Order, height: int, width: int, new_height: int, new_width: int) -> bool:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    img = Image.fromarray(pixels)
    expected = np.asarray(img.resize((new_width, new_height), Image.Resampling.BILINEAR))
    size, way = (new_height, new_width), (_FILTERS[InterpolationMode.BILINEAR], False)
    found = _resize(img, (0, 0, height, width), size, (0, 0, *size), way, order)
    return found is not None and np.array_equal(found[:, :, 0], expected)
