"""Values added into rows of an array on a GPU in an order that is always the same, so that sums repeat to the bit."""

from __future__ import annotations

from tinytrain.device import Array, cupy
from tinytrain.kernels.cuda.compiler import ELEMENTS, THREADS, kernel, launch, num_blocks

TYPES = {**ELEMENTS, "float64": "double"}
"""What the source calls the types that it adds up, by their names in NumPy."""


def add_rows(to: Array, keys: Array, values: Array) -> None:
    """Add the rows of `values` to those of `to` that keys name, in place; each row's in the order in which they come.

    Args:
        to: `(rows, width)` without gaps, of one of `TYPES`.
        keys: `(count,)` int64, from 0 to rows - 1.
        values: `(count, width)` of the type of `to`.
    """
    xp = cupy()
    count, width = values.shape
    order = xp.argsort(keys, kind="stable")
    launch(
        kernel("scattering", "add_rows", "float32", VALUE=TYPES[to.dtype.name]),
        (num_blocks(count * width, THREADS),),
        (THREADS,),
        *(keys[order], order, xp.ascontiguousarray(values), count, width, to),
    )
