"""Convolutions over one, two or three spatial axes.

    y[n, o, q] = b[o] + sum over c, t of  w[o, c, t] * x[n, c, q * stride + t * dilation - padding]

The sums are in `kernels`; here are PyTorch's arguments, their checks and the gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinytrain.device import Array
from tinytrain.dtypes import is_low
from tinytrain.kernels import find_kernel, kernel
from tinytrain.kernels.steps import Steps
from tinytrain.ops.autocasting import is_any_autocast_enabled, run_by_autocast
from tinytrain.ops.checked import Checked, written
from tinytrain.ops.common import rounds_once, same_device, to_tuple
from tinytrain.pending import Pending
from tinytrain.recording import record
from tinytrain.tape import is_grad_enabled
from tinytrain.tensor import Tensor

__all__ = ["conv1d", "conv2d", "conv3d"]

Ints = int | Sequence[int]
Pairs = list[tuple[int, int]]
Options = tuple[Any, Any, Any, Any]
"""Stride, padding, dilation and groups as somebody has given them."""


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Return the convolution of `input` with `weight` over one spatial axis; arguments as for `conv2d`."""
    return _convolve(input, "conv1d", 1, weight, bias, (stride, padding, dilation, groups))


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Return the convolution (cross-correlation) of `input` with `weight` over two spatial axes.

    Args:
        input: `(n, c, h, w)` or `(c, h, w)`.
        weight: `(o, c / groups, kh, kw)`, of the input's dtype.
        bias: `(o,)` or None.
        stride: distance of neighbouring windows in pixels; an int or one an axis.
        padding: zeros on each side in pixels, an int or one an axis; `"valid"` for none; `"same"` for as many as
            keep the size (stride 1 only; an odd one goes to the end).
        dilation: distance of neighbouring kernel taps in pixels; an int or one an axis.
        groups: number of groups of channels that do not see each other; divides `c` and `o`.

    Returns:
        `(n, o, oh, ow)` or `(o, oh, ow)` with
        `oh = (h + 2 * padding - dilation * (kh - 1) - 1) // stride + 1`.

    Raises:
        RuntimeError: shapes, dtypes or devices do not go together, or an argument is out of range; the message
            names argument and value.
        TypeError: an argument is of another kind.
    """
    return _convolve(input, "conv2d", 2, weight, bias, (stride, padding, dilation, groups))


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Return the convolution of `input` with `weight` over three spatial axes; arguments as for `conv2d`."""
    return _convolve(input, "conv3d", 3, weight, bias, (stride, padding, dilation, groups))


class Plan(NamedTuple):
    """How a convolution of such operands is computed.

    Args:
        steps: how it goes over its input.
        convolve, gradients: the kernels `convolve` and `conv_gradients`.
    """

    steps: Steps
    convolve: Callable[..., Any]
    gradients: Callable[..., Any]


def _convolve(input: Tensor, name: str, num_axes: int, weight: Tensor, bias: Tensor | None, options: Options) -> Tensor:
    if is_any_autocast_enabled():
        return run_by_autocast(_convolve_as_given, name, (input, name, num_axes, weight, bias, options))
    return _convolve_as_given(input, name, num_axes, weight, bias, options)


def _convolve_as_given(
    input: Tensor, name: str, num_axes: int, weight: Tensor, bias: Tensor | None, options: Options
) -> Tensor:
    plan = _plan_of(input, name, num_axes, weight, bias, options)
    if plan is None:
        return _step_aside(input, name, num_axes, weight, bias, options)
    steps, convolve, gradients = plan
    x, w = input.value, weight.array
    # A convolution without bias is nearly always followed by a normalisation.
    y, moments = convolve(x, w, steps, None if bias is None else bias.array, bias is None and is_grad_enabled())

    def rule(g: Array | Pending, needs: tuple[bool, ...]) -> Sequence[Array | Pending | None]:
        return gradients(g, x, w, steps, needs)

    read = (input, weight)
    result = record(y, "Convolution", read if bias is None else (*read, bias), rule, saved=read, takes_pending=True)
    result._moments = moments
    return result


