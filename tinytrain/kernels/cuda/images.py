"""Batches of small images gathered on a GPU out of a set that lies in its memory."""

from __future__ import annotations

import numpy as np

from tinytrain.device import Array, cupy
from tinytrain.kernels.cuda.compiler import THREADS, kernel, launch, num_blocks
from tinytrain.kernels.cuda.layout import BYTES, empty


def gather_images(
    images: Array,
    places: np.ndarray,
    size: tuple[int, int],
    border: int,
    table: Array,
    boxes: np.ndarray | None,
    erased: Array | None,
) -> Array:
    """Cut a window out of one image for each place, and turn its levels into what a table says.

    Nothing waits for the GPU: what was drawn on the host is copied there in one piece.

    Args:
        images, places, size, table, boxes, erased: as of `kernels/reference/images.py`; images and table without gaps.
        border: its number in `kernels/fused/images.py`.

    Returns:
        (n, c, oh, ow), channels-last, of the table's type.

    Raises:
        IndexError: a place names an image that is not there.
    """
    m, h, w, c = images.shape
    if len(places) and not 0 <= places[:, 0].min() <= places[:, 0].max() < m:
        raise IndexError(f"gather_images: images are numbered from 0 to {m - 1}")
    drawn = places if boxes is None else np.concatenate([places, boxes], axis=1)
    result = empty((len(places), c, *size), table.dtype)
    pack = BYTES // table.dtype.itemsize
    launch(
        kernel("images", "gather_images", table.dtype, PACK=pack),
        (num_blocks(result.size, THREADS * pack),),
        (THREADS,),
        *(images, h, w, c, cupy().asarray(drawn), drawn.shape[1], *size, border, table, erased, result, result.size),
        shared=table.nbytes,
    )
    return result
