"""Losses of predicted numbers and probabilities, element by element, each one recorded op.

Losses of class scores are in `cross_entropy`, those of margins in `margin_loss`, those of vectors in `distance`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import numpy as np

from tinytrain.device import Array, array_module, choose, number_of
from tinytrain.ops.activation import floats
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import check_broadcast, operands, rounds_once, same_device
from tinytrain.ops.loss_reduction import record_loss, reduction_of
from tinytrain.ops.smooth_activation import sigmoid_array
from tinytrain.tape import unbroadcast
from tinytrain.tensor import Tensor

__all__ = [
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "kl_div",
]

_LOWEST_LOG = -100.0  # log(0) in binary_cross_entropy, as in PyTorch: the loss stays finite
_SMALLEST_VARIANCE = 1e-12  # of a probability, in the slope of binary_cross_entropy


@by_autocast
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Return the squared differences of `input` and `target`.

    Args:
        input: any shape.
        target: of the same shape; another one that broadcasts is taken with a warning.
        size_average: of PyTorch's older interface; with `reduce` it overrides `reduction`.
        reduce: see `size_average`.
        reduction: `none`, `mean` or `sum`.
        weight: a factor for each element, of the shape of `input`; the mean is weighted by it.

    Raises:
        ValueError: `reduction` is another word, or `weight` has another shape.
        RuntimeError: the shapes do not broadcast.
    """
    reduction = reduction_of(reduction, size_average, reduce)
    return _of_difference(
        "MseLoss", input, target, reduction, weight, lambda d: d * d, lambda d: d + d, weighted_mean=True
    )


@by_autocast
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Return the absolute differences of `input` and `target`; arguments and errors as for `mse_loss`."""
    reduction = reduction_of(reduction, size_average, reduce)
    return _of_difference(
        "Abs", input, target, reduction, weight, abs, lambda d: array_module(d).sign(d), weighted_mean=True
    )


@by_autocast
@partial(rounds_once, promotes=True)
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Return d^2 / (2 beta) where |d| < beta, |d| - beta / 2 elsewhere, d the difference; Girshick (2015).

    Args:
        input, target, size_average, reduce, reduction: as for `mse_loss`.
        beta: where the parabola ends, at least 0; 0 gives `l1_loss`.

    Raises:
        RuntimeError: `beta` is negative, as well.
    """
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta; got {beta}")
    if beta == 0:
        return l1_loss(input, target, size_average, reduce, reduction)
    reduction = reduction_of(reduction, size_average, reduce)

    def value(d: Array) -> Array:
        size = abs(d)
        return array_module(d).where(size < beta, d * d * (0.5 / beta), size - 0.5 * beta)

    def slope(d: Array) -> Array:
        return array_module(d).clip(d / beta, -1, 1)

    return _of_difference("SmoothL1Loss", input, target, reduction, None, value, slope)


@by_autocast
@rounds_once
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Return d^2 / 2 where |d| <= delta, delta (|d| - delta / 2) elsewhere, d the difference; Huber (1964).

    Args:
        input, target, reduction: as for `mse_loss`.
        delta: where the parabola ends, above 0.
        weight: a factor for each element, of the shape of `input`.

    Raises:
        RuntimeError: `delta` is not positive, as well.
    """
    if delta <= 0:
        raise RuntimeError(f"huber_loss does not support non-positive values for delta; got {delta}")

    def value(d: Array) -> Array:
        size = abs(d)
        return array_module(d).where(size <= delta, d * d * 0.5, delta * (size - 0.5 * delta))

    def slope(d: Array) -> Array:
        return array_module(d).clip(d, -delta, delta)

    return _of_difference("HuberLoss", input, target, reduction_of(reduction), weight, value, slope)


@by_autocast
@rounds_once
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return -(t log x + (1 - t) log(1 - x)) of probabilities, the logarithms limited to -100 from below.

    Args:
        input: probabilities, 0 to 1.
        target: 0 to 1, of the shape of `input`.
        weight: a factor for each element; broadcasts to the shape of `target`.
        size_average: of PyTorch's older interface; with `reduce` it overrides `reduction`.
        reduce: see `size_average`.
        reduction: `none`, `mean` or `sum`.

    Raises:
        ValueError: `reduction` is another word, or the shapes differ.
        RuntimeError: an input lies outside [0, 1].
    """
    reduction = reduction_of(reduction, size_average, reduce)
    x, t = _same_shape("binary_cross_entropy", input, target, weight)
    xp = array_module(x)
    if not number_of(((x >= 0) & (x <= 1)).all()):
        raise RuntimeError("all elements of input should be between 0 and 1")
    with np.errstate(divide="ignore"):
        log_x = xp.maximum(xp.log(x), _LOWEST_LOG)
        log_rest = xp.maximum(xp.log1p(-x), _LOWEST_LOG)
    losses = (t - 1) * log_rest - t * log_x
    w = None if weight is None else weight.array

    def input_rule(g: Array) -> Array:
        return _times(g, w) * (x - t) / xp.maximum((1 - x) * x, _SMALLEST_VARIANCE)

    def target_rule(g: Array) -> Array:
        return _times(g, w) * (log_rest - log_x)

    return record_loss(
        _times(losses, w),
        reduction,
        "BinaryCrossEntropy",
        (input, target),
        (input_rule, target_rule),
        saved=(input, target) if weight is None else (input, target, weight),
    )


