"""Transposed convolutions over one, two or three spatial axes: what convolutions do to gradients.

    y[n, o, q * stride + t * dilation - padding] += w[c, o, t] * x[n, c, q],     over all c, q, t; plus b[o]

The sums are in `kernels`; here are PyTorch's arguments, their checks and the gradients.
"""

from __future__ import annotations

from tinytrain.device import Array
from tinytrain.kernels import kernel
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import to_tuple
from tinytrain.ops.convolution import Ints, at_least, check_bias, check_operands
from tinytrain.recording import record
from tinytrain.tensor import Tensor

__all__ = ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]


@by_autocast
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """Return the transposed convolution over one spatial axis; arguments as for `conv_transpose2d`."""
    return _convolve_transposed(
        "conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


@by_autocast
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """Return the transposed convolution: what `conv2d` with this weight does to gradients.

    Args:
        input: `(n, c, h, w)` or `(c, h, w)`.
        weight: `(c, o / groups, kh, kw)`, of the input's dtype.
        bias: `(o,)` or None.
        stride: distance of neighbouring windows in the output, in pixels.
        padding: pixels cut off each side of the output.
        output_padding: pixels added to the end of the output; less than stride or dilation.
        groups: number of groups of channels that do not see each other; divides `c`.
        dilation: distance of neighbouring kernel taps in pixels.

    Returns:
        `(n, o, oh, ow)` or `(o, oh, ow)` with
        `oh = (h - 1) * stride - 2 * padding + dilation * (kh - 1) + output_padding + 1`.

    Raises:
        RuntimeError: as for `conv2d`.
        TypeError: as for `conv2d`.
    """
    return _convolve_transposed(
        "conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


@by_autocast
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """Return the transposed convolution over three spatial axes; arguments as for `conv_transpose2d`."""
    return _convolve_transposed(
        "conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def _convolve_transposed(
    name: str,
    num_axes: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: Ints,
    output_padding: Ints,
    groups: int,
    dilation: Ints,
) -> Tensor:
    check_operands(name, num_axes, input, weight, bias, groups)
    strides = at_least(name, "stride", to_tuple(stride, num_axes, "stride"), 1)
    dilations = at_least(name, "dilation", to_tuple(dilation, num_axes, "dilation"), 1)
    paddings = at_least(name, "padding", to_tuple(padding, num_axes, "padding"), 0)
    extras = at_least(name, "output_padding", to_tuple(output_padding, num_axes, "output_padding"), 0)
    for extra, s, d in zip(extras, strides, dilations, strict=True):
        if extra >= s and extra >= d:
            raise RuntimeError(
                f"{name}: `output_padding` {list(extras)} must be smaller than `stride` {list(strides)} "
                f"or `dilation` {list(dilations)} along each axis"
            )
    c, group_outputs, *kernel_size = weight.shape
    if c == 0 or c % groups:
        raise RuntimeError(
            f"{name}: the input channels of `weight` (={c}) must be divisible by `groups` (={groups}) and not zero"
        )
    if group_outputs == 0:
        raise RuntimeError(f"{name}: `weight` must have output channels; got shape {list(weight.shape)}")
    if input.shape[-num_axes - 1] != c:
        raise RuntimeError(
            f"{name}: `weight` of shape {list(weight.shape)} expects an input with {c} channels; got shape "
            f"{list(input.shape)} with {input.shape[-num_axes - 1]} channels"
        )
    o = group_outputs * groups
    check_bias(name, bias, o)
    size = input.shape[-num_axes:]
    out_size = [
        (n - 1) * s - 2 * p + d * (k - 1) + extra + 1
        for n, s, p, d, k, extra in zip(size, strides, paddings, dilations, kernel_size, extras, strict=True)
    ]
    if min(out_size) < 1:
        raise RuntimeError(
            f"{name}: the output would have size {out_size}, which is too small; got input size {list(size)}, "
            f"kernel size {kernel_size}, `padding` {list(paddings)}"
        )

    is_batch = input.ndim == num_axes + 2
    x = input.array if is_batch else input.array[None]
    w = weight.array
    arguments = (strides, [(p, p) for p in paddings], dilations, groups)
    y = kernel("conv_input_grad", x)(x, w, (x.shape[0], o, *out_size), *arguments)
    if bias is not None:
        y = y + bias.array.astype(y.dtype, copy=False).reshape(-1, *(1,) * num_axes)
    covered = (slice(None), slice(None), *(slice(n) for n in size))

    def rule(g: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        if not is_batch:
            g = g[None]
        # An output padding as long as the stride makes room for windows that no input pixel owns.
        g_x = kernel("conv_forward", g)(g, w, *arguments)[covered] if needs[0] else None
        g_w = kernel("conv_weight_grad", g)(x, g, w.shape, *arguments) if needs[1] else None
        grads = (g_x if is_batch or g_x is None else g_x[0], g_w)
        if bias is None:
            return grads
        return *grads, kernel("conv_bias_grad", g)(g) if needs[2] else None

    operands = (input, weight) if bias is None else (input, weight, bias)
    return record(y if is_batch else y[0], "Convolution", operands, rule, saved=(input, weight))
