"""Element types as weights files name them, and the arrays that their bytes stand for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytrain.errors import WeightsError

MAX_DIMENSIONS = 64  # NumPy's own limit


@dataclass(frozen=True)
class Element:
    """An element type in a file.

    Args:
        name: PyTorch's.
        numpy: code of the NumPy type of the same layout; of bfloat16, that of its 16 bits.
    """

    name: str
    numpy: str

    @property
    def size(self) -> int:
        """Bytes of one element."""
        return int(self.numpy[1])

    def values(self, raw: bytes | memoryview, order: str = "<") -> np.ndarray:
        """Return the elements (n,) that bytes stand for; bfloat16 becomes float32, which holds all its values.

        Args:
            raw: a whole number of elements.
            order: of the bytes: `<` least significant first, `>` most significant first.
        """
        values = np.frombuffer(raw, order + self.numpy)
        if self.name == "bool":
            return values.view("u1") != 0  # any other byte than 0 and 1 is no bool to NumPy
        if self.name == "bfloat16":
            return (values.astype("u4") << 16).view("f4")
        return values if order == "<" else values.astype(self.numpy)


ELEMENTS = {
    name: Element(name, code)
    for name, code in {
        "bool": "b1", "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8", "int8": "i1", "int16": "i2",
        "int32": "i4", "int64": "i8", "float16": "f2", "bfloat16": "u2", "float32": "f4", "float64": "f8",
    }.items()
}  # fmt: skip


def check_shape(shape: Sequence[Any], what: str) -> int:
    """Return the number of elements of a shape from a file.

    Args:
        shape: lengths as the file gives them.
        what: it is the shape of, for messages.

    Raises:
        WeightsError: it is no shape, or one beyond what memory can have.
    """
    if not all(type(length) is int and length >= 0 for length in shape) or len(shape) > MAX_DIMENSIONS:
        raise WeightsError(f"{what}: no shape: {_shown(shape)}")
    if math.prod(max(length, 1) for length in shape) >= 1 << 59:
        raise WeightsError(f"{what}: the shape {_shown(shape)} is larger than any memory")
    return math.prod(shape)


def strided(values: np.ndarray, offset: int, shape: Sequence[int], stride: Sequence[int], what: str) -> np.ndarray:
    """Return the view of elements that an offset, a shape and strides choose.

    Args:
        values: the elements (n,) of a storage.
        offset, stride: in elements.
        shape: checked already.
        what: is viewed, for messages.

    Raises:
        WeightsError: the view would reach beyond the storage.
    """
    if len(stride) != len(shape) or not all(type(step) is int and step >= 0 for step in (offset, *stride)):
        raise WeightsError(f"{what}: no offset and strides for the shape {_shown(shape)}: {_shown((offset, *stride))}")
    if not math.prod(shape):
        return np.empty(shape, values.dtype)
    last = offset + sum((length - 1) * step for length, step in zip(shape, stride, strict=True))
    if last >= len(values):
        raise WeightsError(f"{what}: reaches to element {last} of a storage of {len(values)}")
    steps = [step * values.itemsize if length > 1 else 0 for length, step in zip(shape, stride, strict=True)]
    return np.lib.stride_tricks.as_strided(values[offset:], shape, steps, writeable=False)


def _shown(numbers: Sequence[Any]) -> str:
    """Return numbers from a file as text; of what is none, or too large to write down, the type."""
    texts = [str(n) if type(n) in (int, bool) and abs(n) < 1 << 64 else type(n).__name__ for n in numbers[:8]]
    return f"({', '.join(texts)}{', ...' if len(numbers) > 8 else ''})"
