"""Losses of class scores: `cross_entropy`, and `nll_loss` for scores that are log-probabilities already.

Each is one recorded op. With log-probabilities l, class weights w and a target t over the classes:

    loss = - sum over k of  w_k t_k l_k          t: 1 at a class index and 0 elsewhere, or probabilities

The mean over class indices is weighted by w; the mean over probabilities is the mean over the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytrain.device import Array, array_module, choose
from tinytrain.kernels.fused.losses import cross_entropy_backward, cross_entropy_forward
from tinytrain.ops.activation import floats
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import same_device
from tinytrain.ops.loss_reduction import record_loss, reduction_of
from tinytrain.ops.softmax import log_softmax_array
from tinytrain.recording import record
from tinytrain.tensor import Tensor

__all__ = ["cross_entropy", "nll_loss"]


@by_autocast
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the cross-entropy between the softmax of `input` along its classes and `target`.

    Args:
        input: scores (c,), (n, c) or (n, c, *).
        target: class indices (), (n,) or (n, *), int64 or uint8; or probabilities of the shape of `input`.
        weight: a factor for each class, (c,).
        size_average: of PyTorch's older interface; with `reduce` it overrides `reduction`.
        ignore_index: a class index that counts for nothing.
        reduce: see `size_average`.
        reduction: `none`, `mean` or `sum`.
        label_smoothing: the share of the target that is spread evenly over all classes, 0 to 1.

    Returns:
        A scalar, or the shape of `input` without its classes where `reduction` is `none`.

    Raises:
        ValueError: `reduction` is another word, or the batch sizes differ.
        IndexError: a target names no class; on a GPU the loss is NaN then.
        RuntimeError: shapes, types or devices do not fit together, or `label_smoothing` lies outside [0, 1].
    """
    reduction = reduction_of(reduction, size_average, reduce)
    x = floats(input, "cross_entropy")
    axis = _class_axis("cross_entropy", input, target, weight)
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if target.array.shape == x.shape:
        return _of_probabilities(input, target, weight, axis, ignore_index, reduction, label_smoothing)
    settings = (target.array, None if weight is None else weight.array, ignore_index, label_smoothing)
    found = cross_entropy_forward(x, *settings, reduction)
    if found is not None:
        loss, probabilities, divisor = found

        def joint_rule(g: Array) -> Array:
            return cross_entropy_backward(g, probabilities, *settings, divisor)

        return record(loss, "NllLoss", (input,), (joint_rule,))
    choice = _Choice("cross_entropy", x, target, weight, ignore_index, axis)
    y = log_softmax_array(x, axis)
    losses = choice.losses(y)
    xp = array_module(x)
    if not label_smoothing:

        def rule(g: Array) -> Array:
            scale = choice.at_targets(g)
            grad = xp.exp(y)
            grad *= xp.expand_dims(scale, axis)
            grad[choice.key] -= scale
            return grad

    else:
        by_class = _along(weight.array if weight is not None else xp.ones(x.shape[axis], x.dtype), axis, x.ndim)
        even = label_smoothing / x.shape[axis]
        losses = (1 - label_smoothing) * losses - even * (y * by_class).sum(axis=axis) * choice.valid

        def rule(g: Array) -> Array:
            scale = (1 - label_smoothing) * choice.at_targets(g)
            spread = even * xp.expand_dims(xp.where(choice.valid, g, x.dtype.type(0)), axis)
            grad = xp.exp(y) * (xp.expand_dims(scale, axis) + spread * by_class.sum())
            grad -= spread * by_class
            grad[choice.key] -= scale
            return grad

    return record_loss(losses, reduction, "NllLoss", (input,), (rule,), count=choice.weights.sum())


