"""From a loss per element to what a loss returns: the `reduction` argument of every loss."""

from __future__ import annotations

import warnings

import numpy as np

from tinytrain.device import Array, array_module
from tinytrain.recording import record
from tinytrain.tape import Rule
from tinytrain.tensor import Tensor


def reduction_of(reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> str:
    """Return `none`, `mean` or `sum`, also where PyTorch's older pair of arguments says which.

    Raises:
        ValueError: `reduction` is another word.
    """
    if size_average is not None or reduce is not None:
        size_average, reduce = size_average is not False, reduce is not False
        reduction = "none" if not reduce else "mean" if size_average else "sum"
        warnings.warn(
            f"size_average and reduce args will be deprecated, please use reduction={reduction!r} instead.",
            stacklevel=3,
        )
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction!r} is not a valid value for reduction: choose none, mean or sum")
    return reduction


def record_loss(
    losses: Array,
    reduction: str,
    name: str,
    inputs: tuple[Tensor, ...],
    rules: tuple[Rule, ...],
    saved: tuple[Tensor, ...] = (),
    count: Array | float | None = None,
) -> Tensor:
    """Return losses as they are, their sum, or their mean, recorded as one op.

    Args:
        losses: a loss per element.
        reduction: `none`, `mean` or `sum`.
        name: PyTorch's name of the loss.
        inputs: the differentiable operands.
        rules: one per operand, from the gradient of `losses` to the operand's.
        saved: tensors whose values the rules read.
        count: what the sum is divided by for a mean; the number of losses by default.
    """
    if reduction == "none":
        return record(losses, name, inputs, rules, saved)
    total = losses.sum(dtype=losses.dtype)
    if reduction == "sum":
        count = losses.dtype.type(1)
    elif count is None:
        count = losses.dtype.type(losses.size)

    def reduced(rule: Rule) -> Rule:
        return lambda g: rule(array_module(g).broadcast_to(_quotient(g, count), losses.shape))

    return record(_quotient(total, count), name, inputs, tuple(reduced(rule) for rule in rules), saved)


def _quotient(x: Array, count: Array | float) -> Array:
    """Return `x / count`; the mean of nothing is NaN, as in PyTorch."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return x / count


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """Return losses as they are, their sum, or their mean, where they were computed by other ops."""
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()
