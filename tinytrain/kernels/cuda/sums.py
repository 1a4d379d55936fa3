"""The second stage of the convolutions' sums: what the blocks have left is merged in their order."""

from __future__ import annotations

from tinytrain.device import Array
from tinytrain.kernels.cuda.compiler import kernel, launch
from tinytrain.kernels.cuda.layout import floats

MERGE_BLOCK = (32, 16)
"""Sums and shares of the pieces in a block that merges them."""


def merge_moments(partial: Array, counts: Array | None, pieces: int, c: int) -> tuple[Array, Array]:
    """Return mean and sum of squared deviations of each channel from those of the pieces.

    Args:
        partial: `(pieces, 2, c)`.
        counts: values of each channel in each piece.
        pieces, c: sizes.
    """
    mean, m2 = floats(c), floats(c)
    columns, rows = MERGE_BLOCK
    merge = kernel("pieces", "merge_moments", "float32")
    launch(merge, (-(-c // columns),), MERGE_BLOCK, partial, counts, pieces, c, mean, m2, shared=3 * 8 * columns * rows)
    return mean, m2


def add_pieces(
    partial: Array, pieces: int, c: int, taps: int, others: int, weight: Array | None, rows: Array | None
) -> None:
    """Add up the pieces of `(pieces, taps + others, c)` into a weight `(c, taps)` and into `others` rows of `c`."""
    length = (taps + others) * c
    if length:
        columns, depth = MERGE_BLOCK
        launch(
            kernel("pieces", "add_pieces", "float32" if weight is None else weight.dtype),
            (-(-length // columns),),
            MERGE_BLOCK,
            *(partial, pieces, c, taps, others, weight, rows),
            shared=4 * columns * depth,
        )
