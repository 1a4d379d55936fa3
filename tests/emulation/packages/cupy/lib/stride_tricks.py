"""Views by strides."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy import _array


def as_strided(x: _array.ndarray, shape: Any = None, strides: Any = None) -> _array.ndarray:
    return _array.view(x, np.lib.stride_tricks.as_strided(x._a, shape, strides))


def sliding_window_view(
    x: _array.ndarray, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> _array.ndarray:
    return _array.view(x, np.lib.stride_tricks.sliding_window_view(x._a, window_shape, axis, writeable=True))
