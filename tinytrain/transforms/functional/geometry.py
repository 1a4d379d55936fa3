"""Where pixels go on the pixel grid: resize, crop, pad, flip."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Sequence
from enum import Enum

import numpy as np
from PIL import Image, ImageOps

from tinytrain.device import Array, array_module
from tinytrain.transforms.functional.images import (
    AnyImage,
    Fill,
    as_list,
    get_dimensions,
    image_from_pixels,
    is_pil,
    pil_fill,
    size_pair,
    through_32_bits,
    through_array,
)
from tinytrain.transforms.functional.resampling import resize_array

PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


class InterpolationMode(Enum):
    """How to read an image between its pixels; torchvision's names."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"

    @property
    def pil(self) -> Image.Resampling:
        """Pillow's name for it; Pillow's NEAREST is the exact one."""
        return Image.Resampling[self.name.removesuffix("_EXACT")]


def as_interpolation(value: InterpolationMode | str | int) -> InterpolationMode:
    """Return an interpolation mode from itself, its name (as in a config) or Pillow's number for it.

    Raises:
        ValueError: a name or number that is none.
        TypeError: neither a mode nor a name nor a number.
    """
    if isinstance(value, InterpolationMode):
        return value
    if isinstance(value, int):
        return InterpolationMode[Image.Resampling(value).name]
    if isinstance(value, str):
        try:
            return InterpolationMode(value.lower())
        except ValueError:
            names = ", ".join(mode.value for mode in InterpolationMode)
            raise ValueError(f"interpolation should be one of {names}; got {value!r}") from None
    raise TypeError("Argument interpolation should be a InterpolationMode or a corresponding Pillow integer constant")


def resized_size(image_size: tuple[int, int], size: Sequence[int], max_size: int | None = None) -> tuple[int, int]:
    """Return the (height, width) that `resize` gives an image of `image_size` (height, width).

    One number is the shorter edge; the longer becomes `int(size * long / short)`. With `max_size` the
    longer edge is held to it and the shorter follows.

    Raises:
        ValueError: `max_size` together with two numbers, or not above the shorter edge.
    """
    if len(size) == 2:
        if max_size is not None:
            raise ValueError(
                f"max_size should only be passed if size is one number, the shorter edge; got size={tuple(size)}"
            )
        return size[0], size[1]
    height, width = image_size
    short, long = min(image_size), max(image_size)
    new_short, new_long = size[0], int(size[0] * long / short)
    if max_size is not None and max_size <= new_short:
        raise ValueError(
            f"max_size = {max_size} must be strictly greater than the requested size for the smaller edge "
            f"size = {new_short}"
        )
    if max_size is not None and new_long > max_size:
        new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_long, new_short) if width <= height else (new_short, new_long)


