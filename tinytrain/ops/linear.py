"""Products with learned weights: `linear`, `bilinear`, and `embedding` with `one_hot`, its dense twin."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from tinytrain.device import Array, array_module, number_of
from tinytrain.kernels import kernel
from tinytrain.kernels.scattering import scatter_add
from tinytrain.ops.autocasting import by_autocast, is_any_autocast_enabled, run_by_autocast
from tinytrain.ops.common import rounds_once, same_device
from tinytrain.pending import settled
from tinytrain.recording import record
from tinytrain.tensor import Tensor, wrap

__all__ = ["linear", "bilinear", "embedding", "one_hot"]


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `input @ weight.T + bias`.

    Args:
        input: (*, in_features).
        weight: (out_features, in_features), or (in_features,) for results of shape (*).
        bias: (out_features,), or () where `weight` has one dimension; or what broadcasts to the result.

    Returns:
        (*, out_features).

    Raises:
        RuntimeError: shapes, types or devices do not fit together.
    """
    if is_any_autocast_enabled():
        return run_by_autocast(_linear, "linear", (input, weight, bias))
    return _linear(input, weight, bias)


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    x, w, b = input.array, weight.array, None if bias is None else bias.array
    same_device("linear", input, weight, bias)
    x_shape, w_shape = x.shape, w.shape
    if len(w_shape) != 2 or not x_shape or x_shape[-1] != w_shape[1] or x.dtype != w.dtype:
        return _linear_of_a_vector(input, weight, bias)
    if b is not None and (b.shape != w_shape[:1] or b.dtype != w.dtype):
        return _plus(_linear(input, weight, None), bias)
    is_flat = len(x_shape) == 2
    rows = x if is_flat else x.reshape(prod(x_shape[:-1]), x_shape[-1])
    y = kernel("linear", rows)(rows, w, b)
    gradients = kernel("linear_gradients", rows)

    def rule(g: Array, needs: tuple[bool, ...]) -> Sequence[Any]:
        if is_flat:
            return gradients(g, rows, w, needs)
        grad_x, *others = gradients(g.reshape(rows.shape[0], w_shape[0]), rows, w, needs)
        return (settled(grad_x).reshape(x_shape) if needs[0] else None, *others)

    read = (input, weight)
    name = "View" if not is_flat else "Mm" if bias is None else "Addmm"
    result = y if is_flat else y.reshape(*x_shape[:-1], w_shape[0])
    return record(result, name, read if bias is None else (*read, bias), rule, saved=read)


def _linear_of_a_vector(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return `linear` where the weight is a vector.

    Raises:
        RuntimeError: it is none, or does not go together with the input.
    """
    x_shape, w_shape = list(input.shape), list(weight.shape)
    if len(w_shape) not in (1, 2) or not x_shape:
        raise RuntimeError(
            f"linear: expected an input (*, in_features) and a weight (out_features, in_features); got {x_shape} "
            f"and {w_shape}"
        )
    if x_shape[-1] != w_shape[-1]:
        raise RuntimeError(
            f"linear: mat1 and mat2 shapes cannot be multiplied: the input {x_shape} has {x_shape[-1]} features, "
            f"the weight {w_shape} takes {w_shape[-1]}"
        )
    if input.dtype is not weight.dtype:
        raise RuntimeError(
            f"linear: mat1 and mat2 must have the same dtype, but got {input.dtype.name} and {weight.dtype.name}"
        )
    return _plus(_linear(input, weight.unsqueeze(0), None).squeeze(-1), bias)


def _plus(y: Tensor, bias: Tensor | None) -> Tensor:
    """Return `y` with a bias of another shape than that of its columns.

    Raises:
        RuntimeError: the bias does not broadcast to `y`, or has another type.
    """
    if bias is None:
        return y
    if bias.dtype is not y.dtype:
        raise RuntimeError(f"linear: `bias` must have the dtype of the input, {y.dtype.name}; got {bias.dtype.name}")
    fits = bias.ndim <= y.ndim and all(
        n in (1, m) for n, m in zip(reversed(bias.shape), reversed(y.shape), strict=False)
    )
    if not fits:
        raise RuntimeError(f"linear: `bias` must have the shape {list(y.shape[-1:])}; got {list(bias.shape)}")
    return y + bias


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
