"""Activations that are not computed yet: what a normalisation, an activation or a sum will make of arrays in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinytrain.device import Array
from tinytrain.kernels.fused.backends import empty, primitives
from tinytrain.pending import Pending, settled

NONE, RELU, CLIP, LEAKY, HARDSWISH = range(5)
"""Kinds of activations, as in kernels.h."""

Source = tuple[Array, Array | None, Array | None, int, float, float]


class Activation(Pending):
    """act(scale * y + shift + other), scale and shift per channel, not computed yet.

    Args:
        y: `(n, c, *size)`, channels-last in memory.
        scale, shift: `(c,)`, or None for 1 and 0.
        other: a summand of the same shape, or one that is pending itself and has no activation and no summand.
        kind: which activation.
        low, high: its parameters: the limits of a clip, the slope of a leaky one.
    """

    __slots__ = ("high", "kind", "low", "other", "scale", "shift", "y")

    def __init__(
        self,
        y: Array,
        scale: Array | None = None,
        shift: Array | None = None,
        other: Array | Activation | None = None,
        kind: int = NONE,
        low: float = 0.0,
        high: float = 0.0,
    ):
        super().__init__(y)
        self.y, self.scale, self.shift, self.other = y, scale, shift, other
        self.kind, self.low, self.high = kind, low, high

    def activated(self, kind: int, low: float = 0.0, high: float = 0.0) -> Activation:
        """Return this value with an activation behind it; it has none yet."""
        return Activation(self.y, self.scale, self.shift, self.other, kind, low, high)

    def source(self) -> Array | Source:
        """Return what a kernel can read in place of the array; the same whether the array has been computed or not.

        What is read decides in which order kernels add, and so the bits of the sums.
        """
        if self.other is not None or self.y is self._array:
            return self.settle()
        return (self.y, self.scale, self.shift, self.kind, self.low, self.high)

    def settle(self) -> Array:
        """Return the array, computed at the first call; a sum then lets go of its summands."""
        array = super().settle()
        if self.other is not None:
            self.y, self.scale, self.shift, self.other = array, None, None, None
            self.reads = ()
        return array

    def let_go(self) -> None:
        """Compute the array, and read the derivative off it where that will do: the summands may change now."""
        array = self.settle()
        if _shows_slope(self.kind, self.low):
            self.y, self.scale, self.shift, self.other = array, None, None, None

    def slope(self) -> Source:
        """Return where the derivative of the activation is read off: its argument, or its result where that will do."""
        if self.other is None:
            return (self.y, self.scale, self.shift, self.kind, self.low, self.high)
        return (self.settle(), None, None, self.kind, self.low, self.high)

    def compute(self) -> Array:
        """Compute the array in one pass."""
        return self._apply(None)

    def _apply(self, out: Array | None) -> Array:
        summand = (self.y, self.scale, self.shift, NONE, 0.0, 0.0)
        other = self.other.source() if isinstance(self.other, Activation) else self.other
        return primitives(self.y).apply(summand, other, self.kind, self.low, self.high, out)

    def compute_into(self, out: Array) -> None:
        """Compute the array into memory that lies channels-last, perhaps with gaps between pixels."""
        if self.is_settled:
            primitives(out).apply(self.settle(), None, NONE, 0.0, 0.0, out)
        else:
            self._apply(out)


def lies_channels_last(array: Array) -> bool:
    """Return whether `(n, c, *size)` lies in memory pixel by pixel without gaps."""
    shape, item = array.shape, array.itemsize
    if len(shape) == 4:
        _, c, h, w = shape
        pixel = item * c
        return array.strides == (h * w * pixel, item, w * pixel, pixel)
    if len(shape) == 3:
        _, c, w = shape
        return array.strides == (item * w * c, item, item * c)
    return len(shape) == 2 and array.flags.c_contiguous


def activation(x: Any, kind: int, low: float = 0.0, high: float = 0.0) -> Activation | None:
    """Return the activation of a pending value or of an array, pending; None where it cannot wait.

    Args:
        x: an array or an `Activation`.
        kind: which activation.
        low, high: its parameters.
    """
    if isinstance(x, Activation):
        # The slope behind a sum is read off the result, which only ReLU's rule guards against changes.
        if x.kind == NONE and not x.is_settled and (x.other is None or kind == RELU):
            return x.activated(kind, low, high)
        x = x.settle()
    if x.size < 1024 or not lies_channels_last(x):
        return None
    return Activation(x, None, None, None, kind, low, high)


def total(x: Any, y: Any) -> Activation | None:
    """Return the sum of two values of one shape, pending; None where it cannot wait.

    Args:
        x: an array or an `Activation`.
        y: likewise.
    """
    first, second = (x, y) if _is_open(x) else (y, x)
    if not _is_open(first):
        first = settled(first)
        if first.size < 1024 or not lies_channels_last(first):
            return None
        first = Activation(first)
    if isinstance(second, Activation) and not _is_open(second):
        second = second.settle()
    if not isinstance(second, Activation) and not lies_channels_last(second):
        return None
    return Activation(first.y, first.scale, first.shift, second)


def join_channels(values: Sequence[Any]) -> Array:
    """Return values one after the other along the channels, each computed into its place.

    Args:
        values: arrays or `Activation`s `(n, c_i, h, w)` of one type with equal other sizes.
    """
    n, _, h, w = values[0].shape
    joined = empty((n, sum(each.shape[1] for each in values), h, w), values[0])
    start = 0
    for each in values:
        place = joined[:, start : start + each.shape[1]]
        start += each.shape[1]
        if isinstance(each, Activation):
            each.compute_into(place)
        else:
            primitives(joined).apply(settled(each), None, NONE, 0.0, 0.0, place)
    return joined


def _shows_slope(kind: int, low: float) -> bool:
    """Whether the derivative of an activation can be told from its result."""
    return kind != HARDSWISH and not (kind == LEAKY and low < 0)


def _is_open(x: Any) -> bool:
    """Whether something can still be added to a pending value."""
    return isinstance(x, Activation) and x.kind == NONE and x.other is None and not x.is_settled


def source_of(x: Any) -> Any:
    """Return what a kernel reads of an array or a pending value: the array, or a tuple."""
    return x.source() if isinstance(x, Activation) else settled(x)
