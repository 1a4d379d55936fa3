"""Convolution and its two gradients, for any number of spatial axes, groups and floating or integer dtypes.

    y[n, o, q] = b[o] + sum over c, t of  w[o, c, t] * x[n, c, q * stride + t * dilation - padding]

Dense and grouped convolutions gather the windows of a piece of the batch into rows (im2col) and multiply once
with BLAS; a pointwise one multiplies the activations where they lie. Depthwise convolutions, which have one
product per number read, add up shifted products tap by tap instead. A transposed convolution is
`conv_input_grad`, and its gradients are the other two functions.

Arrays have the logical shape `(n, c, *size)` with any strides; results are channels-last in memory. Floats of
16 bits are computed in float32. `padding` is a `(before, after)` pair for each spatial axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from tinytrain.device import array_module
from tinytrain.kernels.reference.depthwise import (
    depthwise_forward,
    depthwise_input_grad,
    depthwise_weight_grad,
)
from tinytrain.kernels.reference.windows import (
    Array,
    Pairs,
    compute_form,
    inner,
    output_size,
    taps,
    to_channels_first,
    to_channels_last,
    window_view,
)
from tinytrain.kernels.steps import Steps
from tinytrain.pending import Pending, settled

# Window rows are gathered piece by piece: the piece stays in cache between the gather and the product, and
# memory stays bounded for any batch.
PIECE_BYTES = 4 << 20


def conv_forward(
    x: Array,
    w: Array,
    stride: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
    groups: int,
    b: Array | None = None,
) -> Array:
    """Return the convolution (cross-correlation) of `x` with `w`.

    Args:
        x: `(n, c, *size)`.
        w: `(o, c // groups, *kernel)`.
        stride, padding, dilation: one entry a spatial axis; padding entries are `(before, after)`.
        groups: number of channel groups; divides `c` and `o`.
        b: `(o,)` or None.

    Returns:
        `(n, o, *out_size)`, channels-last in memory.
    """
    xp = array_module(x)
    kernel = w.shape[2:]
    out_size = tuple(output_size(*axis) for axis in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True))
    x_last, w_last = compute_form(to_channels_last(x)), compute_form(w)
    y = xp.empty((x.shape[0], *out_size, w.shape[0]), x_last.dtype)
    if _is_depthwise(x.shape[1], groups):
        depthwise_forward(x_last, w_last, y, stride, padding, dilation)
    else:
        windows = window_view(_by_group(x_last, groups, padding), out_size, kernel, stride, dilation)
        matrix = _weight_matrix(w_last, groups)
        for piece in _pieces(windows):
            y_rows = y[piece].reshape(-1, groups, w.shape[0] // groups)
            xp.matmul(_rows(windows[(slice(None), *piece)]), matrix, out=y_rows.transpose(1, 0, 2))
    if b is not None:
        y += _row_of(compute_form(b), out_size[-1])
    return to_channels_first(y.astype(x.dtype, copy=False))


def conv_input_grad(
    g: Array,
    w: Array,
    x_shape: Sequence[int],
    stride: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
    groups: int,
) -> Array:
    """Return the gradient of a convolution's input; also the forward of a transposed convolution.

    Args:
        g: gradient of the output, `(n, o, *out_size)`; may hold fewer windows than fit into the input.
        w: `(o, c // groups, *kernel)`.
        x_shape: `(n, c, *size)` of the input.
        stride, padding, dilation, groups: as in `conv_forward`.

    Returns:
        `x_shape`, channels-last in memory.
    """
    xp = array_module(g)
    n, c, *size = x_shape
    out_size, kernel = g.shape[2:], w.shape[2:]
    has_one_filter_a_channel = w.shape[0] == c
    if all(s == 1 for s in stride) and (has_one_filter_a_channel or not _is_depthwise(c, groups)):
        turned_padding = _turned_padding(size, out_size, kernel, padding, dilation)
        if all(before >= 0 and after >= 0 for before, after in turned_padding):
            return conv_forward(g, _turned(w, groups), stride, turned_padding, dilation, groups)
    g_last, w_last = compute_form(to_channels_last(g)), compute_form(w)
    if _is_depthwise(c, groups):
        grad = depthwise_input_grad(g_last, w_last, (n, *size, c), stride, padding, dilation)
        return to_channels_first(grad.astype(g.dtype, copy=False))
    grad = _by_group(xp.zeros((n, *size, c), g_last.dtype), groups, padding)
    matrix = _weight_matrix(w_last, groups).transpose(0, 2, 1)
    windows = window_view(grad, out_size, kernel, stride, dilation)
    for batch, lines in _pieces(windows):
        g_piece = g_last[batch, lines]
        g_rows = g_piece.reshape(-1, groups, w.shape[0] // groups)
        rows = xp.matmul(g_rows.transpose(1, 0, 2), matrix)
        rows = rows.reshape(groups, *g_piece.shape[:-1], *kernel, c // groups)
        grad_piece = grad[:, batch, lines.start * stride[0] :]
        spatial = grad_piece.shape[2:-1], g_piece.shape[1:-1]
        for tap, outputs, inputs in taps(*spatial, kernel, stride, (0,) * len(kernel), dilation):
            grad_piece[(slice(None), slice(None), *inputs)] += rows[(slice(None), slice(None), *outputs, *tap)]
    grad = grad[(slice(None), *inner(padding, size))]
    grad = xp.ascontiguousarray(xp.moveaxis(grad, 0, -2)).reshape(n, *size, c)
    return to_channels_first(grad.astype(g.dtype, copy=False))


def conv_weight_grad(
    g: Array,
    x: Array,
    w_shape: Sequence[int],
    stride: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
    groups: int,
) -> Array:
    """Return the gradient of a convolution's weight.

    Args:
        g: gradient of the output, `(n, o, *out_size)`; may hold fewer windows than fit into the input.
        x: the input, `(n, c, *size)`.
        w_shape: `(o, c // groups, *kernel)`.
        stride, padding, dilation, groups: as in `conv_forward`.

    Returns:
        `w_shape`; partial sums are added in the order of the batch.
    """
    xp = array_module(g)
    o, group_channels, *kernel = w_shape
    out_size = g.shape[2:]
    g_last, x_last = compute_form(to_channels_last(g)), compute_form(to_channels_last(x))
    if _is_depthwise(x.shape[1], groups):
        grad = depthwise_weight_grad(g_last, x_last, w_shape, stride, padding, dilation)
        return grad.astype(g.dtype, copy=False)
    windows = window_view(_by_group(x_last, groups, padding), out_size, kernel, stride, dilation)
    num_taps = prod(kernel)
    total = xp.zeros((groups, num_taps * group_channels, o // groups), g_last.dtype)
    for piece in _pieces(windows):
        g_rows = g_last[piece].reshape(-1, groups, o // groups)
        total += xp.matmul(_rows(windows[(slice(None), *piece)]).transpose(0, 2, 1), g_rows.transpose(1, 0, 2))
    grad = total.reshape(groups, num_taps, group_channels, o // groups).transpose(0, 3, 2, 1)
    return xp.ascontiguousarray(grad.reshape(w_shape)).astype(g.dtype, copy=False)


def conv_bias_grad(g: Array) -> Array:
    """Return the gradient of a convolution's bias: `g` `(n, o, *out_size)` summed over all but the channels."""
    xp = array_module(g)
    g_last = compute_form(to_channels_last(g))
    if g_last.ndim > 3:  # long rows first: a sum over the last axes would add `o` numbers at a time
        g_last = g_last.sum(axis=tuple(range(g_last.ndim - 2)))
    return xp.asarray(g_last.reshape(-1, g.shape[1]).sum(axis=0)).astype(g.dtype, copy=False)


