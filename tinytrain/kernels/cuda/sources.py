"""Activations and gradients with what is still to be done to them, as kernels on a GPU take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinytrain.device import Array
from tinytrain.kernels.cuda.layout import Pixels, factors, pixels_of

NONE = 0
"""The activation that is none, as in `src/common.cuh`."""


@dataclass(slots=True)
class Source:
    """An array with a scale and a shift per channel, as kernels take it.

    Args:
        pixels: of the array.
        scale, shift: `(c,)` or None.
    """

    pixels: Pixels
    scale: Array | None
    shift: Array | None

    @classmethod
    def of(cls, value: Any) -> Source:
        """Return what an array or a tuple `(y, scale, shift, ...)` stands for, without its activation."""
        if not isinstance(value, tuple):
            return cls(pixels_of(value), None, None)
        pixels = pixels_of(value[0])
        return cls(pixels, factors(value[1], pixels.c), factors(value[2], pixels.c))

    @property
    def line(self) -> tuple[Any, ...]:
        """The arguments of a kernel: array, step, scale, shift."""
        return self.pixels.array, self.pixels.step, self.scale, self.shift


@dataclass(slots=True)
class Gradient:
    """A gradient with what is still to be done to it, as kernels take it.

    Args:
        pixels: of the gradient.
        y: what the activation and the normalisation read.
        arguments: of a kernel: g, its step, y, its step, scale, shift, kind, low, high, alpha, beta, gamma.
        pack: of both arrays.
    """

    pixels: Pixels
    y: Pixels | None
    arguments: tuple[Any, ...]
    pack: int

    @classmethod
    def of(cls, value: Any) -> Gradient:
        """Return what an array or a tuple stands for.

        Raises:
            ValueError: the two arrays have different shapes.
        """
        if not isinstance(value, tuple):
            pixels = pixels_of(value)
            nothing = (None, 0, None, None, NONE, 0.0, 0.0, None, None, None)
            return cls(pixels, None, (pixels.array, pixels.step, *nothing), pixels.pack)
        g, y, scale, shift, kind, low, high, alpha, beta, gamma = value
        pixels, values = pixels_of(g), pixels_of(y)
        check_shapes("a gradient and its values have different shapes", pixels, values)
        scale, shift, alpha, beta, gamma = (factors(each, pixels.c) for each in (scale, shift, alpha, beta, gamma))
        places = (pixels.array, pixels.step, values.array, values.step)
        arguments = (*places, scale, shift, kind, float(low), float(high), alpha, beta, gamma)
        return cls(pixels, values, arguments, common_pack(pixels, values))


def common_pack(*operands: Pixels) -> int:
    """Return how many channels can be read at once from each of several arrays of one element type.

    Raises:
        TypeError: their types differ.
    """
    dtype = operands[0].array.dtype
    if any(each.array.dtype != dtype for each in operands):
        names = sorted({each.array.dtype.name for each in operands})
        raise TypeError(f"expected arrays of one element type; got {', '.join(names)}")
    return min(each.pack for each in operands)


def check_shapes(problem: str, first: Pixels, *others: Pixels) -> None:
    """Check that arrays have as many pixels and channels.

    Raises:
        ValueError: with `problem`.
    """
    if any((each.count, each.c) != (first.count, first.c) for each in others):
        raise ValueError(problem)
