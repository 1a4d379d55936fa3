"""Back ends: modules of primitives, the loops that the fused kernels are made of, one for each kind of array.

A back end offers the functions that `kernels/native/_native.pyi` lists, with those arguments and results. What the
fused kernels do with pending values is written once, here in this package, for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinytrain.device import Array
from tinytrain.kernels import cuda
from tinytrain.kernels.native.extension import native
from tinytrain.pending import Pending


def primitives(value: Array | Pending) -> Any:
    """Return the back end that computes on values like this one; None where there is none."""
    # The usual case first: small operations ask often enough to show in `benchmarks/overhead.py`.
    return native() if value.__class__ is np.ndarray or _is_on_cpu(value) else cuda.backend()


def offered(value: Array | Pending) -> Any:
    """Return the back end to begin something with on values like this one; None where the reference shall do it."""
    return None if _left_out else primitives(value)


@contextmanager
def leaving_back_ends_out() -> Iterator[None]:
    """Begin nothing with a back end within the block; what waits to be computed by one still is."""
    global _left_out
    before, _left_out = _left_out, True
    try:
        yield
    finally:
        _left_out = before


def reads_pending(value: Array | Pending, geometry: tuple[int, ...], w_shape: tuple[int, ...]) -> bool:
    """Return whether the back end's convolution reads values that are not computed yet.

    Where it does not, they are computed once and kept, rather than once for each of its readers.

    Args:
        value: an operand.
        geometry: see `Steps.numbers`.
        w_shape: `(o, c // groups, *kernel)`.
    """
    return _is_on_cpu(value) or bool(primitives(value).reads_pending(geometry, w_shape))


def empty(shape: tuple[int, ...], like: Array | Pending) -> Array:
    """Return an array of this shape that lies channels-last, its values not set, of the type and device of `like`."""
    backend = primitives(like)
    return backend.empty(shape) if _is_on_cpu(like) else backend.empty(shape, like.dtype)


def _is_on_cpu(value: Array | Pending) -> bool:
    return isinstance(value.device_array if isinstance(value, Pending) else value, np.ndarray)


_left_out = False
