"""Products with learned weights: `linear`, `bilinear`, and `embedding` with `one_hot`, its dense twin."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from tinytrain.device import Array, array_module, number_of
from tinytrain.dtypes import is_low
from tinytrain.kernels import find_kernel, kernel
from tinytrain.kernels.scattering import scatter_add
from tinytrain.kernels.steps import Steps
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import rounds_once, same_device
from tinytrain.recording import record
from tinytrain.tensor import Tensor, wrap

__all__ = ["linear", "bilinear", "embedding", "one_hot"]

_ONE_PIXEL = Steps(((1,), ((0, 0),), (1,), 1))
"""Those of a convolution that is a matrix product."""


@by_autocast
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `input @ weight.T + bias`.

    Args:
        input: (*, in_features).
        weight: (out_features, in_features), or (in_features,) for results of shape (*).
        bias: (out_features,), or () where `weight` has one dimension.

    Returns:
        (*, out_features).

    Raises:
        RuntimeError: shapes, types or devices do not fit together.
    """
    x, w = input.array, weight.array
    same_device("linear", input, weight, bias)
    if w.ndim not in (1, 2) or x.ndim == 0:
        raise RuntimeError(
            f"linear: expected an input (*, in_features) and a weight (out_features, in_features); got {list(x.shape)} "
            f"and {list(w.shape)}"
        )
    if x.shape[-1] != w.shape[-1]:
        raise RuntimeError(
            f"linear: mat1 and mat2 shapes cannot be multiplied: the input {list(x.shape)} has {x.shape[-1]} features, "
            f"the weight {list(w.shape)} takes {w.shape[-1]}"
        )
    if x.dtype != w.dtype:
        raise RuntimeError(
            f"linear: mat1 and mat2 must have the same dtype, but got {input.dtype.name} and {weight.dtype.name}"
        )
    rows = x if x.ndim == 2 else x.reshape(prod(x.shape[:-1]), x.shape[-1])
    b = None if bias is None else bias.array
    has_usual_bias = b is None or (b.dtype == w.dtype and b.shape == w.shape[:1])
    convolve = find_kernel("convolve", rows) if w.ndim == 2 and w.size and has_usual_bias else None
    if convolve is not None:
        return _as_convolution(convolve, input, weight, bias, rows)
    if x.itemsize == 2 and isinstance(x, np.ndarray) and is_low(x.dtype):
        return _wide_linear(input, weight, bias)
    y = rows @ w.T
    if bias is None:
        inputs: tuple[Tensor, ...] = (input, weight)
    else:
        inputs = (input, weight, bias)
        _add_bias(y, bias)

    def rule(g: Array, needs: tuple[bool, ...]) -> list[Array | None]:
        g_rows = g.reshape(rows.shape[0], *w.shape[:-1])
        grad_x = None
        if needs[0]:
            grad_x = (g_rows @ w if w.ndim == 2 else g_rows[:, None] * w).reshape(x.shape)
        return [
            grad_x,
            g_rows.T @ rows if needs[1] else None,
            g_rows.sum(axis=0).reshape(bias.array.shape) if bias is not None and needs[2] else None,
        ][: len(needs)]

    name = "View" if x.ndim != 2 else "Mm" if bias is None else "Addmm"
    return record(y.reshape((*x.shape[:-1], *w.shape[:-1])), name, inputs, rule, saved=(input, weight))


def _as_convolution(
    convolve: Callable[..., Any], input: Tensor, weight: Tensor, bias: Tensor | None, rows: Array
) -> Tensor:
    """Return `linear` by the kernels of a convolution that sees one pixel."""
    shape, w = input.array.shape, weight.array
    y, _ = convolve(rows, w, _ONE_PIXEL, None if bias is None else bias.array, False)

    def rule(g: Array, needs: tuple[bool, ...]) -> list[Any]:
        g_rows = g.reshape(rows.shape[0], w.shape[0])
        grad_x, grad_w = kernel("conv_gradients", g_rows)(g_rows, rows, w, _ONE_PIXEL, needs)
        if grad_x is not None and len(shape) != 2:
            grad_x = grad_x.settle().reshape(shape)
        grad_b = kernel("conv_bias_grad", g_rows)(g_rows) if bias is not None and needs[2] else None
        return [grad_x, grad_w, grad_b][: len(needs)]

    inputs: tuple[Tensor, ...] = (input, weight) if bias is None else (input, weight, bias)
    name = "View" if len(shape) != 2 else "Mm" if bias is None else "Addmm"
    result = y if len(shape) == 2 else y.reshape(*shape[:-1], w.shape[0])
    return record(result, name, inputs, rule, saved=(input, weight))


