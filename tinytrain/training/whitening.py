"""First filters that make the patches of the images white: their outputs are uncorrelated and of variance 1."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tinytrain import nn
from tinytrain.device import CPU, move
from tinytrain.errors import ConfigError, did_you_mean
from tinytrain.tape import no_grad
from tinytrain.tensor import Tensor, wrap
from tinytrain.threads import one_blas_thread


@no_grad
def whiten(model: nn.Module, layer: str, batches: Iterable[Tensor], *, eps: float = 5e-4) -> None:
    """Set the filters of a convolution to the whitening of the patches that it reads, and to its negatives.

    With `C = E[p pᵀ] = Σ λ v vᵀ` over the patches p, of d values each, filter i is `v_i / sqrt(λ_i + eps)`, the largest
    λ first, and filter d + i its negative, so that a rectifier after them loses nothing. A bias becomes 0. Of the two
    signs of v_i that is taken whose largest element is above 0.

    Source: Page, "How to Train Your ResNet" (2019), part 8; Jordan (2024), arXiv:2404.00498.

    Args:
        model: the network; its layer is changed in place.
        layer: name of an `nn.Conv2d` of 2 d outputs.
        batches: images (n, c, h, w) as the layer gets them.
        eps: added to each λ.

    Raises:
        ConfigError: there is no such layer, it is no such convolution, or the images are smaller than a patch.
    """
    conv = _convolution(model, layer)
    kernel = conv.weight.shape[2:]
    size = int(np.prod(conv.weight.shape[1:]))
    total, count = np.zeros((size, size)), 0
    with one_blas_thread():
        for batch in batches:
            patches = _patches(move(batch.array, CPU), kernel, layer)
            total += patches.T @ patches
            count += len(patches)
        values, vectors = np.linalg.eigh(total / max(count, 1))
    filters = (vectors / np.sqrt(values + eps)).T[::-1]
    largest = np.take_along_axis(filters, np.abs(filters).argmax(axis=1)[:, None], axis=1)
    filters = (filters * np.sign(largest)).reshape(size, *conv.weight.shape[1:])
    conv.weight.copy_(wrap(np.concatenate([filters, -filters]).astype(conv.weight.dtype.numpy)))
    if conv.bias is not None:
        conv.bias.zero_()


def _convolution(model: nn.Module, layer: str) -> nn.Conv2d:
    modules = dict(model.named_modules())
    if layer not in modules:
        raise ConfigError(
            f"the network has no layer {layer!r}{did_you_mean(layer, list(modules))}",
            remedy=f"Parts of this network: {', '.join(name for name, _ in model.named_children())}",
        )
    conv = modules[layer]
    if not isinstance(conv, nn.Conv2d) or conv.groups != 1 or conv.dilation != (1, 1):
        raise ConfigError(f"{layer!r} must be a Conv2d without groups and dilation; got {conv}")
    size = int(np.prod(conv.weight.shape[1:]))
    if conv.out_channels != 2 * size:
        raise ConfigError(
            f"{layer!r} must have a filter and its negative for each of the {size} values of a patch, so {2 * size} "
            f"outputs; got {conv.out_channels}"
        )
    return conv


def _patches(images: np.ndarray, kernel: tuple[int, ...], layer: str) -> np.ndarray:
    """Return every patch of the images as a row, (m, c * kh * kw) float64."""
    if images.shape[2] < kernel[0] or images.shape[3] < kernel[1]:
        raise ConfigError(
            f"images of {images.shape[2]} by {images.shape[3]} pixels are smaller than the filters of {layer!r}"
        )
    windows = np.lib.stride_tricks.sliding_window_view(images, kernel, axis=(2, 3))
    rows = windows.transpose(0, 2, 3, 1, 4, 5)
    return rows.reshape(-1, int(np.prod(rows.shape[3:]))).astype(np.float64)
