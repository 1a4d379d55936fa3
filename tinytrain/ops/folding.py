"""Sliding blocks as columns (im2col), and columns summed back into an image (col2im)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from tinytrain.device import Array, array_module
from tinytrain.kernels.reference.windows import output_size, taps
from tinytrain.ops.common import to_tuple
from tinytrain.recording import record
from tinytrain.tensor import Tensor

__all__ = ["fold", "unfold"]

Ints = int | Sequence[int]
Window = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def unfold(input: Tensor, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1) -> Tensor:
    """Return the sliding blocks of images, one column each.

    Args:
        input: `(n, c, h, w)` or `(c, h, w)`, of a float dtype or bool.
        kernel_size: size of the blocks in pixels, an int or one an axis, as the following.
        dilation: distance of neighbouring pixels within a block.
        padding: zeros on each side of the image.
        stride: distance of neighbouring blocks.

    Returns:
        `(n, c * kh * kw, oh * ow)`, channels outermost within a column.

    Raises:
        RuntimeError: an argument is out of range, or no block fits into the image.
        IndexError: the input has too few dimensions.
        TypeError: an argument is of another kind.
    """
    window = _window("unfold", input, kernel_size, stride, padding, dilation)
    if input.ndim < 3:
        raise IndexError(f"unfold: `input` must have 3 dimensions, or 4 with a batch; got {list(input.shape)}")
    is_batch = input.ndim == 4
    if input.ndim > 4 or 0 in input.shape[is_batch:]:
        raise RuntimeError(
            f"unfold: `input` must be (c, h, w) or (n, c, h, w) with only the batch empty; got {list(input.shape)}"
        )
    size = tuple(input.shape[-2:])
    blocks = _num_blocks("unfold", size, window)
    x = input.array if is_batch else input.array[None]
    columns = _to_columns(x, blocks, window)

    def rule(g: Array) -> Array:
        g_x = _to_image(g if is_batch else g[None], size, blocks, window)
        return g_x if is_batch else g_x[0]

    return record(columns if is_batch else columns[0], "Im2Col", (input,), (rule,))


def fold(
    input: Tensor,
    output_size: Ints,
    kernel_size: Ints,
    dilation: Ints = 1,
    padding: Ints = 0,
    stride: Ints = 1,
) -> Tensor:
    """Return images in which every column of blocks was added to its place: the transpose of `unfold`.

    Args:
        input: `(n, c * kh * kw, oh * ow)` or without the batch, of a float dtype or bool.
        output_size: `(h, w)` of the images.
        kernel_size, dilation, padding, stride: as for `unfold`.

    Returns:
        `(n, c, h, w)` or `(c, h, w)`.

    Raises:
        RuntimeError: an argument is out of range, or the input is not what `unfold` gives for such images.
        TypeError: an argument is of another kind.
    """
    window = _window("fold", input, kernel_size, stride, padding, dilation)
    size = to_tuple(output_size, 2, "output_size")
    is_batch = input.ndim == 3
    if input.ndim not in (2, 3) or 0 in input.shape[is_batch:]:
        raise RuntimeError(
            f"fold: `input` must have 2 dimensions, or 3 with a batch, and only the batch may be empty; "
            f"got {list(input.shape)}"
        )
    num_rows, num_columns = input.shape[-2:]
    if min(size) < 1:
        raise RuntimeError(f"fold: `output_size` {list(size)} must be positive")
    if num_rows % prod(window[0]):
        raise RuntimeError(
            f"fold: the size of columns (={num_rows}) must be divisible by the product of `kernel_size` "
            f"{list(window[0])}"
        )
    blocks = _num_blocks("fold", size, window)
    if num_columns != prod(blocks):
        raise RuntimeError(
            f"fold: `output_size` {list(size)} has {blocks[0]} * {blocks[1]} = {prod(blocks)} blocks; "
            f"got an input with {num_columns} columns"
        )
    columns = input.array if is_batch else input.array[None]
    y = _to_image(columns, size, blocks, window)

    def rule(g: Array) -> Array:
        g_columns = _to_columns(g if is_batch else g[None], blocks, window)
        return g_columns if is_batch else g_columns[0]

    return record(y if is_batch else y[0], "Col2Im", (input,), (rule,))


def _window(name: str, input: Any, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Window:
    """Return kernel size, stride, padding and dilation as pairs, after checking them and the input's dtype."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}: `input` must be a Tensor; got {type(input).__name__}")
    if input.dtype.kind == 1:
        raise NotImplementedError(f"{name} is not defined for integers; got {input.dtype}. Use .float() first")
    window = (
        to_tuple(kernel_size, 2, "kernel_size"),
        to_tuple(stride, 2, "stride"),
        to_tuple(padding, 2, "padding"),
        to_tuple(dilation, 2, "dilation"),
    )
    names = ("kernel_size", "stride", "padding", "dilation")
    for argument, values, lowest in zip(names, window, (1, 1, 0, 1), strict=True):
        if min(values) < lowest:
            raise RuntimeError(f"{name}: `{argument}` {list(values)} must be at least {lowest}")
    return window


def _num_blocks(name: str, size: Sequence[int], window: Window) -> tuple[int, ...]:
    """Return the number of blocks along each axis."""
    kernel_size, stride, padding, dilation = window
    blocks = tuple(
        output_size(n, k, s, (p, p), d)
        for n, k, s, p, d in zip(size, kernel_size, stride, padding, dilation, strict=True)
    )
    if min(blocks) < 1:
        raise RuntimeError(
            f"{name}: no block fits: image size {list(size)}, `kernel_size` {list(kernel_size)}, "
            f"`dilation` {list(dilation)}, `padding` {list(padding)}"
        )
    return blocks


def _to_columns(x: Array, blocks: Sequence[int], window: Window) -> Array:
    n, c, *size = x.shape
    kernel_size = window[0]
    columns = array_module(x).zeros((n, c, *kernel_size, *blocks), x.dtype)
    for tap, outputs, inputs in taps(size, blocks, *window):
        columns[(slice(None), slice(None), *tap, *outputs)] = x[(slice(None), slice(None), *inputs)]
    return columns.reshape(n, c * prod(kernel_size), prod(blocks))


def _to_image(columns: Array, size: Sequence[int], blocks: Sequence[int], window: Window) -> Array:
    kernel_size = window[0]
    n, num_rows, _ = columns.shape
    c = num_rows // prod(kernel_size)
    split = columns.reshape(n, c, *kernel_size, *blocks)
    image = array_module(columns).zeros((n, c, *size), columns.dtype)
    for tap, outputs, inputs in taps(size, blocks, *window):
        image[(slice(None), slice(None), *inputs)] += split[(slice(None), slice(None), *tap, *outputs)]
    return image
