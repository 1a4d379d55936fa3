"""Pooling over one or two spatial axes in the fused kernels; the rest goes to the reference."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from tinytrain.device import Array
from tinytrain.kernels.fused.activations import source_of
from tinytrain.kernels.fused.backends import primitives
from tinytrain.kernels.reference import pooling as reference
from tinytrain.pending import settled


def max_pool_forward(
    x: Any,
    out_size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    with_taps: bool,
) -> tuple[Array, Array | None]:
    """Return the maximum of each window, and which tap holds it; as the reference, `x` may be pending."""
    if len(kernel) > 2 or prod(kernel) > 256:
        return reference.max_pool_forward(settled(x), out_size, kernel, stride, padding, dilation, with_taps)
    oh, ow = (1, *out_size)[-2:]
    return primitives(x).max_pool(source_of(x), oh, ow, _window(kernel, stride, padding, dilation), with_taps)


def max_pool_input_grad(
    g: Array,
    winners: Array,
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Array:
    """Return the gradient of `max_pool_forward`'s input; arguments as for the reference."""
    if len(kernel) > 2 or prod(kernel) > 256:
        return reference.max_pool_input_grad(g, winners, size, kernel, stride, padding, dilation)
    h, w = (1, *size)[-2:]
    return primitives(g).max_pool_grad(g, winners, h, w, _window(kernel, stride, padding, dilation))


def mean_of_pixels(x: Any) -> Array:
    """Return the mean over all spatial axes of `(n, c, *size)`, with sizes 1 for them; `x` may be pending."""
    return primitives(x).mean_pixels(source_of(x))


def mean_of_pixels_grad(g: Array, size: Sequence[int]) -> Array:
    """Return the gradient of `mean_of_pixels`' input.

    Args:
        g: gradient of the means, `(n, c, *ones)`.
        size: spatial size of the input.
    """
    return primitives(g).spread_pixels(g, *(1, *size)[-2:])


def _window(
    kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> tuple[int, ...]:
    if len(kernel) == 1:
        kernel, stride, padding, dilation = (1, *kernel), (1, *stride), (0, *padding), (1, *dilation)
    return (*kernel, *stride, *padding, *dilation)
