"""Operations on a pixel's neighbourhood: blur, sharpen, and erasing a box."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import ImageEnhance

from tinytrain.device import Array, array_module
from tinytrain.recording import rewrite
from tinytrain.tensor import Tensor, wrap
from tinytrain.transforms.functional.conversion import pil_to_tensor, to_pil_image
from tinytrain.transforms.functional.images import (
    AnyImage,
    cast_back,
    computing_dtype,
    is_pil,
    max_value,
    require_8_bits,
    require_channels,
    through_32_bits,
    through_array,
)


def gaussian_blur(
    img: AnyImage, kernel_size: int | Sequence[int], sigma: float | Sequence[float] | None = None
) -> AnyImage:
    """Blur with a Gaussian, the image mirrored about its last pixels.

    Args:
        img: Pillow image, or tensor (..., c, h, w).
        kernel_size: odd number of pixels, or (width, height).
        sigma: standard deviation in pixels, or (x, y); by default `0.15 * kernel_size + 0.35`.

    Raises:
        TypeError, ValueError: an argument of another kind, length or range.
    """
    sizes, sigmas = _check_blur(kernel_size, sigma)
    if is_pil(img):
        return through_32_bits(
            lambda image: to_pil_image(gaussian_blur(pil_to_tensor(image), sizes, sigmas), image.mode), img
        )

    def apply(x: Array) -> Array:
        smooth = x.astype(computing_dtype(x), copy=False)
        for axis, size, deviation in zip((-1, -2), sizes, sigmas, strict=True):
            smooth = _correlate(smooth, gaussian_kernel(size, deviation), axis)
        return cast_back(smooth, x.dtype)

    return through_array(apply, img)


def gaussian_kernel(size: int, sigma: float) -> np.ndarray:
    """Return (size,) samples of a Gaussian about the middle, with sum 1."""
    x = np.arange(size) - (size - 1) * 0.5
    weights = np.exp(-0.5 * (x / sigma) ** 2)
    return weights / weights.sum()


def adjust_sharpness(img: AnyImage, sharpness_factor: float) -> AnyImage:
    """Move an image away from its smoothed self: 0 is smooth, 1 the image itself, 2 twice as sharp.

    Raises:
        ValueError: a negative factor for a tensor.
    """
    if is_pil(img):
        require_8_bits(img, "adjust_sharpness")
        return ImageEnhance.Sharpness(img).enhance(sharpness_factor)
    if sharpness_factor < 0:
        raise ValueError(f"sharpness_factor ({sharpness_factor}) is not non-negative.")
    require_channels(img, (1, 3))
    if min(img.shape[-2:]) <= 2:
        return img

    def apply(x: Array) -> Array:
        values = x.astype(computing_dtype(x))
        smooth = values.copy()
        height, width = x.shape[-2:]
        # The 3x3 mean in which the middle counts five times, of everything but the border.
        total = 4 * values[..., 1:-1, 1:-1]
        for top in range(3):
            for left in range(3):
                total += values[..., top : top + height - 2, left : left + width - 2]
        mean = total / 13
        smooth[..., 1:-1, 1:-1] = mean if x.dtype.kind == "f" else mean.round()
        blended = sharpness_factor * values + (1.0 - sharpness_factor) * smooth
        return blended.clip(0, max_value(x)).astype(x.dtype)

    return through_array(apply, img)


def erase(img: Tensor, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Tensor:
    """Overwrite a box of a tensor image (..., c, height, width).

    Args:
        img: the image.
        i: top, pixels.
        j: left, pixels.
        h: height, pixels.
        w: width, pixels.
        v: value, tensor or array that broadcasts to (c, h, w).
        inplace: change `img` itself.

    Raises:
        TypeError: `img` is no tensor.
    """
    if not isinstance(img, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(img)}. ToTensor comes before RandomErasing")
    values = v.array if isinstance(v, Tensor) else v

    def apply(x: Array) -> Array:
        erased = x.copy(order="K")
        erased[..., i : i + h, j : j + w] = values
        return erased

    if inplace:
        return rewrite(img, lambda old: wrap(apply(old.array)))
    return through_array(apply, img)


def _correlate(x: Array, kernel: np.ndarray, axis: int) -> Array:
    """Return `x` weighted by a kernel along one axis, mirrored about its ends."""
    xp, size, length = array_module(x), len(kernel), x.shape[axis]
    index = xp.pad(xp.arange(length), size // 2, mode="reflect")
    padded = xp.take(x, index, axis=axis)
    result = xp.zeros_like(x)
    for start, weight in enumerate(kernel):
        window = [slice(None)] * x.ndim
        window[axis] = slice(start, start + length)
        result += x.dtype.type(weight) * padded[tuple(window)]
    return result


def _check_blur(
    kernel_size: int | Sequence[int], sigma: float | Sequence[float] | None
) -> tuple[list[int], list[float]]:
    if not isinstance(kernel_size, (int, list, tuple)):
        raise TypeError(f"kernel_size should be int or a sequence of integers. Got {type(kernel_size)}")
    sizes = [kernel_size] * 2 if isinstance(kernel_size, int) else list(kernel_size)
    if len(sizes) != 2:
        raise ValueError(f"If kernel_size is a sequence its length should be 2. Got {len(sizes)}")
    if any(size % 2 == 0 or size < 0 for size in sizes):
        raise ValueError(f"kernel_size should have odd and positive integers. Got {kernel_size}")
    if sigma is None:
        sigma = [size * 0.15 + 0.35 for size in sizes]
    if not isinstance(sigma, (numbers.Real, list, tuple)):
        raise TypeError(f"sigma should be either float or sequence of floats. Got {type(sigma)}")
    sigmas = [float(sigma)] * 2 if isinstance(sigma, numbers.Real) else [float(s) for s in sigma]
    sigmas *= 2 if len(sigmas) == 1 else 1
    if len(sigmas) != 2:
        raise ValueError(f"If sigma is a sequence, its length should be 2. Got {len(sigmas)}")
    if min(sigmas) <= 0.0:
        raise ValueError(f"sigma should have positive values. Got {sigmas}")
    return sizes, sigmas
