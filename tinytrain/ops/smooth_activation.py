"""Smooth activations: the sigmoid and its kin, and the exponential linear units.

Each remembers what its slope is computed from: the input, or the result where the slope is a function of it.
"""

from __future__ import annotations

import math

import numpy as np

from tinytrain.device import Array, array_module
from tinytrain.ops.activation import floats, in_place_form
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import float_operand, rounds_once, wrap_dim
from tinytrain.ops.error_function import erf_array
from tinytrain.recording import record, rewrite
from tinytrain.tensor import Tensor

__all__ = [
    "sigmoid",
    "logsigmoid",
    "silu",
    "mish",
    "gelu",
    "softplus",
    "softsign",
    "tanh",
    "tanhshrink",
    "glu",
    "elu",
    "elu_",
    "selu",
    "selu_",
    "celu",
    "celu_",
]

# Klambauer et al., Self-Normalizing Neural Networks (2017), appendix A.1.
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


@rounds_once
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return `input` where it is positive, `alpha * (exp(input) - 1)` elsewhere; Clevert et al. (2015)."""
    if inplace:
        return rewrite(input, lambda old: elu(old, alpha))
    return _elu(input, "elu", alpha)


@rounds_once
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return the self-normalising ELU: fixed `alpha` and a scale; Klambauer et al. (2017)."""
    if inplace:
        return rewrite(input, selu)
    return _elu(input, "selu", _SELU_ALPHA, _SELU_SCALE)


@rounds_once
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return `input` where it is positive, `alpha * (exp(input / alpha) - 1)` elsewhere; Barron (2017).

    Raises:
        RuntimeError: `alpha` is 0.
    """
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    if inplace:
        return rewrite(input, lambda old: celu(old, alpha))
    return _elu(input, "celu", alpha, input_scale=1 / alpha)


@rounds_once
def sigmoid(input: Tensor) -> Tensor:
    """Return `1 / (1 + exp(-input))`; integers become floats."""
    input = float_operand(input)
    y = sigmoid_array(input.array)
    return record(y, "Sigmoid", (input,), (lambda g: g * (y * (1 - y)),), saves_output=True)


@rounds_once
def logsigmoid(input: Tensor) -> Tensor:
    """Return `log(sigmoid(input))`, accurate for large negative values too."""
    x = floats(input, "logsigmoid")
    xp = array_module(x)
    y = xp.minimum(x, 0) - xp.log1p(xp.exp(-abs(x)))
    return record(y, "LogSigmoid", (input,), (lambda g: g * sigmoid_array(-x),), saved=(input,))


@rounds_once
def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return `input * sigmoid(input)`, also called swish."""
    if inplace:
        return rewrite(input, silu)
    x = floats(input, "silu")
    s = sigmoid_array(x)
    return record(x * s, "Silu", (input,), (lambda g: g * (s * (1 + x * (1 - s))),), saved=(input,))


@rounds_once
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return `input * tanh(softplus(input))`; Misra (2019)."""
    if inplace:
        return rewrite(input, mish)
    x = floats(input, "mish")
    t = array_module(x).tanh(_log1p_exp(x))

    def rule(g: Array) -> Array:
        return g * (t + x * (1 - t * t) * sigmoid_array(x))

    return record(x * t, "Mish", (input,), (rule,), saved=(input,))


@rounds_once
def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """Return `input * P(Z <= input)` for a standard normal Z; Hendrycks and Gimpel (2016).

    Args:
        input: floats of any shape.
        approximate: `none`, or `tanh` for `input / 2 * (1 + tanh(sqrt(2 / pi) (input + 0.044715 input^3)))`.

    Raises:
        RuntimeError: `approximate` is another word.
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"approximate argument must be either none or tanh; got {approximate!r}")
    x = floats(input, "gelu")
    xp = array_module(x)
    if approximate == "none":
        below = erf_array(x * math.sqrt(0.5))
        below += 1
        below *= 0.5

        def rule(g: Array) -> Array:
            return g * (below + x * xp.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi)))
    else:
        c = math.sqrt(2 / math.pi)
        t = xp.tanh(c * (x + 0.044715 * (x * x * x)))
        below = 0.5 * (1 + t)

        def rule(g: Array) -> Array:
            return g * (below + (0.5 * c) * x * (1 - t * t) * (1 + (3 * 0.044715) * (x * x)))

    return record(x * below, "Gelu", (input,), (rule,), saved=(input,))


