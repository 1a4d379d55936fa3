"""Transforms that cut out boxes: in the middle, at random, of random size, at the corners."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytrain.device import Array, array_module
from tinytrain.random_streams import BatchStream, SampleStream, current_stream
from tinytrain.transforms import functional as F
from tinytrain.transforms.base import Transform
from tinytrain.transforms.batch import BatchTransform
from tinytrain.transforms.functional.geometry import (
    as_interpolation,
    center_corner,
    check_padding,
    crop_array,
    pad_array,
)
from tinytrain.transforms.functional.images import AnyImage, Fill, size_pair
from tinytrain.transforms.gathering import Gathering

InterpolationMode = F.InterpolationMode


class CenterCrop(BatchTransform):
    """Cut out the middle of an image; where it is smaller it is padded with 0.

    Args:
        size: (h, w) in pixels, or one number for a square.
    """

    def __init__(self, size: int | Sequence[int]):
        self.size = size_pair(size)

    def __call__(self, img: AnyImage) -> AnyImage:
        return F.center_crop(img, self.size)

    def on_batch(self, images: Array, stream: BatchStream) -> Array:
        return crop_array(images, *center_corner(images.shape[-2:], self.size), *self.size)

    def put_off(self, gathering: Gathering, stream: BatchStream) -> bool:
        return gathering.can_cut(self.size) and gathering.cut(*center_corner(gathering.size, self.size), self.size)

    def __repr__(self) -> str:
        return f"CenterCrop(size={self.size})"


class RandomCrop(BatchTransform):
    """Cut out a box of the given size at a random place.

    Args:
        size: (h, w) in pixels, or one number for a square.
        padding: border added first, as in `Pad`.
        pad_if_needed: add a border on both sides where the image is smaller than the crop.
        fill: value of a constant border, or one a channel.
        padding_mode: `constant`, `edge`, `reflect` or `symmetric`.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: Fill = 0,
        padding_mode: str = "constant",
    ):
        self.size = size_pair(size)
        check_padding(0 if padding is None else padding, fill, padding_mode)
        self.padding, self.pad_if_needed = padding, pad_if_needed
        self.fill, self.padding_mode = fill, padding_mode

    @staticmethod
    def get_params(img: AnyImage, output_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Draw a box (top, left, height, width) of `output_size` inside the image.

        Raises:
            ValueError: the image is smaller.
        """
        _, height, width = F.get_dimensions(img)
        return *_draw_corner(current_stream(), (height, width), output_size), *output_size

    def __call__(self, img: AnyImage) -> AnyImage:
        for sides in self._borders(F.get_dimensions(img)[1:]):
            img = F.pad(img, sides, self.fill, self.padding_mode)
        return F.crop(img, *self.get_params(img, self.size))

    def on_batch(self, images: Array, stream: BatchStream) -> Array:
        for sides in self._borders(images.shape[-2:]):
            images = pad_array(images, sides, self.fill, self.padding_mode)
        top, left = _draw_corner(stream, images.shape[-2:], self.size)
        return _cut_boxes(images, top, left, self.size)

    def put_off(self, gathering: Gathering, stream: BatchStream) -> bool:
        if not gathering.pad(self._borders(gathering.size), self.fill, self.padding_mode):
            return False
        return gathering.cut(*_draw_corner(stream, gathering.size, self.size), self.size)

    def _borders(self, image_size: Sequence[int]) -> list[tuple[int, int, int, int]]:
        """Return the borders (left, top, right, bottom) to add one by one to an image of (height, width)."""
        borders = []
        height, width = image_size
        if self.padding is not None:
            left, top, right, bottom = check_padding(self.padding, self.fill, self.padding_mode)
            borders.append((left, top, right, bottom))
            height, width = height + top + bottom, width + left + right
        missing_h, missing_w = self.size[0] - height, self.size[1] - width
        if self.pad_if_needed and missing_w > 0:
            borders.append((missing_w, 0, missing_w, 0))
        if self.pad_if_needed and missing_h > 0:
            borders.append((0, missing_h, 0, missing_h))
        return borders

    def __repr__(self) -> str:
        return f"RandomCrop(size={self.size}, padding={self.padding})"


class RandomResizedCrop(Transform):
    """Cut out a box of random area and aspect ratio and resize it.

    Args:
        size: (h, w) of the result in pixels, or one number for a square.
        scale: lowest and highest share of the image's area.
        ratio: lowest and highest width / height, drawn evenly in its logarithm.
        interpolation: as in `Resize`.
        antialias: as in `Resize`.

    Raises:
        TypeError: `scale` or `ratio` is no sequence.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: InterpolationMode | str | int = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ):
        self.size = size_pair(size)
        check_ranges(scale, ratio)
        self.scale, self.ratio, self.antialias = scale, ratio, antialias
        self.interpolation = as_interpolation(interpolation)

    @staticmethod
    def get_params(img: AnyImage, scale: Sequence[float], ratio: Sequence[float]) -> tuple[int, int, int, int]:
        """Draw a box (top, left, height, width); after ten misses, the largest one in the middle that fits."""
        _, height, width = F.get_dimensions(img)
        stream = current_stream()
        for _ in range(10):
            w, h = (int(side) for side in draw_box_sides(stream, height * width, scale, ratio))
            if 0 < w <= width and 0 < h <= height:
                return stream.integers(0, height - h + 1), stream.integers(0, width - w + 1), h, w
        h, w = height, width
        if width / height < min(ratio):
            h = round(width / min(ratio))
        elif width / height > max(ratio):
            w = round(height * max(ratio))
        return (height - h) // 2, (width - w) // 2, h, w

    def __call__(self, img: AnyImage) -> AnyImage:
        box = self.get_params(img, self.scale, self.ratio)
        return F.resized_crop(img, *box, self.size, self.interpolation, antialias=self.antialias)

    def __repr__(self) -> str:
        return (
            f"RandomResizedCrop(size={self.size}, scale={tuple(round(s, 4) for s in self.scale)}, "
            f"ratio={tuple(round(r, 4) for r in self.ratio)}, interpolation={self.interpolation.value}, "
            f"antialias={self.antialias})"
        )


