"""The operations that automatic augmentation chooses from, by name, and how strong each may be.

Names, units and strengths are torchvision's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from tinytrain.random_streams import current_stream
from tinytrain.transforms import functional as F
from tinytrain.transforms.functional.images import AnyImage, Fill

InterpolationMode = F.InterpolationMode


class Strengths(NamedTuple):
    """What an operation's strength may be: one value a bin (none: it has no strength), and whether it has a sign."""

    values: np.ndarray | None = None
    signed: bool = False


def apply_operation(
    img: AnyImage, name: str, strength: float, interpolation: InterpolationMode, fill: Fill
) -> AnyImage:
    """Apply one of the named operations.

    Args:
        img: Pillow image or tensor.
        name: as in `strength_table`.
        strength: in the operation's own unit: a slope, pixels, degrees, a factor less 1, bits, a threshold.
        interpolation: for those that move pixels.
        fill: value outside the image for those.

    Raises:
        ValueError: there is no such operation.
    """
    if name in _MOVES:
        angle, translate, shear, center = _MOVES[name](strength)
        return F.affine(img, angle, translate, 1.0, shear, interpolation, fill, center)
    if name == "Rotate":
        return F.rotate(img, strength, interpolation, fill=fill)
    if name not in _CHANGES:
        raise ValueError(f"The provided operator {name} is not recognized.")
    return _CHANGES[name](img, strength)


def _shear_degrees(slope: float) -> float:
    return math.degrees(math.atan(slope))


_MOVES: Mapping[str, Callable[[float], tuple[float, list[int], list[float], list[int] | None]]] = {
    "ShearX": lambda s: (0.0, [0, 0], [_shear_degrees(s), 0.0], [0, 0]),
    "ShearY": lambda s: (0.0, [0, 0], [0.0, _shear_degrees(s)], [0, 0]),
    "TranslateX": lambda s: (0.0, [int(s), 0], [0.0, 0.0], None),
    "TranslateY": lambda s: (0.0, [0, int(s)], [0.0, 0.0], None),
}

_CHANGES: Mapping[str, Callable[[AnyImage, float], AnyImage]] = {
    "Brightness": lambda img, s: F.adjust_brightness(img, 1.0 + s),
    "Color": lambda img, s: F.adjust_saturation(img, 1.0 + s),
    "Contrast": lambda img, s: F.adjust_contrast(img, 1.0 + s),
    "Sharpness": lambda img, s: F.adjust_sharpness(img, 1.0 + s),
    "Posterize": lambda img, s: F.posterize(img, int(s)),
    "Solarize": F.solarize,
    "AutoContrast": lambda img, s: F.autocontrast(img),
    "Equalize": lambda img, s: F.equalize(img),
    "Invert": lambda img, s: F.invert(img),
    "Identity": lambda img, s: img,
}


def strength_table(
    num_bins: int,
    *,
    translate: tuple[float, float],
    shear: float = 0.3,
    rotate: float = 30.0,
    change: float = 0.9,
    bits: tuple[int, int] = (8, 4),
) -> dict[str, Strengths]:
    """Return the operations and their strengths, in even steps from none to the strongest.

    Args:
        num_bins: number of strengths.
        translate: the furthest shift (x, y), pixels.
        shear: the largest slope.
        rotate: the largest angle, degrees.
        change: the largest change of a factor.
        bits: posterize keeps the first number of bits at the weakest, and by the second fewer at the strongest.
    """

    def up_to(strongest: float) -> Strengths:
        return Strengths(np.linspace(0.0, strongest, num_bins), True)

    kept, dropped = bits
    return {
        "ShearX": up_to(shear),
        "ShearY": up_to(shear),
        "TranslateX": up_to(translate[0]),
        "TranslateY": up_to(translate[1]),
        "Rotate": up_to(rotate),
        "Brightness": up_to(change),
        "Color": up_to(change),
        "Contrast": up_to(change),
        "Sharpness": up_to(change),
        "Posterize": Strengths(kept - np.rint(np.arange(num_bins) / ((num_bins - 1) / dropped))),
        "Solarize": Strengths(np.linspace(255.0, 0.0, num_bins)),
        "AutoContrast": Strengths(),
        "Equalize": Strengths(),
    }


def draw_operation(table: Mapping[str, Strengths], bin_: int | None, num_bins: int) -> tuple[str, float]:
    """Draw (operation, strength) from a table evenly; the strength is that of `bin_`, or from the lower `num_bins`."""
    stream = current_stream()
    name = list(table)[stream.integers(0, len(table))]
    values, signed = table[name]
    if values is None:
        return name, 0.0
    strength = float(values[stream.integers(0, num_bins) if bin_ is None else bin_])
    return name, -strength if signed and stream.integers(0, 2) else strength