def convolve(x: Array, w: Array, steps: Steps, b: Array | None, with_moments: bool) -> tuple[Array, None]:
    """Return the convolution, and no moments: who wants them takes them; arguments as for `conv_forward`."""
    stride, padding, dilation, groups = steps
    return conv_forward(x, w, stride, padding, dilation, groups, b), None


def conv_gradients(
    g: Array | Pending, x: Array, w: Array, steps: Steps, needs: Sequence[bool]
) -> tuple[Array | None, ...]:
    """Return the gradients of a convolution's input, weight and bias, None where not needed.

    Args:
        g: gradient of the output, perhaps pending.
        x, w: what was convolved.
        steps: how.
        needs: whether each is wanted, two or three.
    """
    g = settled(g)
    grad_x = conv_input_grad(g, w, x.shape, *steps) if needs[0] else None
    grad_w = conv_weight_grad(g, x, w.shape, *steps) if needs[1] else None
    return (grad_x, grad_w) if len(needs) == 2 else (grad_x, grad_w, conv_bias_grad(g) if needs[2] else None)


def _is_depthwise(channels: int, groups: int) -> bool:
    return groups == channels and groups > 1


def _row_of(b: Array, width: int) -> Array:
    """Return `(o,)` repeated along a row of pixels, `(width, o)`: adding it runs in loops as long as the row."""
    xp = array_module(b)
    return xp.ascontiguousarray(xp.broadcast_to(b, (width, *b.shape)))


