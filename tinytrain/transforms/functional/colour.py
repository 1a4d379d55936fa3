"""What pixel values become: brightness, contrast, saturation, hue, gamma, grey, histogram operations.

On Pillow images these are Pillow's (`ImageEnhance`, `ImageOps`); on tensors the same formulas over arrays.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from tinytrain.device import Array, array_module
from tinytrain.transforms.functional.conversion import convert_array_dtype
from tinytrain.transforms.functional.images import (
    AnyImage,
    computing_dtype,
    image_from_pixels,
    is_pil,
    max_value,
    require_8_bits,
    require_channels,
    through_array,
)

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in brightness (ITU-R BT.601), in torchvision's rounding."""


def adjust_brightness(img: AnyImage, brightness_factor: float) -> AnyImage:
    """Multiply the brightness: 0 is black, 1 the image itself."""
    if is_pil(img):
        require_8_bits(img, "adjust_brightness")
        return ImageEnhance.Brightness(img).enhance(brightness_factor)
    _require_factor("brightness_factor", brightness_factor)
    require_channels(img, (1, 3))
    return through_array(lambda x: _blend(x, 0.0, brightness_factor), img)


def adjust_contrast(img: AnyImage, contrast_factor: float) -> AnyImage:
    """Move the values away from the mean grey: 0 is that grey, 1 the image itself."""
    if is_pil(img):
        require_8_bits(img, "adjust_contrast")
        return ImageEnhance.Contrast(img).enhance(contrast_factor)
    _require_factor("contrast_factor", contrast_factor)
    require_channels(img, (3, 1))

    def apply(x: Array) -> Array:
        mean = _grey(x).astype(computing_dtype(x)).mean(axis=(-3, -2, -1), keepdims=True)
        return _blend(x, mean, contrast_factor)

    return through_array(apply, img)


def adjust_saturation(img: AnyImage, saturation_factor: float) -> AnyImage:
    """Move the colours away from grey: 0 is the grey image, 1 the image itself."""
    if is_pil(img):
        require_8_bits(img, "adjust_saturation")
        return ImageEnhance.Color(img).enhance(saturation_factor)
    _require_factor("saturation_factor", saturation_factor)
    require_channels(img, (1, 3))
    if img.shape[-3] == 1:
        return img
    return through_array(lambda x: _blend(x, _grey(x), saturation_factor), img)


def adjust_hue(img: AnyImage, hue_factor: float) -> AnyImage:
    """Turn the colour circle by `hue_factor`, from -0.5 to 0.5 turns; grey images stay as they are.

    Raises:
        ValueError: a factor outside that range.
    """
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    if is_pil(img):
        if len(img.getbands()) == 1:
            return img
        hue, saturation, value = img.convert("HSV").split()
        turned = np.asarray(hue) + np.int32(hue_factor * 255).astype(np.uint8)
        return Image.merge("HSV", (image_from_pixels(turned, "L"), saturation, value)).convert(img.mode)
    require_channels(img, (1, 3))
    if img.shape[-3] == 1:
        return img

    def apply(x: Array) -> Array:
        hue, saturation, value = _rgb_to_hsv(convert_array_dtype(x, computing_dtype(x)))
        return convert_array_dtype(_hsv_to_rgb((hue + hue_factor) % 1.0, saturation, value), x.dtype)

    return through_array(apply, img)


def adjust_gamma(img: AnyImage, gamma: float, gain: float = 1) -> AnyImage:
    """Return `gain * x ** gamma` of values from 0 to 1: above 1 darkens the shadows, below 1 lightens them.

    Raises:
        ValueError: a negative `gamma`.
    """
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    if is_pil(img):
        require_8_bits(img, "adjust_gamma")
        table = [int((255 + 1 - 1e-3) * gain * pow(value / 255.0, gamma)) for value in range(256)]
        return img.convert("RGB").point(table * 3).convert(img.mode)
    require_channels(img, (1, 3))

    def apply(x: Array) -> Array:
        unit = x if x.dtype.kind == "f" else convert_array_dtype(x, computing_dtype(x))
        return convert_array_dtype((gain * unit**gamma).clip(0, 1), x.dtype)

    return through_array(apply, img)


def to_grayscale(img: Image.Image, num_output_channels: int = 1) -> Image.Image:
    """Return a Pillow image in grey, of one channel or three equal ones.

    Raises:
        TypeError: a tensor; `rgb_to_grayscale` takes both.
    """
    if not isinstance(img, Image.Image):
        raise TypeError("Input should be PIL Image")
    return rgb_to_grayscale(img, num_output_channels)


def rgb_to_grayscale(img: AnyImage, num_output_channels: int = 1) -> AnyImage:
    """Return the image in grey, of one channel or three equal ones.

    Raises:
        ValueError: another number of channels asked for.
    """
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    if is_pil(img):
        if img.mode[0] in "IF" and num_output_channels == 1:
            return img
        require_8_bits(img, "rgb_to_grayscale to three channels")
        grey = img.convert("L")
        return grey if num_output_channels == 1 else Image.merge("RGB", (grey, grey, grey))
    require_channels(img, (1, 3))

    def apply(x: Array) -> Array:
        shape = (*x.shape[:-3], num_output_channels, *x.shape[-2:])
        return array_module(x).broadcast_to(_grey(x), shape).copy()

    return through_array(apply, img)


def invert(img: AnyImage) -> AnyImage:
    """Return the negative: full brightness less the value."""
    if is_pil(img):
        require_8_bits(img, "invert")
        return ImageOps.invert(img)
    require_channels(img, (1, 3))
    return through_array(lambda x: x.dtype.type(max_value(x)) - x, img)


