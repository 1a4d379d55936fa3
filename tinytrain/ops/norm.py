"""Norms of vectors and matrices, and the distance that follows from them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tinytrain import dtypes
from tinytrain.device import Array, array_module
from tinytrain.ops.arithmetic import sub
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import cast, rounds_once, wrap_dims
from tinytrain.recording import record
from tinytrain.sums import max_array, sum_array
from tinytrain.tensor import Tensor

__all__ = ["norm", "dist"]


@by_autocast
@rounds_once
def norm(
    input: Tensor,
    p: float | str | None = "fro",
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    out: None = None,
    dtype: dtypes.dtype | None = None,
) -> Tensor:
    """Return the p-norm along `dim`: the p-th root of the sum of the p-th powers of the absolute values.

    Args:
        input: floats of any shape.
        p: any number; infinity takes the largest, -infinity the smallest absolute value, 0 counts what is not zero;
            `fro` is 2, `nuc` sums the singular values of matrices.
        dim: a dimension, several, or None for all; two for `nuc`.
        keepdim: keep the reduced dimensions with size 1.
        out: not available.
        dtype: the type to compute in.

    Raises:
        IndexError: an infinite norm of nothing.
        RuntimeError: the elements are no floats, or `p` is no norm.
    """
    if dtype is not None:
        input = cast(input, dtypes.as_dtype(dtype))
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"norm: expected a floating point tensor as input. Got {input.dtype.name}")
    axes = wrap_dims(dim, input.array.ndim)
    if p == "nuc":
        return _nuclear_norm(input, axes, keepdim)
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"norm: `p` must be a number, 'fro' or 'nuc'; got {p!r}")
    return _vector_norm(input, 2.0 if p in (None, "fro") else float(p), axes, keepdim)  # type: ignore[arg-type]


@by_autocast
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """Return the p-norm of `input - other`."""
    return norm(sub(input, other), p)


def _vector_norm(input: Tensor, p: float, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    x = input.array
    xp = array_module(x)
    a = xp.abs(x)
    if math.isinf(p):
        for axis in axes:
            if p < 0 and x.shape[axis] == 0:
                raise IndexError(f"norm(): Expected reduction dim {axis} to have non-zero size for p={p}.")
        whole = max_array(a, axes, 0) if p > 0 else a.min(axis=axes, keepdims=True)
    elif p == 0:
        whole = sum_array((x != 0).astype(x.dtype), axes, keepdims=True)
    elif p == 1:
        whole = sum_array(a, axes, keepdims=True)
    elif p == 2:
        whole = xp.sqrt(sum_array(x * x, axes, keepdims=True))
    else:
        with np.errstate(all="ignore"):
            whole = sum_array(a**p, axes, keepdims=True) ** (1 / p)
    whole = xp.asarray(whole, x.dtype)

    def rule(g: Array) -> Array:
        g = g.reshape(whole.shape)
        if p == 0:
            return xp.zeros_like(x)
        if math.isinf(p):
            won = (a == whole) | (x != x) & (whole != whole)
            return xp.sign(x) * won * (g / won.sum(axis=axes, keepdims=True).astype(g.dtype))
        if p == 1:
            return g * xp.sign(x)
        slope = x / whole if p == 2 else xp.sign(x) * (a / whole) ** (p - 1)
        return g * xp.where((whole == 0) | (x == 0) & (p < 2), x.dtype.type(0), slope)

    out = whole if keepdim else whole.squeeze(axes)
    return record(out, "LinalgVectorNorm", (input,), (rule,), saved=(input,), saves_output=True)


def _nuclear_norm(input: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    """Return the sums of the singular values; the gradient is U V^T (Watson, 1992)."""
    if len(axes) != 2:
        raise RuntimeError(f"norm: the nuclear norm is of matrices, over 2 dimensions; got {len(axes)}")
    x = input.array
    xp = array_module(x)
    u, values, v = xp.linalg.svd(xp.moveaxis(x, axes, (-2, -1)), full_matrices=False)
    out = values.sum(axis=-1)
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))

    def rule(g: Array) -> Array:
        return g.reshape(shape) * xp.moveaxis(u @ v, (-2, -1), axes)

    return record(out.reshape(shape) if keepdim else out, "LinalgNuclearNorm", (input,), (rule,), saved=(input,))
