"""How activations lie in the memory of a GPU, and how blocks of threads are laid over them.

Pixel p of a batch begins at `x + p * step`, channels follow each other. A thread works on the same few channels (a
*pack*, at most 16 bytes) of many pixels, so that it reads what belongs to its channels once; the threads of a block
stand beside each other over the channels, and in rows over the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinytrain.device import Array, cupy
from tinytrain.kernels.cuda.compiler import THREADS

BYTES = 16
"""What a thread reads or writes at once, at most: the widest access that there is."""

MOST_COLUMNS = 64
"""Of threads in a block: 1 kilobyte of a pixel, which is enough for whole lines of memory."""


@dataclass(slots=True)
class Pixels:
    """An array `(n, c)`, `(n, c, w)` or `(n, c, h, w)` as pixels whose channels follow each other.

    Args:
        array: what holds the memory.
        n, c, h, w: sizes; 1 for the axes that the array does not have.
        step: elements from one pixel to the next.
        pack: how many channels can be read at once from every pixel.
    """

    array: Array
    n: int
    c: int
    h: int
    w: int
    step: int
    pack: int

    @property
    def count(self) -> int:
        """How many pixels there are."""
        return self.n * self.h * self.w


def pixels_of(array: Array) -> Pixels:
    """Return the pixels of an array; of a copy where it does not lie channels-last.

    Raises:
        ValueError: it has another number of dimensions.
    """
    step = step_of(array)
    if step is None:
        copy = empty(array.shape, array.dtype)
        copy[...] = array
        array, step = copy, array.shape[1]
    n, c, h, w = sizes(array.shape)
    return Pixels(array, n, c, h, w, step, _pack(array, c, step))


def step_of(array: Array) -> int | None:
    """Return the elements from one pixel to the next, None where an array does not lie channels-last.

    Raises:
        ValueError: it has another number of dimensions than 2 to 4.
    """
    n, c, h, w = sizes(array.shape)
    if array.size == 0:
        return c
    item, strides = array.itemsize, array.strides
    apart_h = strides[2] if array.ndim == 4 else 0
    apart_w = strides[-1] if array.ndim > 2 else 0
    pitch = apart_w if w > 1 else apart_h if h > 1 else strides[0] if n > 1 else c * item
    lies_well = (
        (c <= 1 or strides[1] == item)
        and pitch >= c * item
        and pitch % item == 0
        and (h <= 1 or apart_h == w * pitch)
        and (n <= 1 or strides[0] == h * w * pitch)
    )
    return pitch // item if lies_well else None


def vectors(array: Array) -> int:
    """Return how many channels can be read at once from an array, 0 where it does not lie channels-last."""
    step = step_of(array)
    return 0 if step is None else _pack(array, array.shape[1], step)


def empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return an array channels-last in memory whose values are whatever was there."""
    xp = cupy()
    if len(shape) < 3:
        return xp.empty(shape, dtype)
    n, c, *size = shape
    order = (0, 3, 1, 2) if len(shape) == 4 else (0, 2, 1)
    return xp.empty((n, *size, c), dtype).transpose(order)


def floats(length: int) -> Array:
    """Return an uninitialised vector of float32."""
    return cupy().empty(length, "float32")


def factors(vector: Array | None, c: int) -> Array | None:
    """Return a vector of one float32 per channel that kernels can read: itself, or a copy where it lies otherwise.

    Raises:
        ValueError: it has another length.
    """
    if vector is None:
        return None
    if vector.size != c:
        raise ValueError(f"expected a vector of {c} channels; got {vector.size}")
    return cupy().ascontiguousarray(vector, "float32")


def tile(c: int, pack: int) -> tuple[int, int, int]:
    """Return the columns and rows of a block, and how many blocks stand beside each other over the channels.

    Args:
        c: channels.
        pack: channels of a thread.
    """
    packs = max(1, -(-c // pack))
    tiles = -(-packs // MOST_COLUMNS)
    columns = -(-packs // tiles)
    return columns, THREADS // columns, tiles


def sizes(shape: Sequence[int]) -> tuple[int, int, int, int]:
    """Return `(n, c, h, w)` of a shape with two, one or no spatial axes.

    Raises:
        ValueError: it has another number of dimensions.
    """
    if not 2 <= len(shape) <= 4:
        raise ValueError(f"expected an array (n, c), (n, c, w) or (n, c, h, w); got one of the shape {tuple(shape)}")
    h, w = (1, 1, *shape[2:])[-2:]
    return shape[0], shape[1], h, w


def _pack(array: Array, c: int, step: int) -> int:
    if array.size == 0:
        return 1
    pack = BYTES // array.itemsize
    while c % pack or step % pack or array.data.ptr % (pack * array.itemsize):
        pack //= 2
    return pack