@by_autocast
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the negative log-likelihood of class indices, given log-probabilities.

    Args:
        input: log-probabilities (c,), (n, c) or (n, c, *).
        target: class indices (), (n,) or (n, *), int64 or uint8.
        weight: a factor for each class, (c,).
        size_average: of PyTorch's older interface; with `reduce` it overrides `reduction`.
        ignore_index: a class index that counts for nothing.
        reduce: see `size_average`.
        reduction: `none`, `mean` or `sum`.

    Raises:
        ValueError: `reduction` is another word, or the batch sizes differ.
        IndexError: a target names no class; on a GPU the loss is NaN then.
        RuntimeError: shapes, types or devices do not fit together.
    """
    reduction = reduction_of(reduction, size_average, reduce)
    x = floats(input, "nll_loss")
    axis = _class_axis("nll_loss", input, target, weight)
    choice = _Choice("nll_loss", x, target, weight, ignore_index, axis)

    def rule(g: Array) -> Array:
        grad = array_module(g).zeros_like(x)
        grad[choice.key] = -choice.at_targets(g)
        return grad

    return record_loss(choice.losses(x), reduction, "NllLoss", (input,), (rule,), count=choice.weights.sum())


class _Choice:
    """Class indices, checked, as a way to read and write the scores of the target classes.

    Args:
        name: of the loss, for messages.
        x: scores, classes along `axis`.
        target: class indices of the shape of `x` without `axis`.
        weight: a factor for each class, or None.
        ignore_index: an index that counts for nothing.
        axis: of the classes.

    Attributes:
        key: the index of the target classes' scores in an array of the shape of `x`.
        valid: where the target is not to be ignored.
        weights: the weight of each target class, 0 where it is ignored; NaN on a GPU where it is no class, for looking
            whether there is one would mean waiting.
    """

    def __init__(self, name: str, x: Array, target: Tensor, weight: Tensor | None, ignore_index: int, axis: int):
        xp = array_module(x)
        index = target.array
        _check_target(name, x.shape, target, axis)
        self.valid = index != ignore_index
        num_classes = x.shape[axis]
        index = xp.where(self.valid, index, 0).astype("int64", copy=False)
        outside = (index < 0) | (index >= num_classes)
        if xp is not np:
            index = xp.where(outside, 0, index)
        elif outside.any():
            raise IndexError(
                f"{name}: Target {int(index[outside].ravel()[0])} is out of bounds: there are {num_classes} classes, "
                f"so targets lie in [0, {num_classes - 1}]"
            )
        grid = [xp.arange(size).reshape(-1, *(1,) * (index.ndim - 1 - i)) for i, size in enumerate(index.shape)]
        self.key: tuple[Any, ...] = (*grid[:axis], index, *grid[axis:])
        if weight is None:
            self.weights = self.valid.astype(x.dtype)
        else:
            self.weights = weight.array[index] * self.valid
        if xp is not np:
            self.weights = choose(outside, x.dtype.type(np.nan), self.weights, self.weights.dtype)

    def losses(self, y: Array) -> Array:
        """Return the losses of log-probabilities `y`."""
        return choose(self.valid, -y[self.key], y.dtype.type(0), y.dtype) * self.weights

    def at_targets(self, g: Array) -> Array:
        """Return the losses' gradient `g` times the weights, 0 where the target is ignored, whatever `g` is there."""
        with np.errstate(invalid="ignore"):
            weighted = g * self.weights
        return choose(self.valid, weighted, self.weights.dtype.type(0), weighted.dtype)


def _of_probabilities(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    axis: int,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Tensor:
    """Return the cross-entropy of a target of probabilities."""
    if not target.dtype.is_floating_point:
        raise RuntimeError(f"Expected floating point type for target with class probabilities, got {target.dtype.name}")
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    x = input.array
    xp = array_module(x)
    t = target.array.astype(x.dtype, copy=False)
    if label_smoothing:
        t = t * (1 - label_smoothing) + label_smoothing / x.shape[axis]
    y = log_softmax_array(x, axis)
    by_class = None if weight is None else _along(weight.array, axis, x.ndim)
    weighted = t if by_class is None else t * by_class

    def input_rule(g: Array) -> Array:
        grad = xp.exp(y) * weighted.sum(axis=axis, keepdims=True)
        grad -= weighted
        return grad * xp.expand_dims(g, axis)

    def target_rule(g: Array) -> Array:
        grad = (y if by_class is None else y * by_class) * ((label_smoothing - 1) * xp.expand_dims(g, axis))
        return grad.astype(target.array.dtype, copy=False)

    losses = -(y * weighted).sum(axis=axis)
    return record_loss(losses, reduction, "Div", (input, target), (input_rule, target_rule), saved=(target,))


def _class_axis(name: str, input: Tensor, target: Tensor, weight: Tensor | None) -> int:
    """Return the axis of the classes, after checking devices, dimensions and the weight."""
    same_device(name, input, target, weight)
    shape = input.array.shape
    if not shape:
        raise RuntimeError(f"{name}: expected an input (c,), (n, c) or (n, c, *); got a scalar")
    axis = 0 if len(shape) == 1 else 1
    if weight is not None:
        if weight.array.shape != (shape[axis],):
            raise RuntimeError(
                f"{name}: weight tensor should be defined either for all {shape[axis]} classes or no classes but got "
                f"weight tensor of shape: {list(weight.shape)}"
            )
        if weight.dtype is not input.dtype:
            raise RuntimeError(f"{name}: expected `weight` of {input.dtype.name}; got {weight.dtype.name}")
    return axis


def _check_target(name: str, shape: tuple[int, ...], target: Tensor, axis: int) -> None:
    """Check type and shape of class indices for scores of `shape`."""
    expected = (*shape[:axis], *shape[axis + 1 :])
    found = target.array.shape
    if axis == 0 and found == (1,):
        return
    if axis == 1 and found and found[0] != shape[0]:
        raise ValueError(f"Expected input batch_size ({shape[0]}) to match target batch_size ({found[0]}).")
    if found != expected:
        raise RuntimeError(
            f"{name}: expected class indices of the shape {list(expected)} for scores {list(shape)}; got {list(found)}"
        )
    if target.dtype.name not in ("int64", "uint8"):
        raise RuntimeError(f"{name}: expected scalar type Long but found {target.dtype.name}. Use target.long()")


def _along(weight: Array, axis: int, ndim: int) -> Array:
    """Return `(c,)` in a shape that broadcasts along `axis`."""
    return weight.reshape(-1, *(1,) * (ndim - 1 - axis))
