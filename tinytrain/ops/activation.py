"""Activations made of straight pieces: ReLU and what bounds, bends or shrinks like it.

Masks are multiplied, not selected with `where`: NumPy multiplies seven times as fast as it selects.
"""

from __future__ import annotations

from collections.abc import Callable

from tinytrain.device import Array, array_module, choose, number_of
from tinytrain.dtypes import FLOATS
from tinytrain.generator import generator_of
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import rounds_once
from tinytrain.ops.fusion import CLIP, HARDSWISH, LEAKY, RELU, activated, on_values, pending_activation
from tinytrain.recording import record, rewrite
from tinytrain.tape import unbroadcast
from tinytrain.tensor import Tensor

__all__ = [
    "relu",
    "relu_",
    "relu6",
    "leaky_relu",
    "leaky_relu_",
    "rrelu",
    "rrelu_",
    "prelu",
    "threshold",
    "threshold_",
    "hardtanh",
    "hardtanh_",
    "hardsigmoid",
    "hardswish",
    "hardshrink",
    "softshrink",
]


@on_values(lambda x, inplace: activated(x, RELU))
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return `max(input, 0)`.

    Args:
        input: any shape; no bools.
        inplace: write the result into `input`.

    Raises:
        RuntimeError: the elements are bools.
    """
    if inplace:
        return rewrite(input, relu)
    waiting = pending_activation(input, "Relu", RELU)
    if waiting is not None:
        return waiting
    x = input.array
    if x.dtype.kind == "b":
        raise RuntimeError("Boolean inputs not supported for relu")
    y = array_module(x).maximum(x, 0)
    return record(y, "Relu", (input,), (lambda g: g * (y > 0),), saves_output=True)


@on_values(lambda x, inplace: activated(x, CLIP, 0.0, 6.0))
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Return `min(max(input, 0), 6)`."""
    return hardtanh(input, 0.0, 6.0, inplace)


@on_values(lambda x, negative_slope, inplace: activated(x, LEAKY, float(negative_slope)))
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Return `input` where it is positive, `negative_slope * input` elsewhere."""
    if inplace:
        return rewrite(input, lambda old: leaky_relu(old, negative_slope))
    slope = float(negative_slope)
    waiting = pending_activation(input, "LeakyRelu", LEAKY, slope)
    return _leaky_relu(input, slope) if waiting is None else waiting


@rounds_once
def rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """Return a leaky ReLU whose slope for each negative element is drawn from [lower, upper) in training.

    In evaluation the slope is the middle of the two. Xu et al., Empirical Evaluation of Rectified Activations in
    Convolutional Network (2015).

    Raises:
        RuntimeError: `lower` exceeds `upper`.
    """
    if lower > upper:
        raise RuntimeError(f"rrelu: `lower` (={lower}) must be at most `upper` (={upper})")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    if inplace:
        return rewrite(input, lambda old: rrelu(old, lower, upper, training))
    x = floats(input, "rrelu")
    slopes = array_module(x).ones_like(x)
    drawn = x <= 0
    draws = (number_of(drawn.sum()),)
    slopes[drawn] = generator_of(input.device).uniform(draws, "float64", lower, upper)  # PyTorch's draws
    return record(x * slopes, "RreluWithNoise", (input,), (lambda g: g * slopes,))


@by_autocast
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Return `input` where it is positive, `weight * input` elsewhere.

    Args:
        input: (n, c, *).
        weight: one slope, or one per channel (c,).

    Raises:
        RuntimeError: the number of slopes is neither 1 nor the number of channels.
    """
    x, w = floats(input, "prelu"), weight.array
    if w.dtype != x.dtype:
        raise RuntimeError(f"prelu: Type promoting not supported. Got {input.dtype.name} and {weight.dtype.name}")
    if w.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {w.ndim}")
    channels = x.shape[1] if x.ndim > 1 else 1
    if w.size != 1:
        if x.ndim == 0:
            raise RuntimeError("prelu: Not allow zero-dim input tensor with several slopes")
        if w.size != channels:
            raise RuntimeError(
                f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {w.size} and "
                f"channel size = {channels}."
            )
    shape = (-1, *(1,) * (x.ndim - 2)) if w.size != 1 and x.ndim > 1 else (w.size,) if x.ndim else ()
    slopes = w.reshape(shape)
    xp = array_module(x)
    return record(
        xp.maximum(x, 0) + slopes * xp.minimum(x, 0),
        "PreluKernel",
        (input, weight),
        (
            lambda g: choose(x > 0, g, g * slopes, g.dtype),
            lambda g: unbroadcast(g * xp.minimum(x, 0), slopes.shape).reshape(w.shape),
        ),
        saved=(input, weight),
    )


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """Return `input` where it exceeds `threshold`, `value` elsewhere."""
    if inplace:
        return rewrite(input, lambda old: _threshold(old, threshold, value))
    return _threshold(input, threshold, value)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """Return `input` limited to [min_val, max_val]; the slope is 0 at the limits themselves.

    Raises:
        ValueError: `min_val` exceeds `max_val`.
    """
    if min_val > max_val:
        raise ValueError(f"hardtanh: `min_val` (={min_val}) must be at most `max_val` (={max_val})")
    if inplace:
        return rewrite(input, lambda old: _hardtanh(old, min_val, max_val, saves_output=True))
    return _hardtanh(input, min_val, max_val, saves_output=False)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """Change `input` in place as `hardtanh` would; return it."""
    return hardtanh(input, min_val, max_val, inplace=True)