@by_autocast
@rounds_once
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `input1^T weight[k] input2 + bias[k]` for every output feature k.

    Args:
        input1: (*, in1).
        input2: (*, in2), the leading sizes equal to those of `input1`.
        weight: (out, in1, in2).
        bias: (out,).

    Returns:
        (*, out).

    Raises:
        RuntimeError: the shapes do not fit together.
    """
    a, b, w = input1.array, input2.array, weight.array
    same_device("bilinear", input1, input2, weight, bias)
    if a.shape[:-1] != b.shape[:-1]:
        raise RuntimeError(
            f"bilinear(): input batch dimensions do not match: got {list(a.shape[:-1])} and {list(b.shape[:-1])}"
        )
    if w.ndim != 3 or a.shape[-1] != w.shape[1] or b.shape[-1] != w.shape[2]:
        raise RuntimeError(
            f"bilinear(): `weight` must have the shape (out, {a.shape[-1]}, {b.shape[-1]}); got {list(w.shape)}"
        )
    if bias is not None and bias.array.shape != w.shape[:1]:
        raise RuntimeError(f"bilinear(): bias size does not match weight size: {list(bias.shape)}, {w.shape[0]}")
    xp = array_module(a)
    num_rows = prod(a.shape[:-1])
    rows_a, rows_b = a.reshape(num_rows, a.shape[-1]), b.reshape(num_rows, b.shape[-1])
    outer = (rows_a[:, :, None] * rows_b[:, None, :]).reshape(num_rows, prod(w.shape[1:]))
    w_rows = w.reshape(w.shape[0], prod(w.shape[1:]))
    y = outer @ w_rows.T
    if bias is not None:
        y = y + bias.array

    def rule(g: Array, needs: tuple[bool, ...]) -> list[Array | None]:
        g_rows = g.reshape(num_rows, w.shape[0])
        g_outer = (g_rows @ w_rows).reshape(num_rows, *w.shape[1:]) if needs[0] or needs[1] else None
        return [
            xp.einsum("nij,nj->ni", g_outer, rows_b).reshape(a.shape) if needs[0] else None,
            xp.einsum("nij,ni->nj", g_outer, rows_a).reshape(b.shape) if needs[1] else None,
            (g_rows.T @ outer).reshape(w.shape) if needs[2] else None,
            g_rows.sum(axis=0) if len(needs) == 4 and needs[3] else None,
        ][: len(needs)]

    inputs = (input1, input2, weight) if bias is None else (input1, input2, weight, bias)
    return record(y.reshape(*a.shape[:-1], w.shape[0]), "Bilinear", inputs, rule, saved=(input1, input2, weight))


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Return the rows of `weight` that `input` names.

    Args:
        input: indices of any shape, int32 or int64.
        weight: (num_embeddings, embedding_dim).
        padding_idx: a row that gets no gradient.
        max_norm: rows that are used and have a larger norm are scaled down to it first, in place.
        norm_type: the p of that norm.
        scale_grad_by_freq: divide a row's gradient by how often it was used.
        sparse: not available; gradients are dense.

    Returns:
        (*input.shape, embedding_dim).

    Raises:
        IndexError: an index names no row.
        RuntimeError: `weight` has not two dimensions, or the indices are no integers.
        NotImplementedError: `sparse` is set.
    """
    if sparse:
        raise NotImplementedError("embedding: `sparse` gradients are not available; leave it False")
    same_device("embedding", input, weight)
    index, w = input.array, weight.array
    if w.ndim != 2:
        raise RuntimeError(f"'weight' must be 2-D; it has the shape {list(w.shape)}")
    if index.dtype.name not in ("int32", "int64"):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; "
            f"but got {input.dtype.name} instead"
        )
    num_rows = w.shape[0]
    if padding_idx is not None:
        if not -num_rows <= padding_idx < num_rows:
            raise AssertionError(f"Padding_idx must be within num_embeddings: {padding_idx} of {num_rows} rows")
        padding_idx %= num_rows
    if index.size and not (number_of(index.min()) >= 0 and number_of(index.max()) < num_rows):
        raise IndexError(
            f"index out of range in self: indices must lie in [0, {num_rows - 1}], "
            f"these in [{number_of(index.min())}, {number_of(index.max())}]"
        )
    if max_norm is not None:
        _limit_norms(weight, index, max_norm, norm_type)
    xp = array_module(w)

    def rule(g: Array) -> Array:
        grad = xp.zeros(w.shape, g.dtype)
        rows, flat = g.reshape(index.size, w.shape[1]), index.ravel()
        if padding_idx is not None:
            kept = flat != padding_idx
            rows, flat = rows[kept], flat[kept]
        if scale_grad_by_freq:
            rows = rows / xp.bincount(flat, minlength=num_rows)[flat][:, None].astype(g.dtype)
        scatter_add(grad, flat, rows)
        return grad

    return record(weight.array[index], "Embedding", (weight,), (rule,), saved=(input,))


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Return int64 rows with a 1 at the class that `tensor` names and 0 elsewhere.

    Args:
        tensor: class indices of any shape, int64.
        num_classes: length of a row; -1 for one more than the largest index.

    Returns:
        (*tensor.shape, num_classes).

    Raises:
        RuntimeError: an index is negative or names no class, or `num_classes` cannot be told.
    """
    index = tensor.array
    if index.dtype != np.int64:
        raise RuntimeError(
            f"one_hot is only applicable to index tensor of type LongTensor: expected int64, got {tensor.dtype.name}"
        )
    if index.size == 0:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        return wrap(array_module(index).zeros((*index.shape, num_classes), np.int64))
    if number_of(index.min()) < 0:
        raise RuntimeError(f"Class values must be non-negative; the smallest is {number_of(index.min())}")
    largest = number_of(index.max())
    if num_classes == -1:
        num_classes = largest + 1
    elif num_classes < 1:
        raise RuntimeError(f"num_classes should be positive; got {num_classes}")
    elif largest >= num_classes:
        raise RuntimeError(f"Class values must be smaller than num_classes (={num_classes}); the largest is {largest}")
    xp = array_module(index)
    return wrap((index[..., None] == xp.arange(num_classes)).astype(np.int64))


_wide_linear = rounds_once(linear)
"""`linear` for floats of 16 bits on the CPU, where no BLAS multiplies them."""


def _add_bias(y: Array, bias: Tensor) -> None:
    """Add `bias` to the rows of `y` in place.

    Raises:
        RuntimeError: its shape or type does not fit.
    """
    b = bias.array
    if b.dtype != y.dtype:
        raise RuntimeError(f"linear: `bias` must have the dtype of the input, {y.dtype.name}; got {b.dtype.name}")
    try:
        y += b
    except ValueError:
        raise RuntimeError(f"linear: `bias` must have the shape {list(y.shape[1:])}; got {list(b.shape)}") from None


def _limit_norms(weight: Tensor, index: Array, max_norm: float, norm_type: float) -> None:
    """Scale the rows in use down to a norm of at most `max_norm`, in place and outside the tape."""
    xp = array_module(index)
    rows = weight.strided_array()
    used = xp.unique(index)
    values = rows[used]
    norms = xp.linalg.norm(values, ord=norm_type, axis=1, keepdims=True)
    scale = xp.where(norms > max_norm, max_norm / (norms + 1e-7), 1.0).astype(values.dtype)
    rows[used] = values * scale
    weight._storage.version += 1
