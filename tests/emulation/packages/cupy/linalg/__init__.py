"""Linear algebra by cuSOLVER."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy import _array, _capture


def norm(x: _array.ndarray, ord: Any = None, axis: Any = None, keepdims: bool = False) -> _array.ndarray:
    a = x._a
    return _array.fresh(lambda: np.linalg.norm(a, ord, axis, keepdims))


def svd(a: _array.ndarray, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    _capture.forbid()
    found = np.linalg.svd(a._a, full_matrices, compute_uv)
    return tuple(_array.fresh(lambda each=each: each) for each in found) if compute_uv else _array.fresh(lambda: found)


def qr(a: _array.ndarray, mode: str = "reduced") -> Any:
    _capture.forbid()
    return tuple(_array.fresh(lambda each=each: each) for each in np.linalg.qr(a._a, mode))


def inv(a: _array.ndarray) -> _array.ndarray:
    _capture.forbid()
    return _array.into(None, lambda x=a._a: np.linalg.inv(x))
