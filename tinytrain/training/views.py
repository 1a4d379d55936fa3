"""Test-time augmentation: each image judged by the mean of what a network makes of several views of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from tinytrain import nn
from tinytrain.device import Array, array_module
from tinytrain.errors import ConfigError
from tinytrain.ops.joining import stack
from tinytrain.ops.softmax import softmax
from tinytrain.random_streams import BatchStream
from tinytrain.tensor import Tensor
from tinytrain.transforms import CenterCrop, Compose, FiveCrop, TenCrop
from tinytrain.transforms import functional as F

Augmentation = Literal["flip", "five_crop", "ten_crop"]
"""`flip`: the image and its mirror image; the others: the crops of `FiveCrop` and `TenCrop`."""


class Views:
    """An evaluation pipeline that gives several views of an image, (v, c, h, w).

    Args:
        pipeline: from an image to a tensor (c, h, w).
        augmentation: which views. Crops take the place and the size of the pipeline's `CenterCrop`.

    Raises:
        ConfigError: crops are asked for and the pipeline has no `CenterCrop`.
    """

    def __init__(self, pipeline: Compose, augmentation: Augmentation):
        steps: Sequence[Callable[[Any], Any]] = pipeline.transforms
        self._split: Callable[[Any], Any]
        if augmentation == "flip":
            self._before, self._split, self._after = pipeline, _with_mirror_image, Compose([])
            return
        places = [i for i, step in enumerate(steps) if isinstance(step, CenterCrop)]
        if not places:
            raise ConfigError(
                f"{augmentation} needs a CenterCrop among the evaluation transforms, there are {len(steps)} others",
                remedy="Use flip",
            )
        place = places[-1]
        crops = FiveCrop if augmentation == "five_crop" else TenCrop
        self._split = crops(steps[place].size)  # type: ignore[attr-defined]  # it is a CenterCrop
        self._before, self._after = Compose(steps[:place]), Compose(steps[place + 1 :])

    def __call__(self, image: Any) -> Tensor:
        """Return the views of an image."""
        return stack([self._after(view) for view in self._split(self._before(image))])

    @property
    def has_batch(self) -> bool:
        """Whether `batch` can be used; as of `transforms/batch.py`."""
        return self._split is _with_mirror_image and self._before.has_batch

    def batch(self, images: Array, rows: np.ndarray, streams: BatchStream) -> Array:
        """Return the views of some of many images, (n, v, c, h, w)."""
        plain = self._before.batch(images, rows, streams)
        return array_module(plain).stack([plain, plain[..., ::-1]], axis=1)


class MeanOfViews(nn.Module):
    """A classifier of several views of each image; its logits are the logarithms of the mean probabilities.

    Args:
        model: gives logits (n, classes) of images (n, c, h, w).
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (n, classes) of views (n, v, c, h, w)."""
        n, v = input.shape[:2]
        probabilities = softmax(self.model(input.flatten(0, 1)), dim=1)
        return probabilities.reshape(n, v, -1).mean(dim=1).log()


def _with_mirror_image(image: Tensor) -> tuple[Tensor, Tensor]:
    return image, F.hflip(image)
