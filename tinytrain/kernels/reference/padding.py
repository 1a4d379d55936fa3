"""A constant around arrays, or their ends cut off."""

from __future__ import annotations

from collections.abc import Sequence

from tinytrain.device import Array, array_module

Pairs = Sequence[tuple[int, int]]


def pad_constant(x: Array, pairs: Pairs, value: float) -> Array:
    """Return `x` with a constant before and after each axis; the gradient is that of the negative pairs with 0.

    Args:
        x: any shape and type.
        pairs: elements before and after each axis; where they are negative, so many are taken away.
        value: the constant.

    Returns:
        a fresh array, its axes in the order in which those of `x` lie in memory.
    """
    shape = tuple(n + before + after for n, (before, after) in zip(x.shape, pairs, strict=True))
    # What is neither cut off nor padding, in the result and in the input.
    in_result = tuple(slice(max(b, 0), n - max(a, 0)) for n, (b, a) in zip(shape, pairs, strict=True))
    in_input = tuple(slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in zip(x.shape, pairs, strict=True))
    y = array_module(x).empty_like(x, shape=shape)
    y.fill(x.dtype.type(value))
    y[in_result] = x[in_input]
    return y
