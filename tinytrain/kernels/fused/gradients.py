"""Gradients that are not computed yet: so that one pass over memory serves several layers.

A convolution's input gradient waits until it is known what happens to it next. The activation in front of the
convolution adds its derivative, the normalisation in front of that asks for its two sums, and only then the kernel
runs, which does all of it while it writes. What the normalisation hands on is pending too: alpha g + beta y + gamma,
which the convolution in front reads in passing.
"""

from __future__ import annotations

from typing import Any

from tinytrain.device import Array
from tinytrain.kernels.fused.activations import NONE, Activation, source_of
from tinytrain.kernels.fused.backends import primitives
from tinytrain.pending import Pending, settled

NO_ACTIVATION = (None, None, NONE, 0.0, 0.0)
NO_NORM = (None, None, None)


class Job:
    """The backward pass of one convolution, run once for both of its gradients.

    What it reads is let go as soon as both are known: the weight gradients wait until the end of a backward pass, and
    would keep the activations of all layers until then.

    Args:
        g: gradient of the output: an array, or a tuple as in module.cpp.
        x: the input: an array or an `Activation`.
        w: the weight, contiguous.
        geometry: see `Steps.numbers`.
        needs: whether the input's and the weight's gradient are wanted.
    """

    __slots__ = ("g", "geometry", "grad_w", "needs_w", "needs_x", "w", "x")

    def __init__(self, g: Any, x: Any, w: Array, geometry: tuple[int, ...], needs: tuple[bool, ...]):
        self.g, self.x, self.w, self.geometry = g, x, w, geometry
        self.needs_x, self.needs_w = needs[:2]
        self.grad_w: Array | None = None

    def run(self, sink: tuple[Any, ...] | None) -> tuple[Array, Array | None, Array | None]:
        """Compute the input gradient, finished as `sink` says, with its sums; the weight gradient on the way."""
        if self.needs_w and self.grad_w is None:
            grad, total, total_y, self.grad_w = primitives(self.w).conv_backward(
                self.g, source_of(self.x), self.w, self.geometry, sink
            )
            found = grad, total, total_y
        else:
            found = primitives(self.w).conv_input_grad(self.g, self.w, self.x.shape, self.geometry, sink)
        self.g = self.x = None
        return found

    def weight_gradient(self) -> Array:
        """Return the weight gradient, computed by itself where the input gradient is not wanted or has not run."""
        if self.grad_w is None:
            self.grad_w = primitives(self.w).conv_weight_grad(self.g, source_of(self.x), self.w.shape, self.geometry)
            if not self.needs_x:
                self.g = self.x = None
        return self.grad_w


class ConvolutionGradient(Pending):
    """The input gradient of a convolution, perhaps with a summand and the derivative of an activation.

    Args:
        job: the convolution's backward pass.
        add: a summand.
        through: the activation that the gradient passes after that.
    """

    __slots__ = ("add", "is_shared", "job", "through")

    def __init__(self, job: Job, add: Array | None = None, through: Activation | None = None):
        super().__init__(job.x)
        self.job, self.add, self.through = job, add, through
        self.is_shared = False

    def plus(self, other: Any) -> Any:
        """Return the sum with another gradient, still pending: the kernel adds while it writes."""
        if self.add is not None or self.through is not None or self.is_settled or self.is_shared:
            mine = self.settle()
            return other.plus(mine) if isinstance(other, ConvolutionGradient) else total_of(mine, other)
        return ConvolutionGradient(self.job, settled(other))

    def passing(self, activation: Activation) -> Pending:
        """Return the gradient in front of an activation."""
        if self.through is not None or self.is_settled or self.is_shared:
            return ActivationGradient(self.settle(), activation)
        return ConvolutionGradient(self.job, self.add, activation)

    def compute(self) -> Array:
        """Compute the gradient; the weight gradient too."""
        return self._run(None, None)[0]

    def with_sums(self, y: Array, mean: Array) -> tuple[Array, Array, Array]:
        """Return the gradient, its sum and its sum of products with y - mean, per channel."""
        if self.is_settled:
            grad = self.settle()
            return (grad, *primitives(y).grad_sums((grad, y, *NO_ACTIVATION, *NO_NORM), mean))
        grad, total, total_y = self._run(y, mean)
        self._array = grad
        assert total is not None
        assert total_y is not None
        return grad, total, total_y

    def _run(self, y: Array | None, mean: Array | None) -> tuple[Array, Array | None, Array | None]:
        slope = (None, *NO_ACTIVATION) if self.through is None else self.through.slope()
        return self.job.run((self.add, *slope, y, mean))


class WeightGradient(Pending):
    """The weight gradient of a convolution, which its input gradient computes on the way."""

    __slots__ = ("job",)
    is_private = True

    def __init__(self, job: Job):
        super().__init__(job.w)
        self.job = job

    def compute(self) -> Array:
        """Return what the input gradient has computed, or compute it."""
        return self.job.weight_gradient()


class PointwiseGradient(Pending):
    """A gradient that takes one pass over memory."""

    __slots__ = ()

    def plus(self, other: Any) -> Any:
        """Return the sum with another gradient, computed, or pending where a convolution adds while it writes."""
        return other.plus(self) if isinstance(other, ConvolutionGradient) else total_of(self, other)


class ActivationGradient(PointwiseGradient):
    """g * act'(...): the gradient in front of an activation."""

    __slots__ = ("activation", "g")

    def __init__(self, g: Array, activation: Activation):
        super().__init__(g)
        self.g, self.activation = g, activation

    def source(self) -> tuple[Any, ...]:
        """Return what a kernel can read in place of the array."""
        return (self.g, *self.activation.slope(), *NO_NORM)

    def compute(self) -> Array:
        """Compute the array in one pass."""
        return primitives(self.g).apply_grad(self.source())


class NormGradient(PointwiseGradient):
    """alpha * g * act'(...) + beta * y + gamma: the gradient of the input of a batch normalisation."""

    __slots__ = ("parts",)

    def __init__(self, g: Array, parts: tuple[Any, ...]):
        super().__init__(g)
        self.parts = parts

    def source(self) -> tuple[Any, ...]:
        """Return what a kernel can read in place of the array."""
        return self.parts

    def compute(self) -> Array:
        """Compute the array in one pass."""
        return primitives(self).apply_grad(self.parts)


def gradient_source(g: Any) -> Any:
    """Return what a kernel reads of an array or a pending gradient."""
    if isinstance(g, (NormGradient, ActivationGradient)) and not g.is_settled:
        return g.source()
    return settled(g)


def through_activation(g: Any, activation: Activation) -> Pending:
    """Return the gradient in front of an activation from the one behind it."""
    if isinstance(g, ConvolutionGradient):
        return g.passing(activation)
    return ActivationGradient(settled(g), activation)


def total_of(a: Any, b: Any) -> Array:
    """Return the sum of two gradients, computed in one pass."""
    first = settled(a)
    return primitives(first).apply(first, settled(b), NONE, 0.0, 0.0, None)


def shared(g: Any) -> Any:
    """Say of a gradient that it goes to several places as it is."""
    if isinstance(g, ConvolutionGradient):
        g.is_shared = True
    return g
