"""Normalisation to mean 0 and variance 1: by instance, group of channels or layer.

    y = (x - mean) / sqrt(var + eps) * w + b

The kinds differ in the elements that mean and variance are taken over; by batch is in `batch_normalization`.
"""

from __future__ import annotations

from math import prod

from tinytrain.device import Array, array_module
from tinytrain.dtypes import limits_of
from tinytrain.ops.activation import floats
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.batch_normalization import batch_norm, check_channels, given, move_towards, refuse_single_value
from tinytrain.ops.common import same_device
from tinytrain.recording import record
from tinytrain.tape import unbroadcast
from tinytrain.tensor import Tensor

__all__ = [
    "group_norm",
    "instance_norm",
    "layer_norm",
    "rms_norm",
]


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise every channel of every sample by its own statistics; Ulyanov et al., Instance Normalization (2016).

    Args:
        input: (n, c, *).
        running_mean: (c,) or None; moves towards the mean over the batch of the instances' means.
        running_var: (c,) or None.
        weight: (c,); None for 1.
        bias: (c,); None for 0.
        use_input_stats: False uses the running statistics, as `batch_norm` in evaluation.
        momentum: the share of the new statistics, 0 to 1.
        eps: added to the variance.

    Raises:
        ValueError: a channel of a sample has a single value.
        RuntimeError: shapes or devices do not fit together, or running statistics are missing but wanted.
    """
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    x = floats(input, "instance_norm")
    size = prod(x.shape[2:])
    if size == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {list(x.shape)}")
    check_channels("instance_norm", input, running_mean, running_var, weight, bias)
    axes = tuple(range(2, x.ndim))
    if running_mean is not None:
        move_towards(running_mean, x.mean(axis=(0, *axes)), momentum)
    if running_var is not None:
        move_towards(running_var, x.var(axis=axes).mean(axis=0) * (size / (size - 1)), momentum)
    return _normalized(input, x, axes, (1, -1, *(1,) * len(axes)), weight, bias, eps, "NativeBatchNorm")


@by_autocast
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each group of neighbouring channels of each sample; Wu and He, Group Normalization (2018).

    Args:
        input: (n, c, *).
        num_groups: divides c.
        weight: (c,); None for 1.
        bias: (c,); None for 0.
        eps: added to the variance.

    Raises:
        ValueError: a group has a single value in the whole batch.
        RuntimeError: `num_groups` does not divide the channels, or shapes or devices do not fit together.
    """
    x = floats(input, "group_norm")
    if x.ndim < 2:
        raise RuntimeError(f"group_norm: Expected at least 2 dimensions for input tensor but received {x.ndim}")
    n, c, *size = x.shape
    if num_groups <= 0 or c % num_groups:
        raise RuntimeError(
            f"group_norm: Expected number of channels in input (={c}) to be divisible by `num_groups` (={num_groups})"
        )
    refuse_single_value((n * c // num_groups, num_groups, *size))
    check_channels("group_norm", input, None, None, weight, bias)
    grouped = x.reshape(n, num_groups, c // num_groups, *size)
    axes = tuple(range(2, grouped.ndim))
    shape = (1, num_groups, c // num_groups, *(1,) * len(size))
    return _normalized(input, grouped, axes, shape, weight, bias, eps, "NativeGroupNorm")


@by_autocast
def layer_norm(
    input: Tensor,
    normalized_shape: tuple[int, ...] | list[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise over the last dimensions; Ba et al., Layer Normalization (2016).

    Args:
        input: (*, *normalized_shape).
        normalized_shape: sizes of the last dimensions.
        weight: of the shape `normalized_shape`; None for 1.
        bias: of the shape `normalized_shape`; None for 0.
        eps: added to the variance.

    Raises:
        RuntimeError: shapes or devices do not fit together.
    """
    axes = _last_axes("layer_norm", input, normalized_shape, weight, bias)
    x = floats(input, "layer_norm")
    return _normalized(input, x, axes, tuple(normalized_shape), weight, bias, eps, "NativeLayerNorm")


@by_autocast
def rms_norm(
    input: Tensor,
    normalized_shape: tuple[int, ...] | list[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Divide by the root of the mean square over the last dimensions; Zhang and Sennrich (2019).

    Args:
        input: (*, *normalized_shape).
        normalized_shape: sizes of the last dimensions.
        weight: of the shape `normalized_shape`; None for 1.
        eps: added to the mean square; None for the smallest step of the type.

    Raises:
        RuntimeError: shapes or devices do not fit together.
    """
    axes = _last_axes("rms_norm", input, normalized_shape, weight, None)
    x = floats(input, "rms_norm")
    if eps is None:
        eps = float(limits_of(x.dtype).eps)
    shape = tuple(normalized_shape)
    return _normalized(input, x, axes, shape, weight, None, eps, "FusedRmsNorm", centred=False)


def _normalized(
    input: Tensor,
    x: Array,
    axes: tuple[int, ...],
    parameter_shape: tuple[int, ...],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    name: str,
    *,
    centred: bool = True,
) -> Tensor:
    """Normalise `x`, a view of the input's array, over `axes`.

    Args:
        input: the tensor normalised.
        x: its values in a shape in which the statistics are taken over whole axes.
        axes: over which to normalise.
        parameter_shape: the shape in which weight and bias broadcast with `x`.
        weight: factor, or None.
        bias: summand, or None.
        eps: added to the variance.
        name: PyTorch's name of the op.
        centred: False leaves the mean in, and divides by the root of the mean square.
    """
    xp = array_module(x)
    dtype = xp.promote_types(x.dtype, xp.float32)
    mean = x.mean(axis=axes, dtype=dtype, keepdims=True) if centred and x.size else 0
    normal = x - mean if centred else x.astype(dtype)
    square = (normal * normal).sum(axis=axes, keepdims=True)
    count = prod(x.shape[axis] for axis in axes)
    rstd = (square / max(1, count) + eps) ** -0.5
    normal = normal * rstd
    w = None if weight is None else weight.array.reshape(parameter_shape)
    y = normal if w is None else normal * w
    if bias is not None:
        y = y + bias.array.reshape(parameter_shape)

    def rule(g: Array, needs: tuple[bool, ...]) -> list[Array | None]:
        g = g.reshape(x.shape)
        grads: list[Array | None] = [None]
        if needs[0]:
            g_normal = g if w is None else g * w
            grad = g_normal - normal * ((g_normal * normal).sum(axis=axes, keepdims=True) / max(1, count))
            if centred:
                grad -= g_normal.sum(axis=axes, dtype=dtype, keepdims=True) / max(1, count)
            grads = [(grad * rstd).astype(x.dtype, copy=False).reshape(input.array.shape)]
        if weight is not None:
            grads.append(_parameter_gradient(g * normal, weight, parameter_shape))
        if bias is not None:
            grads.append(_parameter_gradient(g, bias, parameter_shape))
        return grads

    y = y.astype(x.dtype, copy=False).reshape(input.array.shape)
    # Where there is nothing to scale or shift, the normal values that the rule reads are the result's own.
    return record(
        y,
        name,
        given(input, weight, bias),
        rule,
        saved=() if weight is None else (weight,),
        saves_output=weight is None and bias is None,
    )


def _parameter_gradient(g: Array, parameter: Tensor, shape: tuple[int, ...]) -> Array:
    """Return `g` summed to a parameter that broadcasts in `shape`."""
    array = parameter.array
    broadcast_shape = array.reshape(shape).shape
    return unbroadcast(g, broadcast_shape).reshape(array.shape).astype(array.dtype, copy=False)


def _last_axes(
    name: str,
    input: Tensor,
    normalized_shape: tuple[int, ...] | list[int],
    weight: Tensor | None,
    bias: Tensor | None,
) -> tuple[int, ...]:
    """Return the axes of `normalized_shape`, after checking it.

    Raises:
        RuntimeError: it is empty, or the shapes or devices do not fit together.
    """
    same_device(name, input, weight, bias)
    shape, ndim = tuple(normalized_shape), input.array.ndim
    if not shape:
        raise RuntimeError(f"{name}: Expected normalized_shape to be at least 1-dimensional, got {list(shape)}")
    for argument, each in (("weight", weight), ("bias", bias)):
        if each is not None and each.array.shape != shape:
            raise RuntimeError(
                f"{name}: Expected {argument} to be of same shape as normalized_shape, but got {argument} of shape "
                f"{list(each.shape)} and normalized_shape = {list(shape)}"
            )
    if input.array.shape[-len(shape) :] != shape or ndim < len(shape):
        raise RuntimeError(
            f"{name}: Given normalized_shape={list(shape)}, expected input with shape [*, "
            f"{', '.join(map(str, shape))}], but got input of size {list(input.shape)}"
        )
    return tuple(range(ndim - len(shape), ndim))
