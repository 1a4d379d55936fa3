"""Between Pillow images, arrays and tensors, and between element types."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from PIL import Image

from tinytrain.device import CPU, Array, array_module, move
from tinytrain.dtypes import dtype as Dtype
from tinytrain.dtypes import float32, get_default_dtype
from tinytrain.recording import record, rewrite
from tinytrain.tensor import Tensor, wrap
from tinytrain.transforms.functional.images import MAX_VALUES, image_from_pixels, max_value, through_array

MODES_BY_CHANNELS = {2: ("LA",), 3: ("RGB", "YCbCr", "HSV"), 4: ("RGBA", "CMYK", "RGBX")}
"""Pillow's modes for 8-bit images of several channels, the default first."""

GREY_MODES = {"uint8": "L", "int16": "I;16", "int32": "I", "float32": "F"}
"""Pillow's mode for one channel by element type."""


def to_tensor(pic: Image.Image | np.ndarray) -> Tensor:
    """Convert an image to a tensor (c, h, w); 8-bit values 0..255 become 0..1 in the default float type.

    Other values keep their type and range: mode I gives int32, F float32, and 16-bit images give int32 from
    0 to 65535 (torchvision's int16 wraps around).

    Args:
        pic: Pillow image, or array (h, w) or (h, w, c).

    Raises:
        TypeError: neither of them.
        ValueError: an array with another number of dimensions.
    """
    values = image_values(pic)
    if values.dtype == np.uint8:
        return wrap(channels_first(unit_scale(values, get_default_dtype().numpy)))
    return wrap(channels_first(values.copy()))


def image_values(pic: Image.Image | np.ndarray) -> np.ndarray:
    """Return the values that `to_tensor` scales or keeps, (h, w) or (h, w, c); perhaps the image's own memory."""
    if isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        return pic.astype(np.int32) if pic.dtype == np.uint16 else pic
    if not isinstance(pic, Image.Image):
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    pixels = pil_pixels(pic)
    return pixels.astype(np.uint8) * np.uint8(255) if pic.mode == "1" else pixels


def pil_to_tensor(pic: Image.Image) -> Tensor:
    """Convert a Pillow image to a tensor (c, h, w) of its own values; 16-bit images give int32.

    Raises:
        TypeError: `pic` is no Pillow image.
    """
    if not isinstance(pic, Image.Image):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    return wrap(channels_first(pil_pixels(pic).copy()))


def pil_pixels(img: Image.Image) -> np.ndarray:
    """Return a Pillow image's values (h, w) or (h, w, c), those of 16 bits as int32; perhaps read-only."""
    pixels = np.asarray(img)
    return pixels.astype(np.int32) if pixels.dtype.kind == "u" and pixels.itemsize == 2 else pixels


def channels_first(pixels: np.ndarray) -> np.ndarray:
    """Return (h, w) or (h, w, c) as (c, h, w), the channels last in memory."""
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def unit_scale(values: Array, dtype: np.dtype, out: Array | None = None) -> Array:
    """Return integers 0..max as floats 0..1: the value divided by the type's maximum, in `dtype`."""
    if out is None:
        out = array_module(values).empty_like(values, dtype=dtype)
    out[...] = values  # a division that also converts takes half as long again
    out /= dtype.type(max_value(values))
    return out


def convert_image_dtype(image: Tensor, dtype: Dtype = float32) -> Tensor:
    """Convert a tensor image to another element type, full brightness to full brightness.

    Floats 0..1 become integers by `floor(x * (max + 0.999))`; between integer types the values are multiplied
    or divided by a power of two.

    Raises:
        TypeError: `image` is no tensor.
        RuntimeError: a float type that cannot hold the integers: float32 to int32 or int64, float64 to int64.
    """
    if not isinstance(image, Tensor):
        raise TypeError("Input img should be Tensor Image")
    source = image.dtype
    if source is dtype:
        return image
    unsafe = {"float32": ("int32", "int64"), "float16": ("int16", "int32", "int64"), "float64": ("int64",)}
    if dtype.name in unsafe.get(source.name, ()):
        raise RuntimeError(f"The cast from {source} to {dtype} cannot be performed safely.")
    return through_array(lambda array: convert_array_dtype(array, dtype.numpy), image)


