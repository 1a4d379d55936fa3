"""Python numbers in nested sequences as arrays, with the shape and the type that PyTorch gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytrain import dtypes
from tinytrain.device import CPU, move
from tinytrain.tensor import Tensor


def array_of(data: Any, dtype: dtypes.dtype | None = None) -> np.ndarray:
    """Return a number or nested sequences of numbers as an array.

    Args:
        data: Python or NumPy numbers, tensors of one element, arrays; alone or in tuples and lists of equal length.
        dtype: by default the first of bool, int64 and the default float type that holds all Python numbers, promoted
            with the types of NumPy's numbers and tensors.

    Raises:
        ValueError: the sequences are ragged, or an integer does not fit 64 bits.
        TypeError: something is not a number.
        RuntimeError: the type of a number cannot be told, or a value does not fit `dtype`.
    """
    shape = _shape_of(data)
    leaves: list[Any] = []
    _collect(data, shape, 0, leaves)
    types = {type(leaf) for leaf in leaves}
    if any(issubclass(each, Tensor) for each in types):
        leaves = [_number_in(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    inferred = _inferred_dtype(leaves)
    if dtype is not None and inferred.is_floating_point:
        inferred = dtypes.float64  # Python's floats are rounded once, to `dtype`
    try:
        array = np.array(leaves, inferred.numpy).reshape(shape)
    except OverflowError as error:
        raise ValueError(f"Overflow when unpacking long long: {error}") from error
    return array if dtype is None else _fitted(array, dtype)


def fitted_number(value: Any, dtype: dtypes.dtype) -> np.ndarray:
    """Return a Python or NumPy number as an array without dims.

    Args:
        value: the number; a negative integer wraps in an unsigned type, as in PyTorch.
        dtype: the type of the array.

    Raises:
        RuntimeError: an integer type cannot hold the number.
    """
    if dtype.is_floating_point:
        return np.asarray(value, dtype.numpy)
    return _fitted(np.asarray(value), dtype)


def _shape_of(data: Any) -> tuple[int, ...]:
    """Return the shape told by the first element of each level."""
    shape = []
    while _is_sequence(data):
        shape.append(len(data))
        if len(data) == 0:
            break
        data = data[0]
    return tuple(shape)


def _collect(data: Any, shape: tuple[int, ...], dim: int, leaves: list[Any]) -> None:
    """Append the numbers in `data` to `leaves`, after checking that it is as long as `shape` says at each level."""
    if dim == len(shape):
        leaves.append(data)
        return
    if not _is_sequence(data):
        raise TypeError(f"not a sequence at dim {dim}: {data!r}")
    if len(data) != shape[dim]:
        raise ValueError(f"expected sequence of length {shape[dim]} at dim {dim} (got {len(data)})")
    if dim == len(shape) - 1:
        leaves.extend(data)
    else:
        for each in data:
            _collect(each, shape, dim + 1, leaves)


def _is_sequence(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _number_in(leaf: Tensor) -> Any:
    if leaf.numel() != 1:
        raise ValueError("only one element tensors can be converted to Python scalars")
    return move(leaf.array, CPU).reshape(())[()]


def _inferred_dtype(leaves: list[Any]) -> dtypes.dtype:
    """Return the type that holds all numbers; the default float type for none."""
    found: dtypes.dtype | None = None
    for kind in dict.fromkeys(type(leaf) for leaf in leaves):
        each = _dtype_of_kind(kind)
        found = each if found is None else dtypes.promote_types(found, each)
    return found or dtypes.get_default_dtype()


def _dtype_of_kind(kind: type) -> dtypes.dtype:
    if issubclass(kind, np.generic):
        return dtypes.from_numpy_dtype(np.dtype(kind))
    if issubclass(kind, bool):
        return dtypes.bool_
    if issubclass(kind, int):
        return dtypes.int64
    if issubclass(kind, float):
        return dtypes.get_default_dtype()
    if issubclass(kind, complex):
        raise TypeError("complex numbers are not supported")
    if issubclass(kind, (str, bytes)):
        raise TypeError(f"new(): invalid data type {kind.__name__!r}")
    if issubclass(kind, (list, tuple)):
        raise TypeError(f"expected a number but found a {kind.__name__}: the sequences are ragged")
    raise RuntimeError(f"Could not infer dtype of {kind.__name__}")


def _fitted(array: np.ndarray, dtype: dtypes.dtype) -> np.ndarray:
    """Return an array converted to `dtype`, after checking that integers fit it."""
    if dtype.numpy.kind in "iu" and array.size and not np.can_cast(array.dtype, dtype.numpy):
        limits = np.iinfo(dtype.numpy)
        low = -limits.max if limits.min == 0 and array.dtype.kind != "f" else limits.min
        if not low <= array.min() <= array.max() <= limits.max:  # nor is NaN within
            raise RuntimeError(f"value cannot be converted to type {dtype.name} without overflow")
    with np.errstate(all="ignore"):
        return array.astype(dtype.numpy)
