"""Transforms of pixel values: colour jitter, grey, and the operations of `functional.colour` with a probability."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

from tinytrain.random_streams import current_stream
from tinytrain.transforms import functional as F
from tinytrain.transforms.base import Transform, checked_probability
from tinytrain.transforms.functional.images import AnyImage

Range = Sequence[float]


class ColorJitter(Transform):
    """Change brightness, contrast, saturation and hue by random amounts, in random order.

    Args:
        brightness: (low, high) of the factor, from 0; a number d stands for (1 - d, 1 + d), not below 0.
        contrast: likewise.
        saturation: likewise.
        hue: (low, high) in turns of the colour circle, from -0.5 to 0.5; a number d stands for (-d, d).

    Raises:
        TypeError: neither a number nor a pair.
        ValueError: outside the range.
    """

    def __init__(
        self,
        brightness: float | Range = 0,
        contrast: float | Range = 0,
        saturation: float | Range = 0,
        hue: float | Range = 0,
    ):
        self.brightness = _factor_range(brightness, "brightness")
        self.contrast = _factor_range(contrast, "contrast")
        self.saturation = _factor_range(saturation, "saturation")
        self.hue = _factor_range(hue, "hue", center=0.0, bounds=(-0.5, 0.5))

    @staticmethod
    def get_params(
        brightness: Range | None, contrast: Range | None, saturation: Range | None, hue: Range | None
    ) -> tuple[list[int], float | None, float | None, float | None, float | None]:
        """Draw the order of the four changes (0 brightness ... 3 hue), and the amount of each that has a range."""
        stream = current_stream()
        order = stream.permutation(4)
        drawn = [
            None if each is None else stream.uniform(each[0], each[1])
            for each in (brightness, contrast, saturation, hue)
        ]
        return order, drawn[0], drawn[1], drawn[2], drawn[3]

    def __call__(self, img: AnyImage) -> AnyImage:
        order, *factors = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        changes = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
        for which in order:
            factor = factors[which]
            if factor is not None:
                img = changes[which](img, factor)
        return img

    def __repr__(self) -> str:
        return (
            f"ColorJitter(brightness={self.brightness}, contrast={self.contrast}, "
            f"saturation={self.saturation}, hue={self.hue})"
        )


class Grayscale(Transform):
    """Turn an image grey.

    Args:
        num_output_channels: 1, or 3 equal ones.
    """

    def __init__(self, num_output_channels: int = 1):
        self.num_output_channels = num_output_channels

    def __call__(self, img: AnyImage) -> AnyImage:
        return F.rgb_to_grayscale(img, self.num_output_channels)

    def __repr__(self) -> str:
        return f"Grayscale(num_output_channels={self.num_output_channels})"


class _Maybe(Transform):
    """Applies `change` with probability `p`."""

    def __init__(self, p: float = 0.5):
        self.p = checked_probability(p, self)

    def __call__(self, img: AnyImage) -> AnyImage:
        return self.change(img) if current_stream().uniform() < self.p else img

    def change(self, img: AnyImage) -> AnyImage:
        """Return the changed image."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class RandomGrayscale(_Maybe):
    """Turn an image grey with probability `p`, keeping its number of channels."""

    def __init__(self, p: float = 0.1):
        super().__init__(p)

    def change(self, img: AnyImage) -> AnyImage:
        return F.rgb_to_grayscale(img, F.get_image_num_channels(img))


class RandomInvert(_Maybe):
    """Turn an image into its negative with probability `p`."""

    def change(self, img: AnyImage) -> AnyImage:
        return F.invert(img)


class RandomAutocontrast(_Maybe):
    """Stretch each channel to the full range with probability `p`."""

    def change(self, img: AnyImage) -> AnyImage:
        return F.autocontrast(img)


class RandomEqualize(_Maybe):
    """Even out each channel's histogram with probability `p`."""

    def change(self, img: AnyImage) -> AnyImage:
        return F.equalize(img)


class RandomPosterize(_Maybe):
    """Keep the highest `bits` bits of 8-bit values with probability `p`."""

    def __init__(self, bits: int, p: float = 0.5):
        super().__init__(p)
        self.bits = bits

    def change(self, img: AnyImage) -> AnyImage:
        return F.posterize(img, self.bits)

    def __repr__(self) -> str:
        return f"RandomPosterize(bits={self.bits},p={self.p})"


class RandomSolarize(_Maybe):
    """Invert the values from `threshold` on with probability `p`."""

    def __init__(self, threshold: float, p: float = 0.5):
        super().__init__(p)
        self.threshold = threshold

    def change(self, img: AnyImage) -> AnyImage:
        return F.solarize(img, self.threshold)

    def __repr__(self) -> str:
        return f"RandomSolarize(threshold={self.threshold},p={self.p})"


class RandomAdjustSharpness(_Maybe):
    """Sharpen (a factor above 1) or soften (below 1) an image with probability `p`."""

    def __init__(self, sharpness_factor: float, p: float = 0.5):
        super().__init__(p)
        self.sharpness_factor = sharpness_factor

    def change(self, img: AnyImage) -> AnyImage:
        return F.adjust_sharpness(img, self.sharpness_factor)

    def __repr__(self) -> str:
        return f"RandomAdjustSharpness(sharpness_factor={self.sharpness_factor},p={self.p})"


def _factor_range(
    value: Any, name: str, center: float = 1.0, bounds: tuple[float, float] = (0, float("inf"))
) -> tuple[float, float] | None:
    """Return (low, high), or None where nothing would change."""
    if isinstance(value, numbers.Real):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be non negative.")
        low, high = center - float(value), center + float(value)
        low = max(low, 0.0) if center == 1.0 else low
    elif isinstance(value, (tuple, list)) and len(value) == 2:
        low, high = float(value[0]), float(value[1])
    else:
        raise TypeError(f"{name} should be a single number or a list/tuple with length 2.")
    if not bounds[0] <= low <= high <= bounds[1]:
        raise ValueError(f"{name} values should be between {bounds}, but got {[low, high]}.")
    return None if low == high == center else (low, high)
