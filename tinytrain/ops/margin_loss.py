"""Losses that ask for a margin between scores, or between a score and 0."""

from __future__ import annotations

import numpy as np

from tinytrain.device import Array, array_module, number_of
from tinytrain.ops.activation import floats
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import rounds_once, same_device
from tinytrain.ops.loss_reduction import record_loss, reduced, reduction_of
from tinytrain.ops.smooth_activation import sigmoid_array
from tinytrain.tensor import Tensor

__all__ = ["soft_margin_loss", "hinge_embedding_loss", "margin_ranking_loss", "multi_margin_loss"]


@by_autocast
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return log(1 + exp(-t x)).

    Args:
        input: scores x of any shape.
        target: -1 or 1, of the shape of `input`.
        size_average: of PyTorch's older interface; with `reduce` it overrides `reduction`.
        reduce: see `size_average`.
        reduction: `none`, `mean` or `sum`.

    Raises:
        ValueError: `reduction` is another word.
        RuntimeError: the shapes differ.
    """
    reduction = reduction_of(reduction, size_average, reduce)
    x, t = _scores_and_signs("soft_margin_loss", input, target)
    xp = array_module(x)
    z = -t * x
    losses = xp.maximum(z, 0) + xp.log1p(xp.exp(-abs(z)))
    return record_loss(
        losses,
        reduction,
        "SoftMarginLoss",
        (input,),
        (lambda g: -g * t * sigmoid_array(z),),
        saved=(target,),
    )


@by_autocast
@rounds_once
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return x where t = 1, max(0, margin - x) where t = -1.

    Args:
        input: distances x of any shape.
        target: -1 or 1, of the shape of `input`.
        margin: from which on a distance is large enough.
        size_average: of PyTorch's older interface; with `reduce` it overrides `reduction`.
        reduce: see `size_average`.
        reduction: `none`, `mean` or `sum`.

    Raises:
        ValueError: `reduction` is another word.
        RuntimeError: the shapes differ.
    """
    reduction = reduction_of(reduction, size_average, reduce)
    x, t = _scores_and_signs("hinge_embedding_loss", input, target)
    near, far = t != -1, t != 1
    losses = x * near + array_module(x).maximum(margin - x, 0) * far
    slope = near.astype(x.dtype) - (far & (margin - x >= 0))
    return record_loss(losses, reduction, "Add", (input,), (lambda g: g * slope,))


@by_autocast
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return max(0, margin - t (x1 - x2)).

    Args:
        input1, input2: scores x1 and x2 of one shape.
        target: 1 where the first shall rank higher, -1 where the second.
        margin: by how much.
        size_average: of PyTorch's older interface; with `reduce` it overrides `reduction`.
        reduce: see `size_average`.
        reduction: `none`, `mean` or `sum`.

    Raises:
        ValueError: `reduction` is another word.
        RuntimeError: the numbers of dimensions differ, or the shapes do not broadcast.
    """
    reduction = reduction_of(reduction, size_average, reduce)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.shape}, input2: {input2.shape}, target: {target.shape}"
        )
    return reduced((margin - target * (input1 - input2)).clamp_min(0), reduction)


@by_autocast
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return w_t / c times the sum over classes k other than the target t of max(0, margin - x_t + x_k)^p.

    Args:
        input: scores x, (n, c) or (c,).
        target: class indices (n,) or (), int64.
        p: 1 or 2.
        margin: by how much the target's score shall exceed the others.
        weight: a factor w for each class, (c,).
        size_average: of PyTorch's older interface; with `reduce` it overrides `reduction`.
        reduce: see `size_average`.
        reduction: `none`, `mean` or `sum`.

    Raises:
        ValueError: `reduction` is another word, `p` another number, or `weight` has not one dimension.
        RuntimeError: shapes or types do not fit together, or a target names no class.
    """
    reduction = reduction_of(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError(f"only p == 1 and p == 2 supported; got {p}")
    if weight is not None and weight.ndim != 1:
        raise ValueError(f"weight must be one-dimensional; its shape is {list(weight.shape)}")
    same_device("multi_margin_loss", input, target, weight)
    x = floats(input, "multi_margin_loss")
    if x.ndim > 2 or 0 in x.shape[-1:]:
        raise RuntimeError(
            "Expected non-empty vector or matrix with optional 0-dim batch size, but got: " + str(list(x.shape))
        )
    xp = array_module(x)
    num_classes = x.shape[-1] if x.ndim else 1
    rows, index = x.reshape(-1, num_classes), target.array.reshape(-1)
    if target.ndim > 1 or index.shape[0] != rows.shape[0]:
        raise RuntimeError(f"inconsistent target size, expected {rows.shape[0]} but got {list(target.shape)}")
    if index.dtype != np.int64:
        raise RuntimeError(f"multi_margin_loss: expected scalar type Long but found {target.dtype.name}")
    if weight is not None and weight.array.shape != (num_classes,):
        raise RuntimeError(f"inconsistent weight size, expected {num_classes} but got {list(weight.shape)}")
    outside = (index < 0) | (index >= num_classes)
    if number_of(outside.any()):
        raise RuntimeError(
            f"multi_margin_loss: target {number_of(index[outside][0])} is out of range: there are {num_classes} classes"
        )
    key = (xp.arange(rows.shape[0]), index)
    factor = xp.full(index.shape, 1 / num_classes, x.dtype)
    if weight is not None:
        factor *= weight.array[index]
    short = xp.maximum(margin - rows[key][:, None] + rows, 0)
    short[key] = 0
    losses = (short**p).sum(axis=1) * factor

    def rule(g: Array) -> Array:
        slope = (short > 0).astype(x.dtype) if p == 1 else 2 * short
        slope *= (g.reshape(-1) * factor)[:, None]
        slope[key] = -slope.sum(axis=1)
        return slope.reshape(x.shape)

    losses = losses.reshape(target.array.shape if x.ndim < 2 else losses.shape)
    return record_loss(losses, reduction, "MultiMarginLoss", (input,), (rule,))


def _scores_and_signs(name: str, input: Tensor, target: Tensor) -> tuple[Array, Array]:
    """Return the arrays of scores and of targets -1 or 1, after checking that their shapes are the same.

    Raises:
        RuntimeError: they are not.
    """
    same_device(name, input, target)
    x = floats(input, name)
    if target.array.shape != x.shape:
        raise RuntimeError(
            f"{name}: the target must have the shape of the input, {list(x.shape)}; got {list(target.shape)}"
        )
    return x, target.array.astype(x.dtype, copy=False)
