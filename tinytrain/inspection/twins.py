"""A network's convolutions, each beside the build that it could have had: standard against depthwise-separable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tinytrain import nn
from tinytrain.inspection.convolution import Convolution, Cost
from tinytrain.inspection.cost import LayerCost, layer_costs

IMAGE_CHANNELS = 3
"""So few channels leave nothing to separate: a first convolution is standard in both builds."""

NORMALISATIONS = ("BatchNorm2d", "GroupNorm", "InstanceNorm2d")
"""Layers that a separable build has after both of its convolutions."""


@dataclass(frozen=True)
class Block:
    """One or two layers in a row that have a twin, or one that is the same in both builds.

    Attributes:
        names: of the layers, dotted.
        kind: `standard`, `separable`, or the class name of a layer without a twin.
        output: shape without the batch.
        standard: cost of the standard build, convolutions by their own count; None where there is none.
        separable: cost of the separable build.
        convolutions: what is there: one standard, or a depthwise and a pointwise one; empty for other layers.
        twin: the convolutions of the other build; empty where it is the same.
    """

    names: tuple[str, ...]
    kind: str
    output: tuple[int, ...]
    standard: tuple[int, int]
    separable: tuple[int, int]
    convolutions: tuple[Convolution, ...] = ()
    twin: tuple[Convolution, ...] = ()

    @property
    def own(self) -> tuple[int, int]:
        """The (parameters, multiply-adds) of the build that the network has."""
        return self.standard if self.kind == "standard" else self.separable


def blocks_of(model: nn.Module, input_shape: Sequence[int]) -> list[Block]:
    """Return a network's layers in the order of their calls, each with the (parameters, multiply-adds) of both builds.

    A depthwise convolution and the pointwise one after it are one block, whose standard build has the kernel, stride
    and padding of the depthwise and the channels of the pointwise one. A normalisation between the two is there in the
    separable build only, so that one is added to the twin of a standard convolution that has one behind it.

    Args:
        model: the network; it runs once.
        input_shape: (c, h, w) of an image.
    """
    modules = dict(model.named_modules())
    layers = [layer for layer in layer_costs(model, input_shape) if layer.params or layer.macs]
    found = [_convolution(modules[layer.name], layer) for layer in layers]
    blocks, i = [], 0
    while i < len(layers):
        partner = _pointwise_after(layers, found, i)
        if partner is None:
            blocks.append(_alone(layers[i], found[i], layers[i + 1] if i + 1 < len(layers) else None))
            i += 1
        else:
            blocks.append(_pair(layers[i], layers[partner], found[i], found[partner]))  # type: ignore[arg-type]
            blocks += [replace(_alone(layer, None), standard=(0, 0)) for layer in layers[i + 1 : partner]]
            i = partner + 1
    return blocks


def _convolution(module: nn.Module, layer: LayerCost) -> Convolution | None:
    return Convolution.of(module, layer.input[1:]) if type(module) is nn.Conv2d else None


def _pointwise_after(layers: Sequence[LayerCost], found: Sequence[Convolution | None], i: int) -> int | None:
    """Return the position of the pointwise convolution that makes a pair with a depthwise one at `i`, or None.

    Only layers that are no convolution and keep the shape may lie between.
    """
    depthwise = found[i]
    if depthwise is None or not depthwise.is_depthwise() or depthwise.kernel_size == (1, 1):
        return None
    for j in range(i + 1, len(layers)):
        after = found[j]
        if after is not None:
            is_pointwise = after.kernel_size == (1, 1) and after.groups == 1 and after.stride == (1, 1)
            return j if is_pointwise and after.input == depthwise.output else None
        if layers[j].output != depthwise.output:
            return None
    return None


def _alone(layer: LayerCost, convolution: Convolution | None, after: LayerCost | None = None) -> Block:
    own = (layer.params, layer.macs)
    is_standard = (
        convolution is not None
        and convolution.groups == 1
        and convolution.kernel_size != (1, 1)
        and convolution.in_channels > IMAGE_CHANNELS
    )
    if convolution is None or not is_standard:
        kept = () if convolution is None else (convolution,)
        return Block((layer.name,), layer.kind, layer.output, own, own, kept)
    twin = convolution.separable()
    cost = Cost.of(*twin)
    params = cost.params
    if after is not None and after.kind in NORMALISATIONS:
        params += after.params * convolution.in_channels // convolution.out_channels
    return Block((layer.name,), "standard", layer.output, own, (params, cost.macs), (convolution,), twin)


def _pair(first: LayerCost, second: LayerCost, depthwise: Convolution, pointwise: Convolution) -> Block:
    standard = replace(depthwise, out_channels=pointwise.out_channels, groups=1, bias=pointwise.bias)
    own = (first.params + second.params, first.macs + second.macs)
    return Block(
        (first.name, second.name),
        "separable",
        second.output,
        (standard.params, standard.macs),
        own,
        (depthwise, pointwise),
        (standard,),
    )
