"""Negative log-likelihoods of counts and of numbers with a variance."""

from __future__ import annotations

import math
from functools import partial

from tinytrain.device import array_module, number_of
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import rounds_once
from tinytrain.ops.loss_reduction import reduced, reduction_of
from tinytrain.tensor import Tensor, wrap

__all__ = ["gaussian_nll_loss", "poisson_nll_loss"]


@partial(rounds_once, promotes=True)
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Return (log v + (x - t)^2 / v) / 2, v the variance or `eps` where it is smaller.

    Nix and Weigend, Estimating the mean and variance of the target probability distribution (1994).

    Args:
        input: means x.
        target: t; broadcasts with `input`.
        var: variances, 0 at least: a number, the shape of `input`, that shape with one size 1, or without its last.
        full: add the constant log(2 pi) / 2.
        eps: the smallest variance; has no gradient.
        reduction: `none`, `mean` or `sum`.

    Raises:
        ValueError: `reduction` is another word, a variance is negative, or its shape does not fit.
    """
    xp = array_module(input.array)
    v = var if isinstance(var, Tensor) else wrap(xp.full_like(input.array, var))
    if number_of((v.array < 0).any()):
        raise ValueError("var has negative entry/entries")
    if v.shape != input.shape:
        if input.shape[:-1] == v.shape:
            v = v.unsqueeze(-1)
        elif input.ndim != v.ndim or sum(b for a, b in zip(input.shape, v.shape, strict=True) if a != b) != 1:
            raise ValueError(f"var is of incorrect size: {list(v.shape)} for an input {list(input.shape)}")
    reduction = reduction_of(reduction)
    # Where the variance is raised to eps its gradient goes on as it is, as in PyTorch.
    v = v + wrap(xp.maximum(eps - v.array, 0))
    losses = 0.5 * (v.log() + (input - target).square() / v)
    if full:
        losses = losses + 0.5 * math.log(2 * math.pi)
    return reduced(losses, reduction)


@by_autocast
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return m - t log m, the negative log-likelihood of counts t with mean m.

    Args:
        input: log m, or m.
        target: counts t; broadcasts with `input`.
        log_input: whether `input` is log m.
        full: add log t! by Stirling's formula, t log t - t + log(2 pi t) / 2, where t > 1.
        size_average: of PyTorch's older interface; with `reduce` it overrides `reduction`.
        eps: added to m in the logarithm.
        reduce: see `size_average`.
        reduction: `none`, `mean` or `sum`.

    Raises:
        ValueError: `reduction` is another word.
    """
    reduction = reduction_of(reduction, size_average, reduce)
    losses = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        t = target.clamp_min(1)
        losses = losses + (target > 1) * (t * t.log() - t + 0.5 * (2 * math.pi * t).log())
    return reduced(losses, reduction)
