"""What the convolutions that read pending values are given, as their kernels take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinytrain.device import Array
from tinytrain.kernels.cuda.layout import BYTES, Pixels, factors, pixels_of
from tinytrain.kernels.cuda.sources import NONE, check_shapes


@dataclass(frozen=True, slots=True)
class Input:
    """What a convolution reads, as kernels take it.

    Args:
        pixels: of the array; None for no array.
        arguments: of a kernel: the array, its step, scale, shift, kind, low, high.
    """

    pixels: Pixels | None
    arguments: tuple[Any, ...]

    @classmethod
    def of(cls, value: Any) -> Input:
        """Return what an array, a tuple `(y, scale, shift, kind, low, high)` or None stands for."""
        if value is None:
            return cls(None, (None, 0, None, None, 0, 0.0, 0.0))
        if not isinstance(value, tuple):
            pixels = pixels_of(value)
            return cls(pixels, (pixels.array, pixels.step, None, None, 0, 0.0, 0.0))
        y, scale, shift, kind, low, high = value
        pixels = pixels_of(y)
        line = factors(scale, pixels.c), factors(shift, pixels.c)
        return cls(pixels, (pixels.array, pixels.step, *line, kind, float(low), float(high)))

    @property
    def pack(self) -> int:
        """How many channels can be read at once."""
        return BYTES if self.pixels is None else self.pixels.pack


@dataclass(frozen=True, slots=True)
class Sink:
    """Where an input gradient goes and what happens to it on the way, as kernels take it.

    Args:
        operands: the pixels that are read and written.
        arguments: of a kernel: to, add, its step, m, its step, scale, shift, kind, low, high, y, its step, mean.
        has_sums: whether its two sums are taken.
    """

    operands: tuple[Pixels, ...]
    arguments: tuple[Any, ...]
    has_sums: bool

    @classmethod
    def of(cls, sink: Any, to: Array | None) -> Sink:
        """Return what `(add, m, scale, shift, kind, low, high, y, mean)` or None stands for.

        Args:
            sink: the tuple.
            to: the gradient, or None.

        Raises:
            ValueError: an array is of another shape than the gradient.
        """
        add, m, scale, shift, kind, low, high, y, mean = sink or (None, None, None, None, 0, 0.0, 0.0, None, None)
        if to is None:
            return cls((), (None, None, 0, None, 0, None, None, 0, 0.0, 0.0, None, 0, None), False)
        if m is None or kind == NONE:
            m, scale, shift, kind = None, None, None, NONE
        pixels = pixels_of(to)
        met = [None if each is None else pixels_of(each) for each in (add, m, y)]
        operands = (pixels, *(each for each in met if each is not None))
        check_shapes("a gradient and what it meets have different shapes", *operands)
        places = [(None, 0) if each is None else (each.array, each.step) for each in met]
        line = factors(scale, pixels.c), factors(shift, pixels.c)
        middle = factors(mean, pixels.c)
        arguments = (to, *places[0], *places[1], *line, kind, float(low), float(high), *places[2], middle)
        return cls(operands, arguments, y is not None)

    @property
    def pack(self) -> int:
        """How many channels can be read at once from all."""
        return min((each.pack for each in self.operands), default=BYTES)
