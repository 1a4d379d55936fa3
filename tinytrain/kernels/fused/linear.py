"""Products of rows with a matrix: convolutions that see one pixel."""

from __future__ import annotations

from typing import Any

from tinytrain.device import Array
from tinytrain.kernels.fused.convolution import conv_gradients, convolve
from tinytrain.kernels.reference import linear as reference
from tinytrain.kernels.steps import Steps

_ONE_PIXEL = Steps(((1,), ((0, 0),), (1,), 1))


def linear(x: Array, w: Array, b: Array | None = None) -> Array:
    """Return `x @ w.T + b`; arguments as for the reference."""
    if not w.size:
        return reference.linear(x, w, b)
    return convolve(x, w, _ONE_PIXEL, b, False)[0]


def linear_gradients(g: Array, x: Array, w: Array, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """Return the gradients of `x`, `w` and `b` as the reference does, the first two pending."""
    if not w.size:
        return reference.linear_gradients(g, x, w, needs)
    return conv_gradients(g, x, w, _ONE_PIXEL, needs)
