"""Activations and gradients with what is still to be done to them, as kernels on a GPU take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinytrain.device import Array
from tinytrain.kernels.cuda.layout import BYTES, Pixels, factors, pixels_of

NONE = 0
"""The activation that is none, as in `src/common.cuh`."""


@dataclass(frozen=True, slots=True)
class Source:
    """An array with a scale and a shift per channel and an activation, as kernels take it.

    Args:
        pixels: of the array; None for no array.
        line: arguments of a kernel: the array, its step, scale, shift.
        activation: further ones: kind, low, high.
    """

    pixels: Pixels | None
    line: tuple[Any, ...]
    activation: tuple[int, float, float]

    @classmethod
    def of(cls, value: Any) -> Source:
        """Return what an array, a tuple `(y, scale, shift, kind, low, high)` or None stands for."""
        if value is None:
            return cls(None, (None, 0, None, None), (NONE, 0.0, 0.0))
        y, scale, shift, kind, low, high = value if isinstance(value, tuple) else (value, None, None, NONE, 0.0, 0.0)
        pixels = pixels_of(y)
        line = (pixels.array, pixels.step, factors(scale, pixels.c), factors(shift, pixels.c))
        return cls(pixels, line, (kind, float(low), float(high)))

    @property
    def present(self) -> Pixels:
        """The pixels of an array that must be there."""
        assert self.pixels is not None
        return self.pixels

    @property
    def pack(self) -> int:
        """How many channels can be read at once."""
        return BYTES if self.pixels is None else self.pixels.pack


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


@dataclass(frozen=True, slots=True)
class Sink:
    """Where an input gradient goes and what happens to it on the way, as kernels take it.

    Args:
        operands: the pixels that are read and written.
        arguments: of a kernel: to, add, its step, m, its step, scale, shift, kind, low, high, y, its step, mean.
        has_sums: whether its two sums are taken.
        is_idle: whether it leaves gradients as they are, and takes no sums.
    """

    operands: tuple[Pixels, ...]
    arguments: tuple[Any, ...]
    has_sums: bool
    is_idle: bool

    @classmethod
    def of(cls, sink: Any, to: Array | None) -> Sink:
        """Return what `(add, m, scale, shift, kind, low, high, y, mean)` or None stands for.

        Args:
            sink: the tuple.
            to: the gradient, or None.

        Raises:
            ValueError: an array is of another shape than the gradient.
        """
        add, m, scale, shift, kind, low, high, y, mean = sink or (None, None, None, None, NONE, 0.0, 0.0, None, None)
        if to is None:
            return cls((), (None, None, 0, None, 0, None, None, NONE, 0.0, 0.0, None, 0, None), False, True)
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
        return cls(operands, arguments, y is not None, add is None and m is None and y is None)

    @property
    def pack(self) -> int:
        """How many channels can be read at once from all."""
        return min((each.pack for each in self.operands), default=BYTES)


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