class FiveCrop(Transform):
    """Return five crops: top left, top right, bottom left, bottom right, centre.

    Args:
        size: (h, w) in pixels, or one number for a square.
    """

    gives = "images"

    def __init__(self, size: int | Sequence[int]):
        self.size = size_pair(size)

    def __call__(self, img: AnyImage) -> tuple[AnyImage, ...]:
        return F.five_crop(img, self.size)

    def __repr__(self) -> str:
        return f"FiveCrop(size={self.size})"


class TenCrop(Transform):
    """Return the five crops of `FiveCrop`, then those of the mirrored image.

    Args:
        size: (h, w) in pixels, or one number for a square.
        vertical_flip: mirror top and bottom instead of left and right.
    """

    gives = "images"

    def __init__(self, size: int | Sequence[int], vertical_flip: bool = False):
        self.size, self.vertical_flip = size_pair(size), vertical_flip

    def __call__(self, img: AnyImage) -> tuple[AnyImage, ...]:
        return F.ten_crop(img, self.size, self.vertical_flip)

    def __repr__(self) -> str:
        return f"TenCrop(size={self.size}, vertical_flip={self.vertical_flip})"


def check_ranges(scale: Sequence[float], ratio: Sequence[float]) -> None:
    """Check the ranges of a random box: sequences (TypeError), with a warning where they are upside down."""
    if not isinstance(scale, Sequence):
        raise TypeError("Scale should be a sequence")
    if not isinstance(ratio, Sequence):
        raise TypeError("Ratio should be a sequence")
    if scale[0] > scale[1] or ratio[0] > ratio[1]:
        warnings.warn("Scale and ratio should be of kind (min, max)", stacklevel=3)


def draw_box_sides(
    stream: SampleStream | BatchStream, area: int, scale: Sequence[float], ratio: Sequence[float]
) -> tuple[Any, Any]:
    """Draw the two sides of a box: a share of `area` in pixels, and an aspect ratio even in its logarithm.

    Returns:
        The longer side for a ratio above 1, and the other; whole numbers as floats, or arrays of them.
    """
    target = area * stream.uniform(scale[0], scale[1])
    aspect = np.exp(stream.uniform(math.log(ratio[0]), math.log(ratio[1])))
    return np.rint(np.sqrt(target * aspect)), np.rint(np.sqrt(target / aspect))


def _draw_corner(
    stream: SampleStream | BatchStream, image_size: Sequence[int], size: tuple[int, int]
) -> tuple[Any, Any]:
    """Draw the (top, left) of a box inside an image; numbers, or (n,) arrays for the streams of a batch."""
    (height, width), (box_height, box_width) = image_size, size
    if height < box_height or width < box_width:
        raise ValueError(f"Required crop size {size} is larger than input image size {(height, width)}")
    if (height, width) == size:
        return 0, 0
    return stream.integers(0, height - box_height + 1), stream.integers(0, width - box_width + 1)


def _cut_boxes(images: Array, top: Any, left: Any, size: tuple[int, int]) -> Array:
    """Return from (n, c, h, w) one box per image, at (n,) corners: (n, c, *size), channels last in memory."""
    xp = array_module(images)
    windows = xp.lib.stride_tricks.sliding_window_view(images.transpose(0, 2, 3, 1), size, axis=(1, 2))
    boxes = windows.transpose(0, 1, 2, 4, 5, 3)[xp.arange(len(images)), xp.asarray(top), xp.asarray(left)]
    return boxes.transpose(0, 3, 1, 2)
