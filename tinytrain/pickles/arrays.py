"""What stands for the functions that NumPy's arrays and numbers are made of in a pickle."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from tinytrain.pickles.machine import Unbuilt, expect


class _DType(Unbuilt):
    """An element type; a state gives it its byte order."""

    def __init__(self, code: str, *options: Any):
        super().__init__()
        self.code = expect(str, code)
        self.order = "="

    def finish(self, state: Any) -> _DType:
        self.order = expect(str, state[1])
        return self

    def numpy(self) -> np.dtype:
        """Return NumPy's type."""
        if not re.fullmatch(r"[bui][1248]|f[248]", self.code):
            raise ValueError(f"arrays of type {self.code!r} are not read")
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]  # checked by NumPy


class _UnbuiltArray(Unbuilt):
    """An array that waits for its state: version, shape, type, order, bytes."""

    def __init__(self, *arguments: Any):
        super().__init__()

    def finish(self, state: Any) -> np.ndarray:
        _, shape, dtype, is_fortran, raw = state
        return _array(shape, dtype, is_fortran, raw)


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    return _array(shape, dtype, order == "F", raw)


def _scalar(dtype: Any, raw: Any) -> int | float | bool:
    return _array((), dtype, False, raw).item()


def _array(shape: Any, dtype: Any, is_fortran: Any, raw: Any) -> np.ndarray:
    values = np.frombuffer(raw.encode("latin-1") if isinstance(raw, str) else raw, expect(_DType, dtype).numpy())
    return values.reshape(shape, order="F" if is_fortran else "C")


def _encode(text: Any, encoding: Any = "utf-8") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise ValueError("text in another encoding than Latin-1 stands for bytes")
    return expect(str, text).encode("latin-1")


_FUNCTIONS: dict[str, Callable[..., Any] | None] = {
    "_reconstruct": _UnbuiltArray,
    "ndarray": None,
    "dtype": _DType,
    "scalar": _scalar,
    "_frombuffer": _from_buffer,
}
NUMPY_NAMES: dict[str, Callable[..., Any] | None] = {
    f"{module}.{name}": function
    for module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy._core.numeric")
    for name, function in _FUNCTIONS.items()
} | {"_codecs.encode": _encode}
"""Name -> what stands for it, for `read_values`."""