def convolved(x: Array | Pending, weight: Tensor, bias: Tensor | None, options: Options) -> Array | None:
    """Return the values of `conv2d` of a batch's; None where such operands have not passed its checks before."""
    w, b = weight.array, None if bias is None else bias.array
    plan = known_plan("conv2d", x, w, b, options)
    return None if plan is None else plan.convolve(x, w, plan.steps, b, False)[0]


def known_plan(name: str, x: Array | Pending, w: Array, b: Array | None, options: Options) -> Plan | None:
    """Return how a convolution is computed where one of such operands has passed all checks."""
    return _checked.get(_key_of(name, x, w, b, options))


def _plan_of(input: Any, name: str, num_axes: int, weight: Any, bias: Any, options: Options) -> Plan | None:
    """Return how a convolution is computed whose operands fit together, None where it first needs other operands."""
    key = None
    if isinstance(input, Tensor) and isinstance(weight, Tensor) and (bias is None or isinstance(bias, Tensor)):
        key = _key_of(name, input.value, weight.value, None if bias is None else bias.value, options)
        found: Plan | None = _checked.get(key)
        if found is not None:
            return found
    steps = _check_arguments(name, num_axes, input, weight, bias, *options)
    x, w = input.value, weight.array
    if len(x.shape) == num_axes + 1 or (is_low(w.dtype) and isinstance(w, np.ndarray)):
        return None
    return _checked.keep(key, Plan(steps, kernel("convolve", x), kernel("conv_gradients", x)))


def _step_aside(
    input: Tensor, name: str, num_axes: int, weight: Tensor, bias: Tensor | None, options: Options
) -> Tensor:
    """Return a convolution by one of other operands: with a batch of one, or in float32."""
    if input.ndim == num_axes + 1:
        return _convolve_as_given(input.unsqueeze(0), name, num_axes, weight, bias, options).squeeze(0)
    return _wide_convolve(input, name, num_axes, weight, bias, options)


_wide_convolve = rounds_once(_convolve_as_given)
"""Convolutions of floats of 16 bits on the CPU, whose fast kernels are for float32."""

_checked = Checked()


def _key_of(name: str, x: Array | Pending, w: Array, b: Array | None, options: Options) -> tuple[Any, ...] | None:
    """Return what decides how a convolution is computed, and whether it can be; None where that cannot be told."""
    kind = x.__class__
    place = kind if kind is np.ndarray or not isinstance(x, Pending) else x.device_array.__class__
    if w.__class__ is not np.ndarray or place is not np.ndarray:
        return None  # one GPU is not another
    given = written(options)
    if given is None:
        return None
    known = (name, given, find_kernel("convolve", x), kind, x.shape, x.dtype, w.shape, w.dtype)
    return known if b is None else (*known, b.__class__, b.shape, b.dtype)


def _check_arguments(
    name: str,
    num_axes: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: Ints | str,
    dilation: Ints,
    groups: int,
) -> Steps:
    check_operands(name, num_axes, input, weight, bias, groups)
    strides = at_least(name, "stride", to_tuple(stride, num_axes, "stride"), 1)
    dilations = at_least(name, "dilation", to_tuple(dilation, num_axes, "dilation"), 1)
    o, group_channels, *kernel_size = weight.shape
    if o == 0 or o % groups:
        raise RuntimeError(
            f"{name}: the output channels of `weight` (={o}) must be divisible by `groups` (={groups}) and not zero"
        )
    c = input.shape[-num_axes - 1]
    if c != group_channels * groups:
        raise RuntimeError(
            f"{name}: `weight` of shape {list(weight.shape)} with `groups` (={groups}) expects an input with "
            f"{group_channels * groups} channels; got shape {list(input.shape)} with {c} channels"
        )
    check_bias(name, bias, o)
    pairs = _padding_pairs(name, padding, strides, dilations, kernel_size)
    size = input.shape[-num_axes:]
    for s, (before, after), k, d in zip(size, pairs, kernel_size, dilations, strict=True):
        if s + before + after < d * (k - 1) + 1:
            raise RuntimeError(
                f"{name}: the kernel must not be larger than the padded input; got kernel size {kernel_size} with "
                f"`dilation` {list(dilations)} and input size {list(size)} with `padding` {padding!r}"
            )
    return Steps((strides, tuple(pairs), dilations, groups))


