"""Batch normalisation by statistics that its neighbours took: no pass over memory of its own."""

from __future__ import annotations

from typing import Any

from tinytrain.device import Array
from tinytrain.kernels.fused.activations import NONE, Activation, lies_channels_last
from tinytrain.kernels.fused.backends import primitives
from tinytrain.kernels.fused.gradients import (
    NO_ACTIVATION,
    NO_NORM,
    ActivationGradient,
    ConvolutionGradient,
    NormGradient,
)
from tinytrain.pending import settled


def normalize_batch(
    x: Array,
    moments: tuple[Array, Array] | None,
    w: Array | None,
    b: Array | None,
    eps: float,
    running_mean: Array | None,
    running_var: Array | None,
    momentum: float,
) -> tuple[Activation, Array, Array, Array] | None:
    """Normalise by the batch's own statistics, and move the running ones towards them in place.

    Args:
        x: `(n, c, *size)`.
        moments: mean and sum of squared deviations of `x` per channel, where they are known.
        w, b: scale and shift, `(c,)`, or None for 1 and 0.
        eps: added to the variance.
        running_mean, running_var: `(c,)`, changed in place, or None.
        momentum: the share of the new statistics.

    Returns:
        The pending result; `x` as it was read, channels-last; the mean `(c,)`; the reciprocal of the standard deviation
        `(c,)`. None where there are more than two spatial axes, or a vector is not of `c` float32.
    """
    backend = primitives(x)
    if not _fits(x, backend, running_mean, running_var, w, b):
        return None
    x = _laid_out(x, backend)
    mean, m2 = backend.moments(x) if moments is None else moments
    count = x.size // x.shape[1]
    scale, shift, rstd = backend.batch_norm_prepare(mean, m2, count, w, b, eps, running_mean, running_var, momentum)
    return Activation(x, scale, shift), x, mean, rstd


def normalize_by(
    x: Array, w: Array | None, b: Array | None, eps: float, running_mean: Array, running_var: Array
) -> tuple[Activation, Array, Array, Array] | None:
    """Normalise by given statistics, a mean and a variance per channel; as `normalize_batch` otherwise."""
    backend = primitives(x)
    if not _fits(x, backend, running_mean, running_var, w, b):
        return None
    x = _laid_out(x, backend)
    scale, shift, rstd = backend.batch_norm_prepare(running_mean, running_var, 1, w, b, eps, None, None, 0.0)
    return Activation(x, scale, shift), x, running_mean, rstd


def batch_norm_gradients(
    g: Any, x: Array, mean: Array, rstd: Array, w: Array | None, through_statistics: bool
) -> tuple[NormGradient, Array, Array]:
    """Return the gradients of `x` (pending), `w` and `b`.

    Args:
        g: gradient of the result, perhaps pending.
        x: `(n, c, *size)`, channels-last in memory.
        mean, rstd: what `x` was normalised with.
        w: scale, or None for 1.
        through_statistics: whether `mean` and `rstd` are those of `x` itself.
    """
    slope: tuple[Any, ...] = NO_ACTIVATION
    if isinstance(g, ConvolutionGradient):
        grad, total, total_y = g.with_sums(x, mean)
    elif isinstance(g, ActivationGradient) and g.activation.other is None and g.activation.y is x:
        grad, slope = g.g, g.activation.slope()[1:]
        total, total_y = primitives(x).grad_sums(g.source(), mean)
    else:
        grad = settled(g)
        total, total_y = primitives(x).grad_sums((grad, x, *NO_ACTIVATION, *NO_NORM), mean)
    count = x.size // x.shape[1]
    *factors, grad_w = primitives(x).batch_norm_grad(total, total_y, mean, rstd, w, count, through_statistics)
    return NormGradient(grad, (grad, x, *slope, *factors)), grad_w, total


def _fits(x: Array, backend: Any, *vectors: Array | None) -> bool:
    return 2 <= x.ndim <= 4 and backend.are_vectors(x.shape[1], *vectors)


def _laid_out(x: Array, backend: Any) -> Array:
    """Return `x` channels-last in memory: itself, or a copy."""
    return x if lies_channels_last(x) else backend.apply(x, None, NONE, 0.0, 0.0, None)
