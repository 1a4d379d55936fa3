"""The second stage of sums: what the blocks of the first have left is merged in their order."""

from __future__ import annotations

from tinytrain.device import Array
from tinytrain.kernels.cuda.compiler import kernel, launch
from tinytrain.kernels.cuda.layout import floats

FEW = 2048
"""Up to so many sums, more threads share the pieces of each."""


def merge_moments(
    partial: Array,
    pieces: int,
    c: int,
    *,
    counts: Array | None = None,
    each: int = 0,
    values: int = 0,
    base: Array | None = None,
) -> tuple[Array, Array]:
    """Return mean and sum of squared deviations of each channel from those of the pieces.

    Args:
        partial: `(pieces, 2, c)`.
        pieces, c: sizes.
        counts: values of each channel in each piece, `(pieces,)`; None where they follow from the next two.
        each: values in a piece but perhaps the last.
        values: in all; the mean of none is NaN.
        base: `(c,)` or more, what was subtracted from the values of each channel; None for nothing.
    """
    mean, m2 = floats(c), floats(c)
    block = columns, rows = _block(c)
    launch(
        kernel("pieces", "merge_moments", "float32" if base is None else base.dtype),
        (-(-c // columns),),
        block,
        *(base, partial, counts, each, values, pieces, c, mean, m2),
        shared=3 * 8 * columns * rows,
    )
    return mean, m2


def add_pieces(
    partial: Array, pieces: int, c: int, taps: int, others: int, weight: Array | None, rows: Array | None
) -> None:
    """Add up the pieces of `(pieces, taps + others, c)` into a weight `(c, taps)` and into `others` rows of `c`."""
    length = (taps + others) * c
    if length:
        block = columns, depth = _block(length)
        launch(
            kernel("pieces", "add_pieces", "float32" if weight is None else weight.dtype),
            (-(-length // columns),),
            block,
            *(partial, pieces, c, taps, others, weight, rows),
            shared=4 * columns * depth,
        )


def _block(count: int) -> tuple[int, int]:
    """Return how many sums a block merges, and how many threads share the pieces of each."""
    return (8, 64) if count <= FEW else (32, 16)
