"""The sizes of a convolution, as the kernels of this package are told them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinytrain.kernels.cuda.layout import Pixels, sizes


@dataclass(frozen=True, slots=True)
class Geometry:
    """A convolution of images; one axis is an image of one row, no axis a pixel.

    Args:
        n: images.
        h, w, c: rows, columns and channels of the input.
        oh, ow, o: of the output.
        kh, kw: taps of the kernel.
        sh, sw: strides.
        ph, pw: rows and columns of zeros before the input.
        dh, dw: dilations.
        groups: number of channel groups.
    """

    n: int
    h: int
    w: int
    c: int
    oh: int
    ow: int
    o: int
    kh: int
    kw: int
    sh: int
    sw: int
    ph: int
    pw: int
    dh: int
    dw: int
    groups: int

    @classmethod
    def of_input(cls, x: Pixels, w_shape: Sequence[int], numbers: Sequence[int]) -> Geometry:
        """Return the geometry of a forward pass.

        Args:
            x: the input.
            w_shape: `(o, c // groups, *kernel)`.
            numbers: see `Steps.numbers`.

        Raises:
            ValueError: the channels do not fit together.
        """
        sh, sw, ph, pw, after_h, after_w, dh, dw, groups = numbers
        o, kh, kw = _check_channels(x.c, w_shape, groups)
        oh = (x.h + ph + after_h - dh * (kh - 1) - 1) // sh + 1
        ow = (x.w + pw + after_w - dw * (kw - 1) - 1) // sw + 1
        return cls(x.n, x.h, x.w, x.c, oh, ow, o, kh, kw, sh, sw, ph, pw, dh, dw, groups)

    @classmethod
    def of_gradient(cls, g: Pixels, x_shape: Sequence[int], w_shape: Sequence[int], numbers: Sequence[int]) -> Geometry:
        """Return the geometry of a backward pass; the gradient may hold fewer windows than fit into the input.

        Args:
            g: gradient of the output.
            x_shape: `(n, c, *size)` of the input.
            w_shape, numbers: as in `of_input`.

        Raises:
            ValueError: the channels do not fit together.
        """
        sh, sw, ph, pw, _, _, dh, dw, groups = numbers
        n, c, h, w = sizes(x_shape)
        o, kh, kw = _check_channels(c, w_shape, groups)
        if g.c != o or g.n != n:
            raise ValueError(f"gradient and weight have different channels: {g.c} and {o}, {g.n} images for {n}")
        return cls(n, h, w, c, g.h, g.w, o, kh, kw, sh, sw, ph, pw, dh, dw, groups)

    @property
    def is_depthwise(self) -> bool:
        """Whether every channel is filtered by itself, once."""
        return self.c == self.o == self.groups and self.c > 1

    @property
    def is_empty(self) -> bool:
        """Whether no product is to be computed."""
        return 0 in (self.n, self.h, self.w, self.c, self.oh, self.ow, self.o)


def output_shape(x_shape: Sequence[int], o: int, oh: int, ow: int) -> tuple[int, ...]:
    """Return the shape of an output, with as many axes as the input has."""
    return (x_shape[0], o, *(oh, ow)[4 - len(x_shape) :])


def _check_channels(c: int, w_shape: Sequence[int], groups: int) -> tuple[int, int, int]:
    o, of_group, kh, kw = sizes(w_shape)
    if c != of_group * groups:
        raise ValueError(f"input and weight have different channels: {c} and {of_group} times {groups} groups")
    return o, kh, kw