def check_operands(name: str, num_axes: int, input: Any, weight: Any, bias: Any, groups: Any) -> None:
    """Check what an operation of this name is given besides sizes and steps, as `conv2d` says."""
    for argument, value in (("input", input), ("weight", weight), ("bias", bias)):
        if not isinstance(value, Tensor) and not (argument == "bias" and value is None):
            raise TypeError(f"{name}: `{argument}` must be a Tensor; got {type(value).__name__}")
    if isinstance(groups, bool) or not isinstance(groups, int):
        raise TypeError(f"{name}: `groups` must be an int; got {groups!r}")
    if groups < 1:
        raise RuntimeError(f"{name}: `groups` (={groups}) must be positive")
    if weight.ndim != num_axes + 2:
        raise RuntimeError(f"{name}: `weight` must have {num_axes + 2} dimensions; got shape {list(weight.shape)}")
    if input.ndim not in (num_axes + 1, num_axes + 2):
        raise RuntimeError(
            f"{name}: `input` must have {num_axes + 1} dimensions, or {num_axes + 2} with a batch; "
            f"got shape {list(input.shape)}"
        )
    if 0 in input.shape[-num_axes:] and 0 not in input.shape[:-num_axes]:
        raise RuntimeError(f"{name}: only batch and channels may be empty; got an input of shape {list(input.shape)}")
    if 0 in weight.shape[2:]:
        raise RuntimeError(f"{name}: the kernel must not be empty; got `weight` of shape {list(weight.shape)}")
    same_device(name, input, weight, bias)
    for argument, value in (("weight", weight), ("bias", bias)):
        if value is not None and value.dtype is not input.dtype:
            raise RuntimeError(
                f"{name}: `input` and `{argument}` must have the same dtype; got {input.dtype} and {value.dtype}"
            )
    if input.dtype.kind == 0:
        raise NotImplementedError(f"{name} is not defined for bool tensors; convert them with .float()")


def check_bias(name: str, bias: Tensor | None, o: int) -> None:
    """Raise a RuntimeError where a bias has not one value for each of `o` output channels."""
    if bias is not None and tuple(bias.shape) != (o,):
        raise RuntimeError(
            f"{name}: `bias` must have one value for each of the {o} output channels; got shape {list(bias.shape)}"
        )


def at_least(name: str, argument: str, values: tuple[int, ...], lowest: int) -> tuple[int, ...]:
    """Return the values of an argument, none of which is below `lowest`; else raise a RuntimeError."""
    if min(values) < lowest:
        must = "be positive" if lowest else "not be negative"
        raise RuntimeError(f"{name}: `{argument}` (={values[0] if len(set(values)) == 1 else values}) must {must}")
    return values


def _padding_pairs(
    name: str, padding: Ints | str, stride: Sequence[int], dilation: Sequence[int], kernel_size: Sequence[int]
) -> Pairs:
    """Return the zeros before and after each axis."""
    if not isinstance(padding, str):
        return [(p, p) for p in at_least(name, "padding", to_tuple(padding, len(stride), "padding"), 0)]
    if padding == "valid":
        return [(0, 0)] * len(stride)
    if padding != "same":
        raise RuntimeError(f"{name}: `padding` must be an int, a tuple of ints, 'same' or 'valid'; got {padding!r}")
    if any(s != 1 for s in stride):
        raise RuntimeError(f"{name}: `padding` 'same' needs `stride` 1; got {tuple(stride)}")
    totals = [d * (k - 1) for d, k in zip(dilation, kernel_size, strict=True)]
    return [(total // 2, total - total // 2) for total in totals]