@by_autocast
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Return -(p t log s + (1 - t) log(1 - s)) with s = sigmoid(x), from x itself, so that nothing overflows.

    Args:
        input: any numbers.
        target: 0 to 1, of the shape of `input`.
        weight: a factor for each element; broadcasts to the shape of `target`.
        size_average: of PyTorch's older interface; with `reduce` it overrides `reduction`.
        reduce: see `size_average`.
        reduction: `none`, `mean` or `sum`.
        pos_weight: p, the factor of the first term; broadcasts to the shape of `target`.

    Raises:
        ValueError: `reduction` is another word, or the shapes differ.
    """
    reduction = reduction_of(reduction, size_average, reduce)
    x, t = _same_shape("binary_cross_entropy_with_logits", input, target, weight, pos_weight)
    xp = array_module(x)
    w = None if weight is None else weight.array
    excess = None if pos_weight is None else pos_weight.array - 1
    softplus = xp.maximum(-x, 0) + xp.log1p(xp.exp(-abs(x)))  # of -x: -log s
    factor = 1 if excess is None else 1 + excess * t  # of -log s
    losses = (1 - t) * x + factor * softplus

    def input_rule(g: Array) -> Array:
        return _times(g, w) * (1 - t - factor * sigmoid_array(-x))

    def target_rule(g: Array) -> Array:
        return _times(g, w) * ((0 if excess is None else excess * softplus) - x)

    saved = tuple(each for each in (input, target, weight, pos_weight) if each is not None)
    return record_loss(
        _times(losses, w),
        reduction,
        "BinaryCrossEntropyWithLogits",
        (input, target),
        (input_rule, target_rule),
        saved=saved,
    )


@by_autocast
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """Return the terms t (log t - x) of the Kullback-Leibler divergence of t from exp(x).

    Args:
        input: log-probabilities x.
        target: probabilities t; broadcasts with `input`.
        size_average: of PyTorch's older interface; with `reduce` it overrides `reduction`.
        reduce: see `size_average`.
        reduction: `none`, `mean` (over all elements), `sum`, or `batchmean`: the sum divided by the batch size,
            which is the divergence.
        log_target: whether `target` holds log t.

    Raises:
        ValueError: `reduction` is another word.
        RuntimeError: the shapes do not broadcast.
    """
    by_batch = reduction == "batchmean"
    reduction = reduction_of("mean" if by_batch else reduction, size_average, reduce)
    if reduction == "mean" and not by_batch:
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size. 'batchmean' divides "
            "only by the batch size, and aligns with the KL div math definition.",
            stacklevel=2,
        )
    a, b = _broadcast("kl_div", input, target)
    x, t = a.array, b.array
    xp = array_module(x)
    if log_target:
        p = xp.exp(t)
        losses, slope = p * (t - x), p * (t - x + 1)
    else:
        p = t
        with np.errstate(divide="ignore", invalid="ignore"):
            log_p = xp.log(t)
            losses = choose(t == 0, x.dtype.type(0), t * log_p, x.dtype) - t * x
            slope = log_p + 1 - x
    return record_loss(
        losses,
        reduction,
        "KlDiv",
        (a, b),
        (lambda g: unbroadcast(-g * p, x.shape), lambda g: unbroadcast(g * slope, t.shape)),
        saved=(a, b),
        count=x.dtype.type(x.shape[0]) if by_batch and x.ndim else None,
    )


def _of_difference(
    name: str,
    input: Tensor,
    target: Tensor,
    reduction: str,
    weight: Tensor | None,
    value: Callable[[Array], Array],
    slope: Callable[[Array], Array],
    *,
    weighted_mean: bool = False,
) -> Tensor:
    """Return a loss of the difference of input and target.

    Args:
        name: PyTorch's name of the loss.
        input, target: tensors that broadcast; a warning where their shapes differ.
        reduction: `none`, `mean` or `sum`.
        weight: a factor for each element, or None.
        value: the loss of a difference.
        slope: its derivative.
        weighted_mean: whether a mean divides by the sum of the weights.
    """
    if input.array.shape != target.array.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}). This will "
            "likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            stacklevel=3,
        )
    a, b = _broadcast(name, input, target)
    d = floats(a, name) - b.array
    losses, count = value(d), None
    w = None if weight is None else weight.array
    if w is not None:
        if w.shape != input.array.shape:
            raise ValueError(f"Weights and input must have the same size. Got {list(w.shape)} and {list(input.shape)}")
        losses = losses * w
        count = w.sum() if weighted_mean else None

    def input_rule(g: Array) -> Array:
        return unbroadcast(_times(g, w) * slope(d), a.array.shape)

    def target_rule(g: Array) -> Array:
        return unbroadcast(_times(g, w) * -slope(d), b.array.shape)

    saved = () if weight is None else (weight,)
    return record_loss(losses, reduction, name, (a, b), (input_rule, target_rule), saved, count)


def _times(g: Array, w: Array | None) -> Array:
    return g if w is None else g * w


def _broadcast(name: str, input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return two tensors of one type, after checking that they broadcast.

    Raises:
        RuntimeError: they do not.
    """
    same_device(name, input, target)
    a, b = operands(input, target)
    try:
        np.broadcast_shapes(a.array.shape, b.array.shape)
    except ValueError:
        raise RuntimeError(
            f"{name}: the shapes of input {list(a.shape)} and target {list(b.shape)} do not broadcast"
        ) from None
    return a, b


def _same_shape(name: str, input: Tensor, target: Tensor, *factors: Tensor | None) -> tuple[Array, Array]:
    """Return the arrays of input and target, after checking that their shapes are the same.

    Raises:
        ValueError: they are not.
        RuntimeError: a factor does not broadcast with them.
    """
    same_device(name, input, target, *factors)
    if input.array.shape != target.array.shape:
        raise ValueError(f"{name}: Target size ({target.shape}) must be the same as input size ({input.shape})")
    for each in factors:
        if each is not None:
            check_broadcast(target, each)
    x = floats(input, name)
    return x, target.array.astype(x.dtype, copy=False)
