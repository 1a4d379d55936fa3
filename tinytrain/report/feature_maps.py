"""What a convolution's filters look like, and what they make of an image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from PIL import Image

from tinytrain import nn
from tinytrain.device import CPU, move
from tinytrain.report.grids import INK, Tile, picture
from tinytrain.tape import no_grad
from tinytrain.tensor import Tensor

MAX_CHANNELS = 64
"""So many channels are shown."""

SIGNED, STRENGTH = "RdBu_r", "viridis"
"""Colour maps: of weights, white at 0, and of feature maps."""


def find_convolutions(model: nn.Module) -> dict[str, nn.Conv2d]:
    """Return a network's two-dimensional convolutions by name, in order."""
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}


@no_grad
def feature_maps(model: nn.Module, layer: nn.Module, image: Tensor) -> np.ndarray:
    """Return what a layer of a network makes of an image, (c, h, w).

    Args:
        model: the network; it runs in evaluation mode.
        layer: the network itself or a layer in it.
        image: (c, h, w) as the network gets it.
    """
    seen: list[np.ndarray] = []
    handle = layer.register_forward_hook(lambda module, args, output: seen.append(move(output.array, CPU)[0]))
    try:
        model.eval()(image.unsqueeze(0))
    finally:
        handle.remove()
    return np.array(seen[0])


def channel_tiles(
    layer: nn.Conv2d, maps: np.ndarray | None = None, *, image: Any = None, transform: Any = None
) -> list[Tile]:
    """Return a tile for each output channel: its filter and, where there are maps, its feature map beside it.

    Args:
        layer: the convolution.
        maps: (c, h, w) feature maps, None for the filters alone.
        image: shown first, where there is one.
        transform: that the image went through.
    """
    weight = move(layer.weight.array, CPU).astype(np.float64)
    shown = range(min(len(weight), MAX_CHANNELS))
    tiles = []
    for i in shown:
        images = [filter_picture(weight[i])]
        if maps is not None:
            images.append(map_picture(maps[i]))
        tiles.append(Tile(images, [(f"channel {i}", INK)]))
    if image is not None:
        tiles.insert(0, Tile([picture(image, transform)], [("the image", INK)]))
    return tiles


def filter_picture(weight: np.ndarray) -> Image.Image:
    """Return one filter (c, kh, kw) as an image.

    Three channels are shown in colour. Otherwise red is positive, blue negative: the channels' mean, or for a pointwise
    filter a small square for each channel.
    """
    if weight.shape[1:] == (1, 1):
        side = math.ceil(math.sqrt(len(weight)))
        values = np.zeros(side * side)
        values[: len(weight)] = weight.ravel()
        return _signed(values.reshape(side, side))
    if len(weight) == 3:
        scale = np.abs(weight).max() or 1.0
        return Image.fromarray(((weight / scale + 1) * 127.5).round().astype(np.uint8).transpose(1, 2, 0))
    return _signed(weight.mean(axis=0))


def map_picture(values: np.ndarray) -> Image.Image:
    """Return a feature map (h, w) as an image, stretched from its smallest to its largest value."""
    low, high = float(values.min()), float(values.max())
    return _coloured((values - low) / max(high - low, 1e-12), STRENGTH)


def layer_title(name: str, layer: nn.Conv2d) -> str:
    """Return a line that says what the tiles are."""
    return f"{name}: {layer} ({min(layer.out_channels, MAX_CHANNELS)} of {layer.out_channels} channels)"


def _signed(values: np.ndarray) -> Image.Image:
    return _coloured(values / (2 * (np.abs(values).max() or 1.0)) + 0.5, SIGNED)


def _coloured(values: np.ndarray, name: str) -> Image.Image:
    """Return values from 0 to 1 in the colours of a map of matplotlib's."""
    import matplotlib

    return Image.fromarray((matplotlib.colormaps[name](values)[..., :3] * 255).round().astype(np.uint8))