def _weight_matrix(w: Array, groups: int) -> Array:
    """Return `w` as one matrix a group, `(groups, taps * c // groups, o // groups)`, taps outermost."""
    o, group_channels, *kernel = w.shape
    split = w.reshape(groups, o // groups, group_channels, prod(kernel)).transpose(0, 3, 2, 1)
    return array_module(w).ascontiguousarray(split).reshape(groups, prod(kernel) * group_channels, o // groups)


def _by_group(x: Array, groups: int, padding: Pairs) -> Array:
    """Return channels-last `x` zero-padded as `(groups, n, *padded, c // groups)`; `x` itself if it can be."""
    xp = array_module(x)
    n, *size, c = x.shape
    split = xp.moveaxis(x.reshape(n, *size, groups, c // groups), -2, 0)
    if not any(before or after for before, after in padding):
        return xp.ascontiguousarray(split)
    padded_size = (s + before + after for s, (before, after) in zip(size, padding, strict=True))
    padded = xp.zeros((groups, n, *padded_size, c // groups), x.dtype)
    padded[(slice(None), *inner(padding, size))] = split
    return padded


def _rows(windows: Array) -> Array:
    """Return windows `(groups, n, *out, *kernel, c)` as rows `(groups, n * out, taps * c)`; one copy at most."""
    num_axes = (windows.ndim - 3) // 2
    split = num_axes + 2
    return windows.reshape(windows.shape[0], prod(windows.shape[1:split]), prod(windows.shape[split:]))


def _pieces(windows: Array) -> Iterator[tuple[slice, slice]]:
    """Yield (batch, first output axis) index pairs that cover all windows in pieces of bounded size."""
    n, length = windows.shape[1:3]
    if windows.flags.c_contiguous:  # pointwise: the rows are the array itself
        yield slice(0, n), slice(0, length)
        return
    line_bytes = windows.itemsize * windows.shape[0] * prod(windows.shape[3:])
    lines = max(1, PIECE_BYTES // max(1, line_bytes))
    if lines < length:
        for image in range(n):
            for start in range(0, length, lines):
                yield slice(image, image + 1), slice(start, min(length, start + lines))
    else:
        images = lines // max(1, length)
        for start in range(0, n, images):
            yield slice(start, min(n, start + images)), slice(0, length)


def _turned(w: Array, groups: int) -> Array:
    """Return the weight of the convolution that goes backwards: taps reversed, in and out channels swapped."""
    o, group_channels, *kernel = w.shape
    split = w.reshape(groups, o // groups, group_channels, *kernel).swapaxes(1, 2)
    reverse = (slice(None),) * 3 + (slice(None, None, -1),) * len(kernel)
    return split[reverse].reshape(groups * group_channels, o // groups, *kernel)


def _turned_padding(
    size: Sequence[int], out_size: Sequence[int], kernel: Sequence[int], padding: Pairs, dilation: Sequence[int]
) -> list[tuple[int, int]]:
    """Return the padding of the output's gradient that makes the turned convolution give back `size`."""
    turned = []
    for s, out, k, (before, _), d in zip(size, out_size, kernel, padding, dilation, strict=True):
        reach = d * (k - 1)
        turned.append((reach - before, s - out + before))
    return turned
