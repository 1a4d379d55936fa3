"""Modules in a row that are computed as one operation: a convolution, its normalisation by the batch, an activation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinytrain.nn.activation import Hardswish, LeakyReLU, ReLU, ReLU6
from tinytrain.nn.convolution import Conv2d
from tinytrain.nn.module import Module
from tinytrain.nn.normalization import BatchNorm2d
from tinytrain.nn.stateless import Stateless
from tinytrain.ops.fusion import CLIP, HARDSWISH, LEAKY, RELU
from tinytrain.ops.normalized_convolution import Activated, normalized_convolution
from tinytrain.recording import count_up
from tinytrain.tensor import Tensor

_NONE = Activated("NativeBatchNorm")
_ACTIVATED: dict[type[Module], Callable[[Any], Activated]] = {
    ReLU: lambda module: Activated("Relu", RELU),
    ReLU6: lambda module: Activated("Hardtanh", CLIP, 0.0, 6.0),
    LeakyReLU: lambda module: Activated("LeakyRelu", LEAKY, float(module.negative_slope)),
    Hardswish: lambda module: Activated("Hardswish", HARDSWISH),
}
_CALL = Module.__call__
_FORWARDS: dict[type[Module], Any] = {
    Conv2d: Conv2d.forward,
    BatchNorm2d: BatchNorm2d.forward,
    **dict.fromkeys(_ACTIVATED, Stateless.forward),
}


def passed_together(modules: Sequence[Module], at: int, input: Any) -> tuple[Tensor, int] | None:
    """Return what the modules from `at` on make of `input` in one, and where the next one is.

    None where the first is called by itself: it begins no such group, or somebody looks at what passes, has put another
    `forward` over a module, computes its parameters or wants an average over all batches.
    """
    convolution = modules[at]
    if type(convolution) is not Conv2d or at + 1 == len(modules) or not isinstance(input, Tensor):
        return None
    norm = modules[at + 1]
    if type(norm) is not BatchNorm2d or not norm.training or not (_is_usual(convolution) and _is_usual(norm)):
        return None
    own, norms, statistics = convolution._parameters, norm._parameters, norm._buffers
    weight = own.get("weight")
    if weight is None or own.get("bias", weight) is not None or "weight" not in norms or "bias" not in norms:
        return None
    if convolution.padding_mode != "zeros" or norm.momentum is None:
        return None
    tracked = norm.track_running_stats
    activated, end = _NONE, at + 2
    if end < len(modules) and type(modules[end]) in _ACTIVATED and _is_usual(modules[end]):
        activated, end = _ACTIVATED[type(modules[end])](modules[end]), end + 1
    result = normalized_convolution(
        input,
        weight,
        (convolution.stride, convolution.padding, convolution.dilation, convolution.groups),
        statistics.get("running_mean") if tracked else None,
        statistics.get("running_var") if tracked else None,
        norms["weight"],
        norms["bias"],
        norm.momentum,
        norm.eps,
        activated,
    )
    if result is None:
        return None
    count = statistics.get("num_batches_tracked") if tracked else None
    if count is not None:
        count_up(count)
    return result, end


def _is_usual(module: Module) -> bool:
    """Whether calling a module is calling the `forward` of its class, and nothing else."""
    kind: Any = type(module)
    return calls_forward_alone(module) and kind.forward is _FORWARDS[kind] and "forward" not in module.__dict__


def calls_forward_alone(module: Module) -> bool:
    """Whether calling a module is calling its `forward`, with nobody looking."""
    return not module._hooks and type(module).__call__ is _CALL
