"""Transforms that move pixels on the pixel grid: resize, pad, flip."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tinytrain.device import Array, array_module
from tinytrain.random_streams import BatchStream, current_stream
from tinytrain.transforms import functional as F
from tinytrain.transforms.base import Transform, checked_probability
from tinytrain.transforms.batch import BatchTransform
from tinytrain.transforms.functional.geometry import as_interpolation, check_padding, pad_array
from tinytrain.transforms.functional.images import AnyImage, Fill, size_pair
from tinytrain.transforms.gathering import MIRRORED, UPSIDE_DOWN, Gathering

InterpolationMode = F.InterpolationMode


class Resize(Transform):
    """Resize an image.

    Args:
        size: (h, w) in pixels; or one number, the shorter edge, the other following the aspect ratio.
        interpolation: how to read between pixels: a mode, its name, or Pillow's number.
        max_size: with one number: the longer edge is at most this.
        antialias: for tensors; Pillow images are always antialiased.

    Raises:
        TypeError: `size` is neither a number nor a sequence.
        ValueError: `size` has more than two numbers.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        interpolation: InterpolationMode | str | int = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ):
        if not isinstance(size, (int, Sequence)):
            raise TypeError(f"Size should be int or sequence. Got {type(size)}")
        if isinstance(size, Sequence) and len(size) not in (1, 2):
            raise ValueError("If size is a sequence, it should have 1 or 2 values")
        size_pair(size)
        self.size, self.max_size, self.antialias = size, max_size, antialias
        self.interpolation = as_interpolation(interpolation)

    def __call__(self, img: AnyImage) -> AnyImage:
        return F.resize(img, self.size, self.interpolation, self.max_size, self.antialias)

    def __repr__(self) -> str:
        return (
            f"Resize(size={self.size}, interpolation={self.interpolation.value}, "
            f"max_size={self.max_size}, antialias={self.antialias})"
        )


class Pad(BatchTransform):
    """Add a border.

    Args:
        padding: pixels on all sides; (left and right, top and bottom); or (left, top, right, bottom).
        fill: value of a constant border, or one a channel.
        padding_mode: `constant`, `edge`, `reflect` or `symmetric`.

    Raises:
        TypeError, ValueError: an argument of another kind, length or name.
    """

    def __init__(self, padding: int | Sequence[int], fill: Fill = 0, padding_mode: str = "constant"):
        check_padding(padding, fill, padding_mode)
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode

    def __call__(self, img: AnyImage) -> AnyImage:
        return F.pad(img, self.padding, self.fill, self.padding_mode)

    def on_batch(self, images: Array, stream: BatchStream) -> Array:
        sides = check_padding(self.padding, self.fill, self.padding_mode)
        return pad_array(images, sides, self.fill, self.padding_mode)

    def put_off(self, gathering: Gathering, stream: BatchStream) -> bool:
        sides = check_padding(self.padding, self.fill, self.padding_mode)
        return gathering.pad([sides], self.fill, self.padding_mode)

    def __repr__(self) -> str:
        return f"Pad(padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode})"


class RandomHorizontalFlip(BatchTransform):
    """Mirror left and right with probability `p`."""

    def __init__(self, p: float = 0.5):
        self.p = checked_probability(p, self)

    def __call__(self, img: AnyImage) -> AnyImage:
        return F.hflip(img) if current_stream().uniform() < self.p else img

    def on_batch(self, images: Array, stream: BatchStream) -> Array:
        return _replace_rows(images, stream.uniform() < self.p, lambda chosen: chosen[..., ::-1])

    def put_off(self, gathering: Gathering, stream: BatchStream) -> bool:
        return gathering.can_turn() and gathering.turn(stream.uniform() < self.p, MIRRORED)

    def __repr__(self) -> str:
        return f"RandomHorizontalFlip(p={self.p})"


class AlternatingFlip(BatchTransform):
    """Mirror left and right in every second epoch: a random half of the images in the even ones, the others in the odd.

    Of two epochs, each image is seen once either way, while a random flip repeats one of them half of the time. Not in
    torchvision. Source: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (2024), arXiv:2404.00498.
    """

    def __call__(self, img: AnyImage) -> AnyImage:
        stream = current_stream()
        return F.hflip(img) if (stream.lasting_uniform() < 0.5) != (stream.epoch % 2 == 1) else img

    def on_batch(self, images: Array, stream: BatchStream) -> Array:
        return _replace_rows(images, self._draw(stream), lambda chosen: chosen[..., ::-1])

    def put_off(self, gathering: Gathering, stream: BatchStream) -> bool:
        return gathering.can_turn() and gathering.turn(self._draw(stream), MIRRORED)

    @staticmethod
    def _draw(stream: BatchStream) -> np.ndarray:
        return (stream.lasting_uniform() < 0.5) != (stream.epoch % 2 == 1)


class RandomVerticalFlip(BatchTransform):
    """Turn upside down with probability `p`."""

    def __init__(self, p: float = 0.5):
        self.p = checked_probability(p, self)

    def __call__(self, img: AnyImage) -> AnyImage:
        return F.vflip(img) if current_stream().uniform() < self.p else img

    def on_batch(self, images: Array, stream: BatchStream) -> Array:
        return _replace_rows(images, stream.uniform() < self.p, lambda chosen: chosen[..., ::-1, :])

    def put_off(self, gathering: Gathering, stream: BatchStream) -> bool:
        return gathering.can_turn() and gathering.turn(stream.uniform() < self.p, UPSIDE_DOWN)

    def __repr__(self) -> str:
        return f"RandomVerticalFlip(p={self.p})"


def _replace_rows(images: Array, chosen: np.ndarray, change: Callable[[Array], Array]) -> Array:
    """Return the batch with the chosen images changed in place, written channel by channel.

    NumPy walks a mirrored image of three interleaved channels three bytes at a time; this is three times as fast.
    """
    index = array_module(images).asarray(np.flatnonzero(chosen))
    changed = change(images[index])
    for channel in range(images.shape[1]):
        images[index, channel] = changed[:, channel]
    return images