def posterize(img: AnyImage, bits: int) -> AnyImage:
    """Keep the `bits` (0 to 8) highest bits of 8-bit values.

    Raises:
        ValueError: another number of bits.
        TypeError: a tensor that is not uint8.
    """
    if not 0 <= bits <= 8:
        raise ValueError(f"The number if bits should be between 0 and 8. Got {bits}")
    if is_pil(img):
        require_8_bits(img, "posterize")
        return ImageOps.posterize(img, bits)
    _require_bytes(img)
    return through_array(lambda x: x & np.uint8(256 - 2 ** (8 - bits) if bits else 0), img)


def solarize(img: AnyImage, threshold: float) -> AnyImage:
    """Invert the values from `threshold` on.

    Raises:
        TypeError: a threshold above the type's full brightness.
    """
    if is_pil(img):
        require_8_bits(img, "solarize")
        return ImageOps.solarize(img, threshold)  # type: ignore[arg-type]  # Pillow compares, floats do
    require_channels(img, (1, 3))
    if threshold > max_value(img.array):
        raise TypeError("Threshold should be less than bound of img.")
    return through_array(lambda x: array_module(x).where(x >= threshold, x.dtype.type(max_value(x)) - x, x), img)


def autocontrast(img: AnyImage) -> AnyImage:
    """Stretch each channel so that its darkest value becomes 0 and its brightest full."""
    if is_pil(img):
        require_8_bits(img, "autocontrast")
        return ImageOps.autocontrast(img)
    require_channels(img, (1, 3))

    def apply(x: Array) -> Array:
        xp, dtype = array_module(x), computing_dtype(x)
        low = x.min(axis=(-2, -1), keepdims=True).astype(dtype)
        span = x.max(axis=(-2, -1), keepdims=True).astype(dtype) - low
        flat = span == 0
        low, scale = xp.where(flat, 0, low), max_value(x) / xp.where(flat, max_value(x), span)
        return ((x - low) * scale).clip(0, max_value(x)).astype(x.dtype)

    return through_array(apply, img)


def equalize(img: AnyImage) -> AnyImage:
    """Spread each channel's values so that its histogram becomes as even as it can.

    Raises:
        TypeError: a tensor that is not uint8.
    """
    if is_pil(img):
        require_8_bits(img, "equalize")
        return ImageOps.equalize(img)
    _require_bytes(img)

    def apply(x: Array) -> Array:
        planes = x.reshape(-1, *x.shape[-2:])
        return array_module(x).stack([_equalize_plane(plane) for plane in planes]).reshape(x.shape)

    return through_array(apply, img)


def _require_factor(name: str, factor: float) -> None:
    if factor < 0:
        raise ValueError(f"{name} ({factor}) is not non-negative.")


def _require_bytes(img: AnyImage) -> None:
    require_channels(img, (1, 3))
    if img.array.dtype != np.uint8:
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {img.dtype}")


def _grey(x: Array) -> Array:
    """Return (..., 1, h, w) in the type of `x`, integers rounded down."""
    if x.shape[-3] == 1:
        return x
    r, g, b = (x[..., i : i + 1, :, :].astype(computing_dtype(x)) for i in range(3))
    return (r * LUMA[0] + g * LUMA[1] + b * LUMA[2]).astype(x.dtype)


def _blend(x: Array, other: Array | float, factor: float) -> Array:
    """Return `factor * x + (1 - factor) * other`, held to the type's range, integers rounded down."""
    dtype = computing_dtype(x)
    result = x.astype(dtype) * float(factor)
    result += (1.0 - float(factor)) * (other if isinstance(other, float) else other.astype(dtype))
    return result.clip(0, max_value(x)).astype(x.dtype)


def _equalize_plane(plane: Array) -> Array:
    xp = array_module(plane)
    histogram = xp.bincount(plane.reshape(-1), minlength=256)
    filled = histogram[histogram > 0]
    step = int(filled[:-1].sum()) // 255
    if step == 0:
        return plane
    table = (xp.cumsum(histogram) - histogram + step // 2) // step
    return table.clip(0, 255).astype(np.uint8)[plane]


def _rgb_to_hsv(x: Array) -> tuple[Array, Array, Array]:
    """Return hue (turns), saturation and value of (..., 3, h, w) in 0..1; grey has hue 0 (Smith, 1978)."""
    xp = array_module(x)
    r, g, b = (x[..., i, :, :] for i in range(3))
    value, spread = x.max(axis=-3), x.max(axis=-3) - x.min(axis=-3)
    grey = spread == 0
    saturation = spread / xp.where(grey, 1, value)
    to_r, to_g, to_b = ((value - channel) / xp.where(grey, 1, spread) for channel in (r, g, b))
    sixths = xp.where(value == r, to_b - to_g, xp.where(value == g, 2 + to_r - to_b, 4 + to_g - to_r))
    return (sixths / 6.0 + 1.0) % 1.0, saturation, value


def _hsv_to_rgb(hue: Array, saturation: Array, value: Array) -> Array:
    """Return (..., 3, h, w), the inverse of `_rgb_to_hsv`: each channel a clipped ramp around its hue."""
    xp = array_module(hue)

    def channel(turn: int) -> Array:
        distance = (turn + hue * 6.0) % 6.0
        return value - value * saturation * xp.minimum(distance, 4.0 - distance).clip(0.0, 1.0)

    return xp.stack([channel(5), channel(3), channel(1)], axis=-3)
