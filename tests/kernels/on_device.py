"""A back end for GPU arrays that takes and gives NumPy arrays, so that it can be compared with others."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from tests.kernels.native_reference import channels_last
from tinytrain.device import cupy


class OnDevice:
    """The functions of a module, with what they take moved to the GPU and what they return moved back.

    Args:
        module: of primitives.
    """

    def __init__(self, module: Any):
        self._module = module

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._module, name)
        return lambda *arguments: to_host(function(*map(to_device, arguments)))


def to_device(value: Any) -> Any:
    """Return a copy on the GPU that lies in memory as the value does; also of what tuples hold."""
    if isinstance(value, tuple):
        return tuple(map(to_device, value))
    if not isinstance(value, np.ndarray):
        return value
    if value.size == 0:
        return cupy().empty(value.shape, value.dtype)
    low, high = np.lib.array_utils.byte_bounds(value)
    memory = np.ctypeslib.as_array((ctypes.c_uint8 * (high - low)).from_address(low)).view(value.dtype)
    start = (value.__array_interface__["data"][0] - low) // value.itemsize
    return cupy().lib.stride_tricks.as_strided(cupy().asarray(memory)[start:], value.shape, value.strides)


def to_host(value: Any) -> Any:
    """Return a copy in NumPy, also of what tuples hold; elements that NumPy cannot add are float64."""
    if isinstance(value, tuple):
        return tuple(map(to_host, value))
    if value is None:
        return None
    found = cupy().asnumpy(value)
    assert found.ndim < 3 or np.array_equal(found, channels_last(found), equal_nan=True)
    return found.astype(np.float64) if found.dtype != np.float32 else found
