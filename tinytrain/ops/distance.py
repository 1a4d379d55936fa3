"""Norms, distances and angles of vectors, and the losses made of them."""

from __future__ import annotations

from functools import partial

from tinytrain.device import array_module
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import operands, rounds_once, wrap_dim
from tinytrain.ops.loss_reduction import reduced, reduction_of
from tinytrain.ops.shape import broadcast_tensors
from tinytrain.tensor import Tensor, wrap

__all__ = [
    "normalize",
    "pairwise_distance",
    "cosine_similarity",
    "cosine_embedding_loss",
    "triplet_margin_loss",
]


@rounds_once
def normalize(input: Tensor, p: float = 2.0, dim: int | tuple[int, ...] = 1, eps: float = 1e-12) -> Tensor:
    """Return `input / max(norm, eps)`, the p-norm taken along `dim`.

    Args:
        input: floats of any shape.
        p: exponent of the norm.
        dim: one dimension or several.
        eps: the smallest divisor.
    """
    return input / input.norm(p, dim, keepdim=True).clamp_min(eps)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """Return the p-norm of `x1 - x2 + eps` along the last dimension.

    Args:
        x1, x2: (*, d), broadcasting with each other.
        p: exponent of the norm.
        eps: keeps equal vectors away from the point where the norm has no slope.
        keepdim: keep the last dimension, with size 1.
    """
    return (x1 - x2 + eps).norm(p, -1, keepdim=keepdim)


@by_autocast
@partial(rounds_once, promotes=True)
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return the cosine of the angle between vectors along `dim`, each norm taken as `eps` at least.

    Args:
        x1, x2: floats that broadcast with each other.
        dim: of the vectors, counted in the shape they broadcast to; drops out.
        eps: the smallest norm.

    Raises:
        IndexError: there is no such dimension.
        RuntimeError: the elements are no floats, or the shapes do not broadcast.
    """
    x1, x2 = operands(x1, x2)
    if not x1.is_floating_point():
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {x1.dtype.name}")
    x1, x2 = broadcast_tensors(x1, x2)
    dim = wrap_dim(dim, x1.ndim)
    return (_direction(x1, dim, eps) * _direction(x2, dim, eps)).sum(dim)


@by_autocast
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return 1 - cos where t = 1, max(0, cos - margin) where t = -1.

    Args:
        input1, input2: (n, d) or (d,).
        target: t, (n,) or ().
        margin: the largest cosine that costs nothing where t = -1.
        size_average: of PyTorch's older interface; with `reduce` it overrides `reduction`.
        reduce: see `size_average`.
        reduction: `none`, `mean` or `sum`.

    Raises:
        ValueError: `reduction` is another word.
        RuntimeError: the numbers of dimensions do not fit together.
    """
    reduction = reduction_of(reduction, size_average, reduce)
    if target.ndim > 1 or not input1.ndim == input2.ndim == target.ndim + 1:
        raise RuntimeError(
            "cosine_embedding_loss: 0D target tensor expects 1D input tensors, 1D target tensor expects 2D input "
            f"tensors; found inputs with sizes {list(input1.shape)} and {list(input2.shape)} and a target with "
            f"{list(target.shape)}"
        )
    size1, size2 = (input1 * input1).sum(-1) + 1e-12, (input2 * input2).sum(-1) + 1e-12
    cosine = (input1 * input2).sum(-1) / (size1 * size2).sqrt()
    return reduced((1 - cosine) * (target == 1) + (cosine - margin).clamp_min(0) * (target == -1), reduction)


@by_autocast
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return max(0, margin + distance(anchor, positive) - distance(anchor, negative)).

    Balntas et al., Learning local feature descriptors with triplets and shallow convolutional networks (2016).

    Args:
        anchor, positive, negative: (n, d) or (d,).
        margin: by how much the negative shall be further away, above 0.
        p: exponent of the distance's norm.
        eps: added to the differences.
        swap: take the negative's distance from the positive where that is smaller.
        size_average: of PyTorch's older interface; with `reduce` it overrides `reduction`.
        reduce: see `size_average`.
        reduction: `none`, `mean` or `sum`.

    Raises:
        ValueError: `reduction` is another word, or `margin` is not positive.
        RuntimeError: the numbers of dimensions differ.
    """
    reduction = reduction_of(reduction, size_average, reduce)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs"
        )
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = far.minimum(pairwise_distance(positive, negative, p, eps))
    return reduced((margin + near - far).clamp_min(0), reduction)


def _direction(x: Tensor, dim: int, eps: float) -> Tensor:
    """Return `x` divided by its norm along `dim`; a norm below `eps` counts as `eps`, with the norm's slope."""
    norm = x.norm(2, dim, keepdim=True)
    return x / (norm + wrap(array_module(x.array).maximum(eps - norm.array, 0)))
