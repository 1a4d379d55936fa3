"""Softmax, its logarithm and its mirror image, along one dimension."""

from __future__ import annotations

import warnings

import numpy as np

from tinytrain import dtypes
from tinytrain.device import Array, array_module
from tinytrain.dtypes import FLOATS
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import cast, rounds_once, wrap_dim
from tinytrain.recording import record
from tinytrain.tensor import Tensor

__all__ = ["softmax", "softmin", "log_softmax"]

_DECORATORS = 2
"""Frames between `softmax` and its caller, for warnings that name the caller's line."""


@by_autocast
@rounds_once
def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: dtypes.dtype | None = None) -> Tensor:
    """Return `exp(input) / sum(exp(input))`, the sum taken along `dim`.

    Args:
        input: floats of any shape.
        dim: along which the results add up to 1; leaving it out is deprecated.
        dtype: the type to compute in and return; `input`'s by default.

    Raises:
        IndexError: there is no such dimension.
        NotImplementedError: the elements are no floats and `dtype` is not given.
    """
    input, axis = _prepared("softmax", input, dim, _stacklevel + _DECORATORS, dtype)
    y = softmax_array(input.array, axis)

    def rule(g: Array) -> Array:
        gy = g * y
        gy -= y * gy.sum(axis=axis, keepdims=True)
        return gy

    return record(y, "Softmax", (input,), (rule,), saves_output=True)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: dtypes.dtype | None = None) -> Tensor:
    """Return `softmax(-input)`; arguments and errors as for `softmax`."""
    if dim is None:
        dim = _implicit_dim("softmin", input.array.ndim, _stacklevel)
    return softmax(-input, dim, _stacklevel, dtype=dtype)


@by_autocast
@rounds_once
def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: dtypes.dtype | None = None
) -> Tensor:
    """Return `input - log(sum(exp(input)))`, the sum along `dim`; arguments and errors as for `softmax`."""
    input, axis = _prepared("log_softmax", input, dim, _stacklevel + _DECORATORS, dtype)
    y = log_softmax_array(input.array, axis)
    xp = array_module(y)

    def rule(g: Array) -> Array:
        return g - xp.exp(y) * g.sum(axis=axis, keepdims=True)

    return record(y, "LogSoftmax", (input,), (rule,), saves_output=True)


def softmax_array(x: Array, axis: int) -> Array:
    """Return the softmax of an array of floats; the largest element is taken off first, so nothing overflows."""
    xp = array_module(x)
    if x.ndim == 0 or x.size == 0:
        return xp.ones_like(x)
    with np.errstate(invalid="ignore"):  # a row of infinities gives NaN, as in PyTorch
        y = x - x.max(axis=axis, keepdims=True)
    xp.exp(y, out=y)
    y /= y.sum(axis=axis, keepdims=True)
    return y


def log_softmax_array(x: Array, axis: int) -> Array:
    """Return the logarithm of the softmax of an array of floats."""
    xp = array_module(x)
    if x.ndim == 0 or x.size == 0:
        return xp.zeros_like(x)
    with np.errstate(invalid="ignore"):  # a row of infinities gives NaN, as in PyTorch
        y = x - x.max(axis=axis, keepdims=True)
    y -= xp.log(xp.exp(y).sum(axis=axis, keepdims=True))
    return y


def _prepared(
    name: str, input: Tensor, dim: int | None, stacklevel: int, dtype: dtypes.dtype | None
) -> tuple[Tensor, int]:
    """Return the input in the type to compute in, and the axis."""
    if dim is None:
        dim = _implicit_dim(name, input.array.ndim, stacklevel + 1)
    axis = wrap_dim(dim, input.array.ndim)
    if dtype is not None:
        input = cast(input, dtypes.as_dtype(dtype))
    if input.array.dtype.kind not in FLOATS:
        raise NotImplementedError(
            f'"{name}" not implemented for {input.dtype.name}: it takes floats. Pass dtype or convert with .float()'
        )
    return input, axis


def _implicit_dim(name: str, ndim: int, stacklevel: int) -> int:
    """Return the dimension that PyTorch takes where none is given, with PyTorch's warning."""
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=stacklevel,
    )
    return 0 if ndim in (0, 1, 3) else 1
