"""The usual end of a photo pipeline in one pass: resize, cut out the middle, mirror, hand over the pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from tinytrain.random_streams import current_stream
from tinytrain.tensor import Tensor, wrap
from tinytrain.transforms import functional as F
from tinytrain.transforms.base import Transform
from tinytrain.transforms.cropping import CenterCrop, RandomResizedCrop
from tinytrain.transforms.functional.conversion import channels_first, image_values
from tinytrain.transforms.functional.geometry import center_corner, resized_size
from tinytrain.transforms.functional.images import as_list
from tinytrain.transforms.functional.windows import Box, resize_window
from tinytrain.transforms.geometry import RandomHorizontalFlip, Resize

Step = Callable[[Any], Any]


class Pixels(Transform):
    """Convert a Pillow image or an array (h, w, c) to a tensor (c, h, w) as ToTensor does, but for the scale."""

    takes, gives = "pil", "tensor"

    def __call__(self, pic: Image.Image | np.ndarray) -> Tensor:
        return wrap(channels_first(image_values(pic)))


class ResizedPixels(Transform):
    """Do what a resize, a crop of the middle, flips and `Pixels` do one after the other, drawing in the same order.

    Args:
        resize: how the image gets its size.
        crop: the part of it that stays, None for all.
        flips: mirror it, each with its probability.
    """

    takes, gives = "pil", "tensor"

    def __init__(
        self, resize: RandomResizedCrop | Resize, crop: CenterCrop | None, flips: Sequence[RandomHorizontalFlip]
    ):
        self.resize, self.crop, self.flips = resize, crop, flips

    def __call__(self, img: Image.Image) -> Tensor:
        box, size = self._draw_box(img)
        window = (0, 0, *size)
        if self.crop is not None:
            window = (*center_corner(size, self.crop.size), *self.crop.size)
        mirrored = sum([current_stream().uniform() < flip.p for flip in self.flips]) % 2 == 1
        pixels = resize_window(img, box, size, window, self.resize.interpolation, mirrored=mirrored)
        if pixels is not None:
            return wrap(channels_first(pixels))
        img = F.resized_crop(img, *box, size, self.resize.interpolation, self.resize.antialias)
        if self.crop is not None:
            img = F.crop(img, *window)
        return Pixels()(F.hflip(img) if mirrored else img)

    def _draw_box(self, img: Image.Image) -> tuple[Box, tuple[int, int]]:
        """Return the box of the image that is resized, and the (height, width) it gets."""
        if isinstance(self.resize, RandomResizedCrop):
            return self.resize.get_params(img, self.resize.scale, self.resize.ratio), self.resize.size
        _, height, width = F.get_dimensions(img)
        return (0, 0, height, width), resized_size((height, width), as_list(self.resize.size), self.resize.max_size)


def to_pixels(steps: Sequence[Step]) -> list[Step]:
    """Return the steps followed by `Pixels`, in one pass with a resize and what follows it where they end so."""
    end = len(steps)
    while end and type(steps[end - 1]) is RandomHorizontalFlip:
        end -= 1
    flips = list(steps[end:])
    crop = None
    if end and type(steps[end - 1]) is CenterCrop:
        end -= 1
        crop = steps[end]
    if end and type(steps[end - 1]) in (RandomResizedCrop, Resize):
        return [*steps[: end - 1], ResizedPixels(steps[end - 1], crop, flips)]  # type: ignore[arg-type]
    return [*steps, Pixels()]
