"""Batch normalisation by statistics that its neighbours took: no pass over memory of its own."""

from __future__ import annotations

from typing import Any

from tinytrain.device import Array
from tinytrain.kernels.fused.activations import NONE, Activation, lies_channels_last
from tinytrain.kernels.fused.backends import primitives
from tinytrain.kernels.fused.convolution import conv_gradients, operands
from tinytrain.kernels.fused.gradients import (
    NO_ACTIVATION,
    NO_NORM,
    ActivationGradient,
    ConvolutionGradient,
    NormGradient,
    through_activation,
)
from tinytrain.kernels.steps import Steps
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


class NormalizedConvolution:
    """A convolution, the normalisation of its result and an activation, as they were computed.

    Args:
        x: the input, perhaps pending.
        w: the weight.
        steps: of the convolution.
        y: the convolution's result.
        mean, rstd: what it was normalised with.
        scale: of the normalisation, or None for 1.
        has_shift: whether the normalisation has a shift.
        result: the pending result of all.
    """

    __slots__ = ("has_shift", "mean", "result", "rstd", "scale", "steps", "w", "x", "y")

    def __init__(
        self,
        x: Any,
        w: Array,
        steps: Steps,
        y: Array,
        mean: Array,
        rstd: Array,
        scale: Array | None,
        has_shift: bool,
        result: Activation,
    ):
        self.x, self.w, self.steps = x, w, steps
        self.y, self.mean, self.rstd = y, mean, rstd
        self.scale, self.has_shift, self.result = scale, has_shift, result

    def gradients(self, g: Any, needs: tuple[bool, ...]) -> list[Any]:
        """Return the gradients of input, weight, scale and shift, those that are there.

        Args:
            g: gradient of the result, perhaps pending.
            needs: whether each is wanted.
        """
        if self.result.kind != NONE:
            g = through_activation(g, self.result)
        g, grad_scale, grad_shift = batch_norm_gradients(g, self.y, self.mean, self.rstd, self.scale, True)
        gradients = [*conv_gradients(g, self.x, self.w, self.steps, needs[:2])]
        if self.scale is not None:
            gradients.append(grad_scale)
        if self.has_shift:
            gradients.append(grad_shift)
        return gradients


def convolve_and_normalize(
    x: Any,
    w: Array,
    steps: Steps,
    running_mean: Array | None,
    running_var: Array | None,
    scale: Array | None,
    shift: Array | None,
    momentum: float,
    eps: float,
    kind: int,
    low: float,
    high: float,
) -> NormalizedConvolution | None:
    """Convolve `x` with `w`, normalise the result by its own statistics and activate it.

    Args:
        x: `(n, c, h, w)`, perhaps pending.
        w: `(o, c / groups, kh, kw)`.
        steps: of the convolution.
        running_mean, running_var: `(o,)`, changed in place, or None.
        scale, shift: `(o,)`, or None for 1 and 0.
        momentum: the share of the new statistics.
        eps: added to the variance.
        kind, low, high: the activation, as of `Activation`.

    Returns:
        What was computed; None, and nothing has changed, where a vector is not of `o` float32 or a channel of the
        result has not two values.
    """
    where = steps.numbers
    assert where is not None
    source, w = operands(x, w, where)
    found = primitives(w).conv_and_prepare(source, w, where, running_mean, running_var, scale, shift, eps, momentum)
    if found is None:
        return None
    y, mean, factor, summand, rstd = found
    result = Activation(y, factor, summand, None, kind, low, high)
    return NormalizedConvolution(x, w, steps, y, mean, rstd, scale, shift is not None, result)


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
