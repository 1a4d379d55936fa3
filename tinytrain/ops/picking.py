"""Results that are picked from the input along one dimension: values, their indices and the way back."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from tinytrain.device import Array, array_module
from tinytrain.recording import record
from tinytrain.tensor import Tensor, wrap


def named_result(name: str, *fields: str) -> Any:
    """Return the type of an op's several results: a named tuple that prints as PyTorch's does.

    Args:
        name: the op's name.
        fields: the names of its results.
    """

    def __repr__(self: Any) -> str:
        lines = ",\n".join(f"{field}={value!r}" for field, value in zip(fields, self, strict=True))
        return f"torch.return_types.{name}(\n{lines})"

    kind = namedtuple(name, fields)  # type: ignore[misc]  # mypy wants literal names
    kind.__repr__ = __repr__  # type: ignore[method-assign]
    kind.__module__ = "torch.return_types"
    return kind


def pick(input: Tensor, indices: Array, axis: int, name: str, *, keepdim: bool = True) -> tuple[Tensor, Tensor]:
    """Return the elements of `input` at `indices` along `axis`, recorded, and the indices as a tensor.

    Args:
        input: any shape; a tensor without dimensions counts as having one.
        indices: of the shape of `input` but for `axis`; no index twice in a line along it.
        axis: counted from the front.
        name: PyTorch's name of the operation.
        keepdim: whether the results keep `axis`, which then must have one index.
    """
    x = input.array
    if x.ndim == 0:
        return record(x.copy(), name, (input,), (lambda g: g,)), wrap(indices.reshape(()))
    xp = array_module(x)
    values = xp.take_along_axis(x, indices, axis)

    def rule(g: Array) -> Array:
        return place_along_axis(g if keepdim else xp.expand_dims(g, axis), indices, axis, x.shape)

    if keepdim:
        return record(values, name, (input,), (rule,)), wrap(indices)
    return record(values.squeeze(axis), name, (input,), (rule,)), wrap(indices.squeeze(axis))


def place_along_axis(values: Array, indices: Array, axis: int, shape: tuple[int, ...]) -> Array:
    """Return zeros of `shape` with `values` at `indices` along `axis`: the inverse of taking them."""
    xp = array_module(indices)
    out = xp.zeros(shape, values.dtype)
    where = list(xp.ogrid[tuple(slice(size) for size in indices.shape)])
    where[axis] = indices
    out[tuple(where)] = values
    return out
