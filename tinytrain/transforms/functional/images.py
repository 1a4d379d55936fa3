"""What an image is: a Pillow image, or a Tensor of shape (..., c, h, w); and how the two are told apart."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from tinytrain.device import Array
from tinytrain.tape import is_grad_enabled
from tinytrain.tensor import Tensor, wrap

AnyImage: TypeAlias = Any
"""A Pillow image or a Tensor; what comes in comes out."""

Fill: TypeAlias = "float | Sequence[float] | None"

MAX_VALUES = {
    "bool": 1,
    "uint8": 255,
    "int8": 127,
    "int16": 2**15 - 1,
    "int32": 2**31 - 1,
    "int64": 2**63 - 1,
}
"""The value of full brightness by element type; 1 for the floating types."""


def is_pil(img: Any) -> bool:
    """Return True for a Pillow image and False for a Tensor.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(img, Image.Image):
        return True
    if not isinstance(img, Tensor):
        raise TypeError(f"img should be PIL Image or Tensor. Got {type(img)}")
    if img.ndim < 2:
        raise TypeError(f"Tensor is not a torch image: expected (..., c, h, w) or (h, w), got {tuple(img.shape)}")
    return False


def get_dimensions(img: AnyImage) -> list[int]:
    """Return `[channels, height, width]` in pixels."""
    if is_pil(img):
        return [len(img.getbands()), img.height, img.width]
    return [1 if img.ndim == 2 else img.shape[-3], *img.shape[-2:]]


def get_image_size(img: AnyImage) -> list[int]:
    """Return `[width, height]` in pixels."""
    _, height, width = get_dimensions(img)
    return [width, height]


def get_image_num_channels(img: AnyImage) -> int:
    """Return the number of channels."""
    return get_dimensions(img)[0]


def through_array(function: Callable[[Array], Array], img: Tensor) -> Tensor:
    """Apply `function`, which must not alias its argument, to the raw array of a tensor image.

    Raises:
        NotImplementedError: a gradient is asked to flow through; transforms do not record one.
    """
    if img.requires_grad and is_grad_enabled():
        raise NotImplementedError(
            "image transforms are not differentiable here: pass img.detach(), or use tensor operations"
        )
    result = function(img.array)
    return img if result is img.array else wrap(result)


def max_value(array: Array) -> int:
    """Return the value of full brightness in an array's element type."""
    return MAX_VALUES.get(array.dtype.name, 1)


def as_list(value: Any) -> list[Any]:
    """Return a list, tuple or other sequence as a list, and anything else as a list of one."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def require_channels(img: Tensor, permitted: Sequence[int]) -> None:
    """Raise TypeError unless the tensor image has a channel axis with one of the permitted lengths."""
    if img.ndim < 3:
        raise TypeError(f"Input image tensor should have at least 3 dimensions, but found {img.ndim}")
    if img.shape[-3] not in permitted:
        raise TypeError(f"Input image tensor permitted channel values are {list(permitted)}, but found {img.shape[-3]}")


def computing_dtype(array: Array) -> np.dtype:
    """Return the floating type to compute in: float64 where float32 cannot hold the values, else float32."""
    return np.dtype("float64") if array.dtype.name in ("float64", "int32", "int64") else np.dtype("float32")


def cast_back(values: Array, dtype: np.dtype) -> Array:
    """Return floating values in an image's element type, rounded half to even where that is integer."""
    if dtype.kind != "f":
        values = values.round()
    return values.astype(dtype, copy=False)


def through_32_bits(function: Callable[[Image.Image], Image.Image], img: Image.Image) -> Image.Image:
    """Apply `function` to a Pillow image; to one of 16 bits as mode I and back.

    Pillow interpolates between the bytes of its 16-bit modes, not between their values.
    """
    if img.mode.startswith("I;16"):
        return function(img.convert("I")).convert(img.mode)
    return function(img)


def require_8_bits(img: Image.Image, what: str) -> None:
    """Raise ValueError where Pillow would clip or refuse an image of 16 or 32 bits."""
    if img.mode[0] in "IF":
        raise ValueError(
            f"{what} takes images of 8 bits, got Pillow mode {img.mode}: use ToTensor first, and scale the values"
        )


def pil_fill(fill: Fill, img: Image.Image) -> Any:
    """Return `fill` as Pillow wants it for an image's mode: a number for one band, else one number a band.

    Raises:
        ValueError: a sequence whose length is neither 1 nor the number of bands.
    """
    num_bands = len(img.getbands())
    values = as_list(0 if fill is None else fill)
    if len(values) == 1:
        values *= num_bands
    if len(values) != num_bands:
        raise ValueError(
            f"The number of elements in 'fill' does not match the number of channels of the image "
            f"({len(values)} != {num_bands})"
        )
    if img.mode != "F":
        values = [int(value) for value in values]
    return values[0] if num_bands == 1 else tuple(values)


def size_pair(
    size: int | Sequence[int], message: str = "Please provide only two dimensions (h, w) for size."
) -> tuple[int, int]:
    """Return a size as (height, width): a number, or a sequence of one, is a square.

    Raises:
        ValueError: a sequence of another length; its text is `message`.
        TypeError: what it holds are no numbers.
    """
    sides = as_list(size)
    if len(sides) not in (1, 2):
        raise ValueError(message)
    if not all(isinstance(side, numbers.Real) for side in sides):
        raise TypeError(f"a size is one or two numbers of pixels; got {size!r}")
    return int(sides[0]), int(sides[-1])


def image_from_pixels(pixels: np.ndarray, mode: str) -> Image.Image:
    """Return the Pillow image of a given mode over an array (h, w) or (h, w, c) in that mode's own layout."""
    if mode == "1":
        return Image.fromarray(pixels)
    return Image.frombytes(mode, (pixels.shape[1], pixels.shape[0]), pixels.tobytes())