def resize(
    img: AnyImage,
    size: int | Sequence[int],
    interpolation: InterpolationMode | str | int = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> AnyImage:
    """Resize an image; one number is the new length of its shorter edge.

    Args:
        img: Pillow image, or tensor (..., h, w).
        size: (h, w) in pixels, or the shorter edge.
        interpolation: how to read between pixels.
        max_size: the longer edge is at most this.
        antialias: for tensors; Pillow images are always antialiased (except with nearest).

    Raises:
        ValueError: `size` has more than two numbers, or see `resized_size`.
    """
    mode = as_interpolation(interpolation)
    edges = as_list(size)
    if len(edges) not in (1, 2):
        raise ValueError(f"Size must be an int or a 1 or 2 element tuple/list, not a {len(edges)} element tuple/list")
    _, height, width = get_dimensions(img)
    new_size = resized_size((height, width), edges, max_size)
    if new_size == (height, width):
        return img
    if min(new_size) < 1:
        raise ValueError(f"resize of {height}x{width} (h x w) to {new_size[0]}x{new_size[1]} leaves no pixels")
    if is_pil(img):
        if antialias is False:
            warnings.warn("Pillow images are always antialiased: antialias=False is ignored", stacklevel=2)
        if img.mode == "I;16":  # the one 16-bit mode that Pillow resizes by its values
            return img.resize(new_size[::-1], mode.pil)
        return through_32_bits(lambda image: image.resize(new_size[::-1], mode.pil), img)
    return through_array(lambda array: resize_array(array, new_size, mode.value, antialias=bool(antialias)), img)


def crop(img: AnyImage, top: int, left: int, height: int, width: int) -> AnyImage:
    """Cut out a box; parts of it outside the image are 0."""
    if is_pil(img):
        return img.crop((left, top, left + width, top + height))
    return through_array(lambda array: crop_array(array, top, left, height, width), img)


def crop_array(array: Array, top: int, left: int, height: int, width: int) -> Array:
    """Return a new array: a box of (..., h, w), 0 where it leaves the image."""
    h, w = array.shape[-2:]
    bottom, right = top + height, left + width
    inside = array[..., min(max(top, 0), h) : max(bottom, 0), min(max(left, 0), w) : max(right, 0)]
    outside = (
        max(min(0, right) - left, 0),
        max(min(0, bottom) - top, 0),
        max(right - max(w, left), 0),
        max(bottom - max(h, top), 0),
    )
    return pad_array(inside, outside)


def center_crop(img: AnyImage, output_size: int | Sequence[int]) -> AnyImage:
    """Cut out the middle; a larger size pads with 0, half of it (rounded down) on the left and top.

    Offsets are `(image - crop) / 2` pixels, rounded half to even.
    """
    size = size_pair(output_size)
    return crop(img, *center_corner(get_dimensions(img)[1:], size), *size)


def center_corner(image_size: Sequence[int], crop_size: tuple[int, int]) -> tuple[int, int]:
    """Return the (top, left) of a box in the middle, below 0 where the box is the larger."""
    top, left = (
        round((image - box) / 2) if image >= box else -((box - image) // 2)
        for image, box in zip(image_size, crop_size, strict=True)
    )
    return top, left


def resized_crop(
    img: AnyImage,
    top: int,
    left: int,
    height: int,
    width: int,
    size: int | Sequence[int],
    interpolation: InterpolationMode | str | int = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> AnyImage:
    """Cut out a box and resize it."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def five_crop(img: AnyImage, size: int | Sequence[int]) -> tuple[AnyImage, ...]:
    """Return the crops at top left, top right, bottom left, bottom right, and the centre.

    Raises:
        ValueError: the crop is larger than the image.
    """
    crop_height, crop_width = size_pair(size)
    _, height, width = get_dimensions(img)
    if crop_width > width or crop_height > height:
        raise ValueError(f"Requested crop size {(crop_height, crop_width)} is bigger than input size {(height, width)}")
    bottom, right = height - crop_height, width - crop_width
    corners = ((0, 0), (0, right), (bottom, 0), (bottom, right))
    crops = [crop(img, top, left, crop_height, crop_width) for top, left in corners]
    return *crops, center_crop(img, (crop_height, crop_width))


def ten_crop(img: AnyImage, size: int | Sequence[int], vertical_flip: bool = False) -> tuple[AnyImage, ...]:
    """Return `five_crop` of the image, then of its mirror image (left-right, or top-bottom)."""
    mirrored = vflip(img) if vertical_flip else hflip(img)
    return five_crop(img, size) + five_crop(mirrored, size)


def hflip(img: AnyImage) -> AnyImage:
    """Mirror left and right."""
    if is_pil(img):
        return img.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return through_array(lambda array: array[..., ::-1].copy(order="K"), img)


def vflip(img: AnyImage) -> AnyImage:
    """Turn upside down."""
    if is_pil(img):
        return img.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return through_array(lambda array: array[..., ::-1, :].copy(order="K"), img)


def pad(img: AnyImage, padding: int | Sequence[int], fill: Fill = 0, padding_mode: str = "constant") -> AnyImage:
    """Add a border, in pixels; negative numbers cut off.

    Args:
        img: Pillow image, or tensor (..., h, w).
        padding: all sides; or (left and right, top and bottom); or (left, top, right, bottom).
        fill: value of a constant border, or one value a channel.
        padding_mode: `constant`, `edge` (repeat the last pixel), `reflect` (mirror about the last pixel),
            `symmetric` (mirror about the edge, the last pixel twice).

    Raises:
        TypeError, ValueError: an argument of another kind, length or name.
    """
    sides = check_padding(padding, fill, padding_mode)
    if is_pil(img):
        return _pad_pil(img, sides, fill, padding_mode)
    return through_array(lambda array: pad_array(array, sides, fill, padding_mode), img)


def check_padding(padding: int | Sequence[int], fill: Fill, padding_mode: str) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) from what `pad` accepts, or raise as it documents."""
    if not isinstance(padding, (numbers.Number, tuple, list)):
        raise TypeError("Got inappropriate padding arg")
    if fill is not None and not isinstance(fill, (numbers.Number, tuple, list)):
        raise TypeError("Got inappropriate fill arg")
    if padding_mode not in PADDING_MODES:
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
    sides = as_list(padding)
    if len(sides) not in (1, 2, 4):
        raise ValueError(f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(sides)} element tuple")
    left, top, right, bottom = sides * (4 // len(sides))
    return left, top, right, bottom


def pad_array(array: Array, sides: tuple[int, int, int, int], fill: Fill = 0, padding_mode: str = "constant") -> Array:
    """Return a new array: (..., h, w) with (left, top, right, bottom) pixels added.

    A constant border keeps the order of the axes in memory.
    """
    xp = array_module(array)
    if not any(sides):
        return array.copy(order="K")
    height, width = array.shape[-2:]
    left, top, right, bottom = (max(side, 0) for side in sides)
    if min(sides) < 0:
        array = array[..., -min(sides[1], 0) : height + min(sides[3], 0), -min(sides[0], 0) : width + min(sides[2], 0)]
        height, width = array.shape[-2:]
    if padding_mode != "constant":
        around = ((top, bottom), (left, right))
        return xp.pad(array, ((0, 0),) * (array.ndim - 2) + around, mode=padding_mode)
    padded = xp.empty_like(array, shape=(*array.shape[:-2], top + height + bottom, left + width + right))
    if fill is None or isinstance(fill, numbers.Number):
        padded[...] = 0 if fill is None else fill
    else:
        padded[...] = xp.asarray(fill).reshape(-1, 1, 1)
    padded[..., top : top + height, left : left + width] = array
    return padded


def _pad_pil(img: Image.Image, sides: tuple[int, int, int, int], fill: Fill, padding_mode: str) -> Image.Image:
    if padding_mode == "constant":
        padded = ImageOps.expand(img, border=sides, fill=pil_fill(fill, img))
    else:
        pixels = np.asarray(img)
        planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        around = pad_array(planes, sides, fill, padding_mode).transpose(1, 2, 0)
        padded = image_from_pixels(around[:, :, 0] if pixels.ndim == 2 else around, img.mode)
    palette = img.getpalette() if img.mode == "P" else None
    if palette is not None:
        padded.putpalette(palette)
    return padded