@rounds_once
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Return `min(max(input + 3, 0), 6) / 6`."""
    if inplace:
        return rewrite(input, hardsigmoid)
    x = floats(input, "hardsigmoid")
    y = array_module(x).clip(x + 3, 0, 6) / 6
    return record(y, "Hardsigmoid", (input,), (lambda g: g * ((x > -3) & (x < 3)) / 6,), saved=(input,))


@on_values(lambda x, inplace: activated(x, HARDSWISH))
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return `input * hardsigmoid(input)`; Howard et al., Searching for MobileNetV3 (2019), section 5.2."""
    if inplace:
        return rewrite(input, hardswish)
    waiting = pending_activation(input, "Hardswish", HARDSWISH)
    return _hardswish(input) if waiting is None else waiting


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Return `input` where it lies outside [-lambd, lambd], 0 elsewhere."""
    x = floats(input, "hardshrink")
    inside = (x >= -lambd) & (x <= lambd)
    y = choose(inside, x.dtype.type(0), x, x.dtype)
    return record(y, "Hardshrink", (input,), (lambda g: g * ~inside,))


@rounds_once
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Return `input` moved by `lambd` towards 0, and 0 where it would cross.

    Raises:
        RuntimeError: `lambd` is negative.
    """
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    x = floats(input, "softshrink")
    y = x - array_module(x).clip(x, -lambd, lambd)
    return record(y, "Softshrink", (input,), (lambda g: g * ~((x >= -lambd) & (x <= lambd)),), saved=(input,))


def floats(input: Tensor, name: str) -> Array:
    """Return the array of a tensor of floats.

    Raises:
        NotImplementedError: the elements are no floats.
    """
    x = input.array
    if x.dtype.kind not in FLOATS:
        raise NotImplementedError(
            f'"{name}" not implemented for {input.dtype.name}: it takes floats. Convert with .float()'
        )
    return x


def in_place_form(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the form of an activation that writes its result into the input."""

    def method(input: Tensor, *args: float, **options: float) -> Tensor:
        return rewrite(input, lambda old: function(old, *args, **options))

    method.__name__ = method.__qualname__ = f"{function.__name__}_"
    method.__doc__ = f"Change `input` in place as `{function.__name__}` would; return it."
    return method


@rounds_once
def _leaky_relu(input: Tensor, slope: float) -> Tensor:
    x = floats(input, "leaky_relu")
    xp = array_module(x)
    y = xp.maximum(x, x * slope) if slope <= 1 else xp.minimum(x, x * slope)
    return record(
        y, "LeakyRelu", (input,), (lambda g: g * ((x > 0) * x.dtype.type(1 - slope) + slope),), saved=(input,)
    )


def _hardtanh(input: Tensor, min_val: float, max_val: float, saves_output: bool) -> Tensor:
    """Return `hardtanh`; its rule reads the result, where the input is not kept, or else the input."""
    waiting = pending_activation(input, "Hardtanh", CLIP, min_val, max_val)
    if waiting is not None:
        return waiting
    x = input.array
    if x.dtype.kind == "b":
        raise RuntimeError("Bool inputs not supported for hardtanh")
    low, high = x.dtype.type(min_val), x.dtype.type(max_val)
    y = array_module(x).clip(x, low, high).astype(x.dtype, copy=False)  # that of a bfloat16 is a float32
    kept = y if saves_output else x
    saved = () if saves_output else (input,)
    rules = (lambda g: g * ((kept > low) & (kept < high)),)
    return record(y, "Hardtanh", (input,), rules, saved=saved, saves_output=saves_output)


@rounds_once
def _hardswish(input: Tensor) -> Tensor:
    x = floats(input, "hardswish")
    xp = array_module(x)

    def rule(g: Array) -> Array:
        return g * ((x >= 3) + (x / 3 + x.dtype.type(0.5)) * ((x > -3) & (x < 3)))

    return record(x * xp.clip(x + 3, 0, 6) / 6, "Hardswish", (input,), (rule,), saved=(input,))


def _threshold(input: Tensor, limit: float, value: float) -> Tensor:
    x = input.array
    above = ~(x <= limit)  # a NaN passes
    y = choose(above, x, x.dtype.type(value), x.dtype)
    return record(y, "Threshold", (input,), (lambda g: g * above,))


relu_ = in_place_form(relu)
leaky_relu_ = in_place_form(leaky_relu)
rrelu_ = in_place_form(rrelu)
threshold_ = in_place_form(threshold)
