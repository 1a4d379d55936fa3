"""CuPy's functions of types and of the package itself."""

from __future__ import annotations

from typing import Any

import numpy as np

import cupy
from cupy._array import ndarray
from cupy._results import fresh

__all__ = """
result_type can_cast get_array_module is_available get_default_memory_pool get_default_pinned_memory_pool ogrid
""".split()


def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    return np.result_type(*(each._a if isinstance(each, ndarray) else each for each in arrays_and_dtypes))


def can_cast(from_: Any, to: Any, casting: str = "safe") -> bool:
    return np.can_cast(from_.dtype if isinstance(from_, ndarray) else from_, to, casting)


def get_array_module(*args: Any) -> Any:
    return cupy if any(isinstance(each, ndarray) for each in args) else np


def is_available() -> bool:
    return cupy.cuda.is_available()


def get_default_memory_pool() -> Any:
    from cupy import _memory

    return _memory._default_pool


def get_default_pinned_memory_pool() -> Any:
    from cupy import _memory

    return _memory._default_pinned_pool


class _Grid:
    def __getitem__(self, key: Any) -> Any:
        grids = np.ogrid[key]
        if isinstance(grids, np.ndarray):
            return fresh(lambda: grids)
        return [fresh(lambda each=each: each) for each in grids]


ogrid = _Grid()
