"""Transforms that turn, shear and bend: each draws the parameters of an inverse map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinytrain.random_streams import current_stream
from tinytrain.transforms import functional as F
from tinytrain.transforms.base import Transform, angle_range, checked_fill, checked_probability, require_sequence
from tinytrain.transforms.functional.geometry import as_interpolation
from tinytrain.transforms.functional.images import AnyImage

InterpolationMode = F.InterpolationMode


class RandomRotation(Transform):
    """Rotate by a random angle.

    Args:
        degrees: (low, high), counter-clockwise; a number d stands for (-d, d).
        interpolation: nearest or bilinear; with Pillow images bicubic too.
        expand: let the image grow to hold all of it.
        center: pixels (x, y) from the top left corner; None is the middle.
        fill: value outside the image, or one a channel.

    Raises:
        TypeError, ValueError: an argument of another kind, length or range.
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: InterpolationMode | str | int = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Any = 0,
    ):
        self.degrees = angle_range(degrees, "degrees")
        if center is not None:
            require_sequence(center, "center", (2,))
        self.interpolation, self.expand, self.center = as_interpolation(interpolation), expand, center
        self.fill = checked_fill(fill)

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """Draw an angle, degrees."""
        return current_stream().uniform(degrees[0], degrees[1])

    def __call__(self, img: AnyImage) -> AnyImage:
        angle = self.get_params(self.degrees)
        return F.rotate(img, angle, self.interpolation, self.expand, self.center, self.fill)

    def __repr__(self) -> str:
        center = "" if self.center is None else f", center={self.center}"
        return (
            f"RandomRotation(degrees={self.degrees}, interpolation={self.interpolation.value}, "
            f"expand={self.expand}{center}, fill={self.fill})"
        )


class RandomAffine(Transform):
    """Rotate, move, scale and shear by random amounts, keeping the middle where it is.

    Args:
        degrees: (low, high) of the rotation, clockwise; a number d stands for (-d, d).
        translate: largest shift (x, y) as shares of width and height, 0 to 1.
        scale: (low, high) of the factor, above 0.
        shear: degrees (low, high) along x, or (low x, high x, low y, high y); a number d stands for (-d, d).
        interpolation: nearest or bilinear; with Pillow images bicubic too.
        fill: value outside the image, or one a channel.
        center: pixels (x, y) from the top left corner; None is the middle.

    Raises:
        TypeError, ValueError: an argument of another kind, length or range.
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: InterpolationMode | str | int = InterpolationMode.NEAREST,
        fill: Any = 0,
        center: Sequence[float] | None = None,
    ):
        self.degrees = angle_range(degrees, "degrees")
        if translate is not None:
            require_sequence(translate, "translate", (2,))
            if not all(0.0 <= share <= 1.0 for share in translate):
                raise ValueError("translation values should be between 0 and 1")
        if scale is not None:
            require_sequence(scale, "scale", (2,))
            if not all(factor > 0 for factor in scale):
                raise ValueError("scale values should be positive")
        if center is not None:
            require_sequence(center, "center", (2,))
        self.translate, self.scale, self.center = translate, scale, center
        self.shear = None if shear is None else angle_range(shear, "shear", (2, 4))
        self.interpolation, self.fill = as_interpolation(interpolation), checked_fill(fill)

    @staticmethod
    def get_params(
        degrees: Sequence[float],
        translate: Sequence[float] | None,
        scale_ranges: Sequence[float] | None,
        shears: Sequence[float] | None,
        img_size: Sequence[int],
    ) -> tuple[float, tuple[int, int], float, tuple[float, float]]:
        """Draw (angle in degrees, shift (x, y) in pixels, scale, shear (x, y) in degrees) for (width, height)."""
        stream = current_stream()
        angle = stream.uniform(degrees[0], degrees[1])
        shift_x, shift_y = 0, 0
        if translate is not None:
            far_x, far_y = translate[0] * img_size[0], translate[1] * img_size[1]
            shift_x, shift_y = round(stream.uniform(-far_x, far_x)), round(stream.uniform(-far_y, far_y))
        scale = 1.0 if scale_ranges is None else stream.uniform(scale_ranges[0], scale_ranges[1])
        shear_x = 0.0 if shears is None else stream.uniform(shears[0], shears[1])
        shear_y = 0.0 if shears is None or len(shears) == 2 else stream.uniform(shears[2], shears[3])
        return angle, (shift_x, shift_y), scale, (shear_x, shear_y)

    def __call__(self, img: AnyImage) -> AnyImage:
        size = F.get_image_size(img)
        drawn = self.get_params(self.degrees, self.translate, self.scale, self.shear, size)
        return F.affine(img, *drawn, interpolation=self.interpolation, fill=self.fill, center=self.center)

    def __repr__(self) -> str:
        shown = {
            "translate": (self.translate, self.translate is not None),
            "scale": (self.scale, self.scale is not None),
            "shear": (self.shear, self.shear is not None),
            "interpolation": (self.interpolation.value, self.interpolation is not InterpolationMode.NEAREST),
            "fill": (self.fill, self.fill != 0),
            "center": (self.center, self.center is not None),
        }
        parts = [f"degrees={self.degrees}", *(f"{key}={value}" for key, (value, show) in shown.items() if show)]
        return f"RandomAffine({', '.join(parts)})"


class RandomPerspective(Transform):
    """Move the four corners inwards by random amounts, with probability `p`.

    Args:
        distortion_scale: the furthest a corner moves, as a share of half the width and height, 0 to 1.
        p: probability.
        interpolation: nearest or bilinear; with Pillow images bicubic too.
        fill: value outside the image, or one a channel.
    """

    def __init__(
        self,
        distortion_scale: float = 0.5,
        p: float = 0.5,
        interpolation: InterpolationMode | str | int = InterpolationMode.BILINEAR,
        fill: Any = 0,
    ):
        self.distortion_scale, self.p = distortion_scale, checked_probability(p, self)
        self.interpolation, self.fill = as_interpolation(interpolation), checked_fill(fill)

    @staticmethod
    def get_params(width: int, height: int, distortion_scale: float) -> tuple[list[list[int]], list[list[int]]]:
        """Draw where the corners go: (their places, their new places), each clockwise from the top left."""
        stream = current_stream()
        far_x, far_y = int(distortion_scale * (width // 2)), int(distortion_scale * (height // 2))
        start = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
        end = []
        for x, y in start:
            left, top = (x - far_x if x else 0), (y - far_y if y else 0)
            end.append([stream.integers(left, left + far_x + 1), stream.integers(top, top + far_y + 1)])
        return start, end

    def __call__(self, img: AnyImage) -> AnyImage:
        if current_stream().uniform() >= self.p:
            return img
        width, height = F.get_image_size(img)
        corners = self.get_params(width, height, self.distortion_scale)
        return F.perspective(img, *corners, self.interpolation, self.fill)

    def __repr__(self) -> str:
        return f"RandomPerspective(p={self.p})"
