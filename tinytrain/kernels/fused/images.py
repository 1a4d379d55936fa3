"""Batches of small images gathered out of a set that lies in memory."""

from __future__ import annotations

import numpy as np

from tinytrain.device import Array
from tinytrain.kernels.fused.backends import primitives
from tinytrain.kernels.reference import images as reference

BORDERS = ("constant", "edge", "reflect", "symmetric")
"""Their numbers are the back ends'."""


def gather_images(
    images: Array,
    places: np.ndarray,
    size: tuple[int, int],
    border: str,
    table: Array,
    boxes: np.ndarray | None = None,
    erased: Array | None = None,
) -> Array:
    """Cut a window out of one image for each place, and turn its levels into what a table says; as the reference."""
    if not images.flags.c_contiguous or not table.flags.c_contiguous:
        return reference.gather_images(images, places, size, border, table, boxes, erased)
    number = BORDERS.index(border)
    return primitives(table).gather_images(images, places, size, number, table, boxes, erased)
