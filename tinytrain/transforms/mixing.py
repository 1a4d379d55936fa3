"""Mixing the images of a batch, and their labels with them: MixUp and CutMix.

Sources: Zhang et al., "mixup: Beyond Empirical Risk Minimization" (ICLR 2018); Yun et al., "CutMix" (ICCV 2019).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytrain.device import Array, array_module
from tinytrain.random_streams import current_stream
from tinytrain.tensor import Tensor, wrap
from tinytrain.transforms.base import Transform


class _Mix(Transform):
    """Mixes each image of a batch with the one before it.

    Args:
        alpha: both parameters of the beta distribution that the share is drawn from, above 0.
        num_classes: length of the mixed labels; needed for labels that are class numbers.
    """

    def __init__(self, *, alpha: float = 1.0, num_classes: int | None = None):
        if alpha <= 0:
            raise ValueError(f"{type(self).__name__}: `alpha` (={alpha}) must be above 0")
        self.alpha, self.num_classes = float(alpha), num_classes

    def __call__(self, *inputs: Any) -> Any:
        """Mix a batch.

        Args:
            inputs: images (n, c, h, w) floating and labels (n,) or (n, num_classes); or one pair of them.

        Returns:
            Images of the same shape and labels (n, num_classes), each row a distribution, as a pair.

        Raises:
            ValueError: shapes that do not go together, or class numbers without `num_classes`.
        """
        images, labels = inputs if len(inputs) > 1 else inputs[0]
        self._check(images, labels)
        share, mixed = self.mix(images.array)
        return wrap(mixed), wrap(self._mix_labels(labels.array, share))

    def mix(self, images: Array) -> tuple[float, Array]:
        """Return (the share that each image keeps of itself, mixed images)."""
        raise NotImplementedError

    def draw_share(self) -> float:
        """Draw the share that an image keeps, from 0 to 1."""
        return float(current_stream().generator().beta(self.alpha, self.alpha))

    def _check(self, images: Any, labels: Any) -> None:
        name = type(self).__name__
        if not isinstance(images, Tensor):
            raise ValueError(f"{name}() mixes a batch of tensors, but got {type(images)}; it belongs after collation.")
        if not isinstance(labels, Tensor):
            raise ValueError(f"The labels must be a tensor, but got {type(labels)} instead.")
        if labels.ndim not in (1, 2):
            raise ValueError(
                "labels should be index based with shape (batch_size,) or probability based with shape "
                f"(batch_size, num_classes), but got a tensor of shape {labels.shape} instead."
            )
        if labels.ndim == 2 and self.num_classes not in (None, labels.shape[-1]):
            raise ValueError(
                "When passing 2D labels, the number of elements in last dimension must match num_classes: "
                f"{labels.shape[-1]} != {self.num_classes}. You can Leave num_classes to None."
            )
        if labels.ndim == 1 and self.num_classes is None:
            raise ValueError("num_classes must be passed if the labels are index-based (1D)")
        if images.ndim != 4:
            raise ValueError(f"Expected a batched input with 4 dims, but got {images.ndim} dimensions instead.")
        if len(images) != len(labels):
            raise ValueError(
                "The batch size of the image or video does not match the batch size of the labels: "
                f"{len(images)} != {len(labels)}."
            )

    def _mix_labels(self, labels: Array, share: float) -> Array:
        xp = array_module(labels)
        if labels.ndim == 1:
            labels = labels[:, None] == xp.arange(self.num_classes)
        if labels.dtype.kind != "f":
            labels = labels.astype(np.float32)
        return _blend(labels, share)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(alpha={self.alpha}, num_classes={self.num_classes})"


class MixUp(_Mix):
    """Return `share * image + (1 - share) * the image before it`, and the labels likewise.

    Args:
        alpha: both parameters of the beta distribution of the share, above 0.
        num_classes: length of the mixed labels; needed for labels that are class numbers.
    """

    def mix(self, images: Array) -> tuple[float, Array]:
        share = self.draw_share()
        return share, _blend(images, share)


class CutMix(_Mix):
    """Put a box of the image before it into each image; the labels are mixed by area.

    Args:
        alpha: both parameters of the beta distribution of the share of the area kept, above 0.
        num_classes: length of the mixed labels; needed for labels that are class numbers.
    """

    def mix(self, images: Array) -> tuple[float, Array]:
        height, width = images.shape[-2:]
        left, top, right, bottom = self.draw_box(height, width)
        mixed = images.copy(order="K")
        mixed[..., top:bottom, left:right] = array_module(images).roll(images[..., top:bottom, left:right], 1, axis=0)
        return 1.0 - (right - left) * (bottom - top) / (width * height), mixed

    def draw_box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Draw (left, top, right, bottom): of the area that the share leaves, around a random place, cut off."""
        share = self.draw_share()
        stream = current_stream()
        x, y = stream.integers(0, width), stream.integers(0, height)
        half = 0.5 * math.sqrt(1.0 - share)
        half_w, half_h = int(half * width), int(half * height)
        return max(x - half_w, 0), max(y - half_h, 0), min(x + half_w, width), min(y + half_h, height)


def _blend(values: Array, share: float) -> Array:
    return array_module(values).roll(values, 1, axis=0) * (1.0 - share) + values * share
