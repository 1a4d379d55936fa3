"""From a list of samples to a batch of tensors, with PyTorch's rules."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from tinytrain.device import array_module
from tinytrain.dtypes import get_default_dtype
from tinytrain.ops.joining import stack
from tinytrain.tensor import Tensor, wrap

_REFUSAL = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"

CollateTable = dict[Any, Callable[..., Any]]


def default_collate(batch: Sequence[Any]) -> Any:
    """Put samples together along a new first dimension.

    Tensors and NumPy arrays are stacked; ints become int64, floats float64, bools bool tensors; strings and bytes
    stay lists; mappings, namedtuples and sequences are collated member by member (tuples become lists).

    Args:
        batch: samples of one structure.

    Raises:
        TypeError: a sample, or a member of one, is of another type.
        RuntimeError: sequences of different lengths, or tensors of different shapes.
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def collate(batch: Sequence[Any], *, collate_fn_map: CollateTable | None = None) -> Any:
    """Collate as `default_collate` does, with another table of rules.

    Args:
        batch: samples of one structure.
        collate_fn_map: from a type, or a tuple of types, to a function `(batch, *, collate_fn_map)`. The exact type
            is looked up first, then the first entry that the sample is an instance of.
    """
    sample = batch[0]
    table = collate_fn_map or {}
    rule = table.get(type(sample)) or next((table[kind] for kind in table if isinstance(sample, kind)), None)
    if rule is not None:
        return rule(batch, collate_fn_map=collate_fn_map)

    def recurse(members: Sequence[Any]) -> Any:
        return collate(members, collate_fn_map=collate_fn_map)

    if isinstance(sample, Mapping):
        members = {key: recurse([each[key] for each in batch]) for key in sample}
        return _like_mapping(sample, members)
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        return type(sample)(*map(recurse, zip(*batch, strict=True)))
    if isinstance(sample, Sequence):
        if any(len(each) != len(sample) for each in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [recurse(column) for column in zip(*batch, strict=True)]
        return columns if isinstance(sample, tuple) else _like_sequence(sample, columns)
    raise TypeError(_REFUSAL.format(type(sample)))


def default_convert(data: Any) -> Any:
    """Turn the NumPy arrays and scalars in a sample into tensors and leave everything else: without batches."""
    if isinstance(data, (np.ndarray, np.bool_, np.number)):
        array = np.asarray(data)
        return data if _is_text(array.dtype) else wrap(array)
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        members = [default_convert(each) for each in data]
        return members if isinstance(data, tuple) else _like_sequence(data, members)
    return data


def collate_tensor_fn(batch: Sequence[Tensor], *, collate_fn_map: CollateTable | None = None) -> Tensor:
    """Stack tensors along a new first dimension.

    Samples of one memory order keep it: channels-last images are copied as they lie, ten times as fast as otherwise.
    """
    first = batch[0].array
    looks = {(each.array.shape, each.array.strides, each.array.dtype) for each in batch}
    if len(looks) > 1 or any(each.requires_grad for each in batch):
        return stack(batch)
    order = sorted(range(first.ndim), key=lambda axis: -first.strides[axis])
    stacked = array_module(first).stack([each.array.transpose(order) for each in batch])
    return wrap(stacked.transpose(0, *(1 + order.index(axis) for axis in range(first.ndim))))


def collate_numpy_array_fn(batch: Sequence[np.ndarray], *, collate_fn_map: CollateTable | None = None) -> Any:
    """Stack arrays along a new first dimension; refuse text and objects."""
    if _is_text(batch[0].dtype):
        raise TypeError(_REFUSAL.format(batch[0].dtype))
    return collate([wrap(each) for each in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(batch: Sequence[Any], *, collate_fn_map: CollateTable | None = None) -> Tensor:
    """Make a vector of NumPy scalars of their type."""
    return wrap(np.asarray(batch))


def collate_float_fn(batch: Sequence[float], *, collate_fn_map: CollateTable | None = None) -> Tensor:
    """Make a float64 vector of numbers."""
    return wrap(np.asarray(batch, dtype=np.float64))


def collate_int_fn(batch: Sequence[Any], *, collate_fn_map: CollateTable | None = None) -> Tensor:
    """Make a vector of integers or bools: int64 or bool, a float in between makes the default float type."""
    values = np.asarray(batch)
    return wrap(values.astype(get_default_dtype().numpy) if values.dtype.kind == "f" else values)


def collate_str_fn(batch: Sequence[Any], *, collate_fn_map: CollateTable | None = None) -> Sequence[Any]:
    """Leave text as it is."""
    return batch


default_collate_fn_map: CollateTable = {
    Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}
"""The rules of `default_collate`; a type of your own may be added."""


def _is_text(dtype: np.dtype) -> bool:
    return dtype.kind in "SUO"


def _like_mapping(sample: Mapping, members: dict[Any, Any]) -> Any:
    """Return `members` in a mapping of the sample's type; a dict where it cannot be made so."""
    try:
        if isinstance(sample, MutableMapping):
            clone = copy.copy(sample)
            clone.update(members)
            return clone
        return type(sample)(members)  # type: ignore[call-arg]
    except TypeError:
        return members


def _like_sequence(sample: Sequence, members: list[Any]) -> Any:
    """Return `members` in a sequence of the sample's type; a list where it cannot be made so."""
    try:
        if isinstance(sample, MutableSequence):
            clone = copy.copy(sample)
            for i, member in enumerate(members):
                clone[i] = member
            return clone
        return type(sample)(members)  # type: ignore[call-arg]
    except TypeError:
        return members
