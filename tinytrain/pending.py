"""Values that are known but not written to memory yet.

A normalisation or an activation costs a pass over memory of its own, unless whoever reads the result does it while
reading. So the fast kernels may hand on a pending value: a recipe in place of an array, of the array's shape and
type. A kernel that understands the recipe takes it; everybody else asks for the array, which is then computed once.
Gradients are handed on in the same way.

What people see stays eager: shapes, types and errors are those of the finished value, and whoever changes or shares the
memory that a recipe reads computes the value first (`tape.Storage.settle`).
"""

from __future__ import annotations

from math import prod
from typing import Any

from tinytrain.device import Array, device, device_of


class Pending:
    """A value that is computed when somebody asks for it.

    Args:
        like: an array of the shape, type and device of the value.

    Attributes:
        reads: the storages (`tape.Storage`) whose memory the recipe reads.
    """

    __slots__ = ("__weakref__", "_array", "device_array", "dtype", "reads", "shape")

    is_private = False
    """Whether nobody else will hold the memory of the array."""

    def __init__(self, like: Array | Pending):
        self.shape: tuple[int, ...] = like.shape
        self.dtype: Any = like.dtype
        self.device_array: Array = like.device_array if isinstance(like, Pending) else like
        self._array: Array | None = None
        self.reads: tuple[Any, ...] = ()

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return int(self.dtype.itemsize)

    @property
    def device(self) -> device:
        """Where the value will lie."""
        return device_of(self.device_array)

    @property
    def is_settled(self) -> bool:
        """Whether the array has been computed."""
        return self._array is not None

    def settle(self) -> Array:
        """Return the array, computed at the first call."""
        if self._array is None:
            self._array = self.compute()
        return self._array

    def let_go(self) -> None:
        """Compute the array while the memory that the recipe reads is still as it was."""
        self.settle()

    def compute(self) -> Array:
        """Compute the array; every kind of pending value defines it."""
        raise NotImplementedError

    def plus(self, other: Array | Pending) -> Array | Pending:
        """Return the sum with a value of the same shape."""
        return self.settle() + settled(other)


def settled(value: Any) -> Any:
    """Return the array of a pending value; anything else as it is."""
    return value.settle() if isinstance(value, Pending) else value


def plus(a: Any, b: Any) -> Any:
    """Return the sum of two arrays or pending values."""
    if isinstance(a, Pending):
        return a.plus(b)
    return b.plus(a) if isinstance(b, Pending) else a + b
