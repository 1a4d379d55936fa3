"""Counts of parameters and multiply-adds, layer by layer, for one image.

A multiply-add is one multiplication with its addition, in convolutions and linear layers; biases, normalisation,
activations and pooling are not counted, as in torchvision's published figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytrain import nn
from tinytrain.nn.convolution import _Convolution
from tinytrain.ops.creation import zeros
from tinytrain.tape import no_grad
from tinytrain.tensor import Tensor


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs for one image.

    Attributes:
        name: dotted name in the network.
        kind: class name.
        input: shape of the input without the batch.
        output: shape of the output without the batch.
        params: trained numbers, biases included.
        macs: multiply-adds, biases not included.
    """

    name: str
    kind: str
    input: tuple[int, ...]
    output: tuple[int, ...]
    params: int
    macs: int


def count_parameters(model: nn.Module, *, trainable: bool = False) -> int:
    """Return the number of trained numbers in a network.

    Args:
        model: the network.
        trainable: count only those that are not frozen.
    """
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable)


def count_macs(model: nn.Module, input_shape: Sequence[int]) -> int:
    """Return the multiply-adds of one image of shape (c, h, w)."""
    return sum(layer.macs for layer in layer_costs(model, input_shape))


def layer_costs(model: nn.Module, input_shape: Sequence[int]) -> list[LayerCost]:
    """Return the cost of every layer without children, in the order of their calls.

    The network runs as in `run_once`.

    Args:
        model: the network.
        input_shape: (c, h, w) of one image.
    """
    costs: list[LayerCost] = []
    names = {module: name for name, module in model.named_modules() if not any(True for _ in module.children())}

    def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor) and args and isinstance(args[0], Tensor):
            x, y = tuple(args[0].shape[1:]), tuple(output.shape[1:])
            params = sum(p.numel() for p in module.parameters())
            costs.append(LayerCost(names[module], type(module).__name__, x, y, params, _macs(module, x, y)))

    handles = [module.register_forward_hook(note) for module in names]
    try:
        run_once(model, input_shape)
    finally:
        for handle in handles:
            handle.remove()
    return costs


@no_grad
def run_once(model: nn.Module, input_shape: Sequence[int]) -> Tensor:
    """Return what a network in evaluation makes of a batch of one image of zeros; its modes are put back.

    Args:
        model: the network; its weights may come from elsewhere, so that numbers overflow without a warning.
        input_shape: (c, h, w) of one image.
    """
    modes = [(module, module.training) for module in model.modules()]
    like = next(iter(model.parameters()), None)
    try:
        model.eval()
        with np.errstate(all="ignore"):
            return model(zeros((1, *input_shape), device=None if like is None else like.device))
    finally:
        for module, mode in modes:
            module.training = mode


def _macs(module: nn.Module, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Return the multiply-adds of one layer from input to output shape."""
    if isinstance(module, _Convolution):
        per_position = math.prod(module.weight.shape[1:])
        return per_position * math.prod(x if module.is_transposed else y)
    if isinstance(module, nn.Linear):
        return module.in_features * math.prod(y)
    return 0