def convert_array_dtype(array: Array, dtype: np.dtype) -> Array:
    """Return an image array in another element type; see `convert_image_dtype`."""
    if array.dtype.kind == "f":
        if dtype.kind == "f":
            return array.astype(dtype)
        return (array * array.dtype.type(MAX_VALUES[dtype.name] + 1.0 - 1e-3)).astype(dtype)
    if dtype.kind == "f":
        return unit_scale(array, dtype)
    old_max, new_max = max_value(array), MAX_VALUES[dtype.name]
    if old_max > new_max:
        return (array // ((old_max + 1) // (new_max + 1))).astype(dtype)
    return array.astype(dtype) * dtype.type((new_max + 1) // (old_max + 1))


def to_pil_image(pic: Tensor | np.ndarray, mode: str | None = None) -> Image.Image:
    """Convert a tensor (c, h, w) or (h, w), or an array (h, w, c) or (h, w), to a Pillow image.

    Floats are taken as 0..1 and become 8 bits, `floor(255 x)`, clipped; with mode F they are kept.

    Args:
        pic: 1 to 4 channels.
        mode: Pillow's mode; by default L, LA, RGB or RGBA; I;16, I or F for one channel of int16, int32 or
            float32 (with `mode="F"`).

    Raises:
        TypeError: `pic` is of another kind, or of an element type that Pillow has no mode for.
        ValueError: more channels or dimensions, or a mode that does not go with them, or values outside it.
    """
    if isinstance(pic, Tensor):
        pixels = move(pic.array, CPU)
        pixels = pixels.transpose(1, 2, 0) if pixels.ndim == 3 else pixels
    elif isinstance(pic, np.ndarray):
        pixels = pic
    else:
        raise TypeError(f"pic should be Tensor or ndarray. Got {type(pic)}.")
    if pixels.ndim not in (2, 3):
        raise ValueError(f"pic should be 2/3 dimensional. Got {pixels.ndim} dimensions.")
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    channels = pixels.shape[2]
    if channels > 4:
        raise ValueError(f"pic should not have > 4 channels. Got {channels} channels.")
    if pixels.dtype.kind == "f" and mode != "F":
        pixels = (pixels * 255).clip(0, 255).astype(np.uint8)
    if channels == 1:
        return _grey_image(pixels[:, :, 0], mode)
    if mode is not None and mode not in MODES_BY_CHANNELS[channels]:
        raise ValueError(f"Only modes {list(MODES_BY_CHANNELS[channels])} are supported for {channels}D inputs")
    if pixels.dtype != np.uint8:
        raise TypeError(f"Input type {pixels.dtype} is not supported")
    return image_from_pixels(pixels, mode or MODES_BY_CHANNELS[channels][0])


def _grey_image(pixels: np.ndarray, mode: str | None) -> Image.Image:
    expected = GREY_MODES.get(pixels.dtype.name)
    if expected is None:
        raise TypeError(f"Input type {pixels.dtype} is not supported")
    sixteen_bits = pixels.dtype.name in ("int16", "int32") and (mode or expected) == "I;16"
    if mode not in (None, expected) and not sixteen_bits:
        raise ValueError(f"Incorrect mode ({mode}) supplied for input type {pixels.dtype}. Should be {expected}")
    if sixteen_bits:
        if pixels.size and (pixels.min() < 0 or pixels.max() > 65535):
            raise ValueError(f"mode I;16 holds 0 to 65535, got {pixels.min()} to {pixels.max()}: use int32 and mode I")
        return image_from_pixels(pixels.astype("<u2"), "I;16")
    return image_from_pixels(pixels, expected)


def normalize(tensor: Tensor, mean: Any, std: Any, inplace: bool = False) -> Tensor:
    """Return `(x - mean) / std` for each channel.

    Args:
        tensor: floating image (..., c, h, w).
        mean: a number, or one or c numbers.
        std: likewise, none of them 0.
        inplace: change `tensor` itself.

    Raises:
        TypeError: `tensor` is no tensor or holds integers.
        ValueError: fewer than three dimensions, or a standard deviation of 0.
        RuntimeError: the length of `mean` or `std` does not go with the channels.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(tensor)}. ToTensor comes before Normalize")
    require_floating(tensor.dtype)
    if tensor.ndim < 3:
        raise ValueError(
            f"Expected tensor to be a tensor image of size (..., C, H, W). Got tensor.size() = {tensor.size()}"
        )
    mean, std = channel_values(mean, std, tensor.shape[-3], tensor.dtype)

    def rule(g: Array) -> Array:
        return g / array_module(g).asarray(std)[:, None, None]

    def apply(x: Tensor) -> Tensor:
        return record(normalize_array(x.array, mean, std), "Div", (x,), (rule,))

    return rewrite(tensor, apply) if inplace else apply(tensor)


def require_floating(dtype: Dtype) -> None:
    """Raise TypeError where images of this element type cannot be normalised."""
    if not dtype.is_floating_point:
        raise TypeError(
            f"Input tensor should be a float tensor. Got {dtype}. ToTensor or ConvertImageDtype comes first"
        )


def channel_values(mean: Any, std: Any, num_channels: int, dtype: Dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and standard deviation of each channel as arrays (1,) or (c,), or raise as `normalize` does."""
    mean, std = (np.atleast_1d(np.asarray(getattr(v, "array", v), dtype=dtype.numpy)) for v in (mean, std))
    if (std == 0).any():
        raise ValueError(f"std evaluated to zero after conversion to {dtype}, leading to division by zero.")
    for name, values in (("mean", mean), ("std", std)):
        if values.shape not in ((1,), (num_channels,)):
            raise RuntimeError(
                f"Normalize: `{name}` has {values.size} values for an image of {num_channels} channels: "
                f"give one, or {num_channels}"
            )
    return mean, std


def normalize_array(array: Array, mean: np.ndarray, std: np.ndarray, *, overwrite: bool = False) -> Array:
    """Return `(array - mean) / std` of (..., c, h, w), in its memory order; with `overwrite` in its memory.

    Channels-last memory is walked in stretches of several rows: NumPy is slow over an innermost axis of three elements.
    """
    xp = array_module(array)
    result = array if overwrite else xp.empty_like(array)
    flat, values = result, array
    factors = [xp.asarray(each)[:, None, None] for each in (mean, std)]
    order = (*range(array.ndim - 3), -2, -1, -3)
    rows = array.transpose(order)
    if rows.size and rows.flags.c_contiguous and rows.shape[-1] > 1:
        height, width, channels = rows.shape[-3:]
        pixels = math.gcd(height, 8) * width
        factors = [xp.tile(xp.broadcast_to(each.ravel(), (channels,)), pixels) for each in factors]
        values = rows.reshape(-1, pixels * channels)
        flat = result.transpose(order).reshape(values.shape)
    xp.subtract(values, factors[0], out=flat)
    xp.true_divide(flat, factors[1], out=flat)
    return result