@by_autocast
@rounds_once
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Return `log(1 + exp(beta * input)) / beta`, and `input` itself where `beta * input` exceeds `threshold`."""
    x = floats(input, "softplus")
    xp = array_module(x)
    scaled = x * beta
    is_linear = scaled > threshold
    y = xp.where(is_linear, x, _log1p_exp(scaled) / beta)
    return record(
        y,
        "Softplus",
        (input,),
        (lambda g: g * xp.where(is_linear, x.dtype.type(1), sigmoid_array(scaled)),),
    )


@rounds_once
def softsign(input: Tensor) -> Tensor:
    """Return `input / (1 + |input|)`."""
    input = float_operand(input)
    x = input.array
    below = 1 + abs(x)
    return record(x / below, "Div", (input,), (lambda g: g / (below * below),))


def tanh(input: Tensor) -> Tensor:
    """Return the hyperbolic tangent; integers become floats."""
    input = float_operand(input)
    x = input.array
    y = array_module(x).tanh(x)
    return record(y, "Tanh", (input,), (lambda g: g * (1 - y * y),), saves_output=True)


@rounds_once
def tanhshrink(input: Tensor) -> Tensor:
    """Return `input - tanh(input)`."""
    input = float_operand(input)
    x = input.array
    t = array_module(x).tanh(x)
    return record(x - t, "Sub", (input,), (lambda g: g * (t * t),))


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Return `a * sigmoid(b)` of the two halves of `input` along `dim`; Dauphin et al. (2016).

    Raises:
        RuntimeError: `input` has no dimensions, or an odd size along `dim`.
    """
    x = floats(input, "glu")
    if x.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    dim = wrap_dim(dim, x.ndim)
    if x.shape[dim] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {x.shape[dim]}")
    xp = array_module(x)
    a, b = xp.split(x, 2, axis=dim)
    s = sigmoid_array(b)

    def rule(g: Array) -> Array:
        return xp.concatenate([g * s, g * a * (s * (1 - s))], axis=dim)

    return record(a * s, "Glu", (input,), (rule,), saved=(input,))


def sigmoid_array(x: Array) -> Array:
    """Return `1 / (1 + exp(-x))` of an array of floats."""
    with np.errstate(over="ignore"):  # exp(-x) is infinite far below 0: 1 / inf is the 0 that is right there
        return 1 / (1 + array_module(x).exp(-x))


def _log1p_exp(x: Array) -> Array:
    """Return `log(1 + exp(x))` without overflow."""
    xp = array_module(x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-abs(x)))


def _elu(input: Tensor, name: str, alpha: float, scale: float = 1.0, input_scale: float = 1.0) -> Tensor:
    """Return `scale * x` above 0 and `scale * alpha * (exp(input_scale * x) - 1)` elsewhere."""
    x = floats(input, name)
    xp = array_module(x)
    curve = xp.expm1(xp.minimum(x, 0) * input_scale)
    y = scale * xp.where(x > 0, x, alpha * curve)
    bend = scale * alpha * input_scale
    return record(
        y,
        name.capitalize(),
        (input,),
        (lambda g: g * xp.where(x > 0, x.dtype.type(scale), bend * (curve + 1)),),
        saved=(input,),
    )


elu_ = in_place_form(elu)
selu_ = in_place_form(selu)
celu_ = in_place_form(celu)
