"""Turning, shearing and bending: an inverse map says where each output pixel reads the input."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence

import numpy as np
from PIL import Image

from tinytrain.device import Array, array_module
from tinytrain.transforms.functional.geometry import InterpolationMode, as_interpolation
from tinytrain.transforms.functional.images import (
    AnyImage,
    Fill,
    as_list,
    computing_dtype,
    get_dimensions,
    is_pil,
    pil_fill,
    through_32_bits,
    through_array,
)
from tinytrain.transforms.functional.sampling import read_at

Point = Sequence[float]


def inverse_affine_matrix(center: Point, angle: float, translate: Point, scale: float, shear: Point) -> list[float]:
    """Return the 6 numbers (a, b, c, d, e, f) with which output (x, y) reads (ax + by + c, dx + ey + f).

    The forward map is T C R S H C^-1: shear H and scale S about `center` C, rotation R, translation T.

    Args:
        center: of the turn, pixels (x, y).
        angle: degrees, clockwise on the screen.
        translate: pixels (x, y).
        scale: factor, above 0.
        shear: degrees along (x, y).
    """
    turn, shear_x, shear_y = math.radians(angle), math.radians(shear[0]), math.radians(shear[1])
    (cx, cy), (tx, ty) = center, translate
    a = math.cos(turn - shear_y) / math.cos(shear_y)
    b = -math.cos(turn - shear_y) * math.tan(shear_x) / math.cos(shear_y) - math.sin(turn)
    c = math.sin(turn - shear_y) / math.cos(shear_y)
    d = -math.sin(turn - shear_y) * math.tan(shear_x) / math.cos(shear_y) + math.cos(turn)
    # The determinant of (a b; c d) is 1: a shear and a rotation keep areas.
    p, q, r, s = d / scale, -b / scale, -c / scale, a / scale
    return [
        p, q, p * (-cx - tx) + q * (-cy - ty) + cx,
        r, s, r * (-cx - tx) + s * (-cy - ty) + cy,
    ]  # fmt: skip


def affine(
    img: AnyImage,
    angle: float,
    translate: Sequence[int],
    scale: float,
    shear: float | Sequence[float],
    interpolation: InterpolationMode | str | int = InterpolationMode.NEAREST,
    fill: Fill = None,
    center: Point | None = None,
) -> AnyImage:
    """Shear, scale, rotate and move an image, keeping its size.

    Args:
        img: Pillow image, or tensor (..., c, h, w).
        angle: degrees, clockwise.
        translate: pixels (x, y).
        scale: factor, above 0.
        shear: degrees along x, or (x, y).
        interpolation: nearest or bilinear; with Pillow images bicubic too.
        fill: value outside the image, or one a channel; None is 0.
        center: pixels (x, y) from the top left corner; None is the middle.

    Raises:
        TypeError, ValueError: an argument of another kind or length.
    """
    mode = as_interpolation(interpolation)
    _check_angle_and_center(angle, center)
    if not isinstance(translate, (list, tuple)):
        raise TypeError("Argument translate should be a sequence")
    if len(translate) != 2:
        raise ValueError("Argument translate should be a sequence of length 2")
    if scale <= 0.0:
        raise ValueError("Argument scale should be positive")
    if not isinstance(shear, (numbers.Number, list, tuple)):
        raise TypeError("Shear should be either a single value or a sequence of two values")
    shears = as_list(shear) if isinstance(shear, (list, tuple)) else [shear, 0.0]
    shears *= 2 if len(shears) == 1 else 1
    if len(shears) != 2:
        raise ValueError(f"Shear should be a sequence containing two values. Got {shears}")
    _, height, width = get_dimensions(img)
    if is_pil(img):
        middle = [width * 0.5, height * 0.5] if center is None else center
        matrix = inverse_affine_matrix(middle, angle, translate, scale, shears)
        return _transform(img, Image.Transform.AFFINE, matrix, mode, fill)
    matrix = inverse_affine_matrix(_from_middle(center, height, width), angle, translate, scale, shears)
    return through_array(lambda array: affine_array(array, matrix, (height, width), mode.value, fill), img)


def rotate(
    img: AnyImage,
    angle: float,
    interpolation: InterpolationMode | str | int = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Point | None = None,
    fill: Fill = None,
) -> AnyImage:
    """Rotate an image by `angle` degrees counter-clockwise; with `expand` it grows to hold all of it."""
    mode = as_interpolation(interpolation)
    _check_angle_and_center(angle, center)
    if is_pil(img):
        middle, outside = None if center is None else (center[0], center[1]), pil_fill(fill, img)
        return through_32_bits(lambda image: image.rotate(angle, mode.pil, expand, middle, fillcolor=outside), img)
    _, height, width = get_dimensions(img)
    matrix = inverse_affine_matrix(_from_middle(center, height, width), -angle, (0.0, 0.0), 1.0, (0.0, 0.0))
    size = expanded_size(matrix, height, width) if expand else (height, width)
    return through_array(lambda array: affine_array(array, matrix, size, mode.value, fill), img)


def perspective(
    img: AnyImage,
    startpoints: Sequence[Point],
    endpoints: Sequence[Point],
    interpolation: InterpolationMode | str | int = InterpolationMode.BILINEAR,
    fill: Fill = None,
) -> AnyImage:
    """Bend an image so that four points (x, y) come to lie on four others.

    Args:
        img: Pillow image, or tensor (..., c, h, w).
        startpoints: top left, top right, bottom right, bottom left.
        endpoints: where they come to lie.
        interpolation: nearest or bilinear; with Pillow images bicubic too.
        fill: value outside the image, or one a channel; None is 0.

    Raises:
        ValueError: not four points each.
    """
    mode = as_interpolation(interpolation)
    coefficients = perspective_coefficients(startpoints, endpoints)
    if is_pil(img):
        return _transform(img, Image.Transform.PERSPECTIVE, coefficients, mode, fill)
    return through_array(lambda array: perspective_array(array, coefficients, mode.value, fill), img)


def perspective_coefficients(startpoints: Sequence[Point], endpoints: Sequence[Point]) -> list[float]:
    """Return (a ... h): output (x, y) reads ((ax + by + c) / z, (dx + ey + f) / z), z = gx + hy + 1.

    Eight linear equations, solved in float64 by least squares (the points of a one-pixel image coincide),
    then rounded to float32.
    """
    if len(startpoints) != 4 or len(endpoints) != 4:
        raise ValueError(
            f"Please provide exactly four corners, got {len(startpoints)} startpoints and {len(endpoints)} endpoints."
        )
    equations = []
    for (x, y), (u, v) in zip(endpoints, startpoints, strict=True):
        equations.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        equations.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    values = np.asarray(startpoints, dtype=np.float64).reshape(8)
    solution = np.linalg.lstsq(np.asarray(equations, dtype=np.float64), values, rcond=None)[0]
    return solution.astype(np.float32).tolist()


def expanded_size(matrix: Sequence[float], height: int, width: int) -> tuple[int, int]:
    """Return the (height, width) that holds the whole of a rotated image."""
    x, y = np.float32(0.5) * np.float32(width), np.float32(0.5) * np.float32(height)
    corners = np.array([[-x, -y, 1], [-x, y, 1], [x, y, 1], [x, -y, 1]], dtype=np.float32)
    moved = corners @ np.array(matrix, dtype=np.float32).reshape(2, 3).T
    tolerance = np.float32(1e-4)  # so that a corner on a pixel's edge does not open a new row
    low, high = (
        np.trunc((edge + np.array([x, y])) / tolerance) * tolerance for edge in (moved.min(axis=0), moved.max(axis=0))
    )
    new_width, new_height = np.ceil(high) - np.floor(low)
    return int(new_height), int(new_width)


def affine_array(array: Array, matrix: Sequence[float], size: tuple[int, int], mode: str, fill: Fill) -> Array:
    """Return (..., h, w) read through an inverse affine map about the image's middle.

    Args:
        array: (..., h, w).
        matrix: of `inverse_affine_matrix`, pixels from the middle.
        size: (height, width) of the result.
        mode: `nearest` or `bilinear`.
        fill: as in `affine`.
    """
    xp, dtype = array_module(array), computing_dtype(array)
    height, width = array.shape[-2:]
    a, b, c, d, e, f = (dtype.type(value) for value in matrix)
    half_w, half_h = dtype.type(0.5 * width), dtype.type(0.5 * height)
    x = xp.arange(size[1], dtype=dtype) - dtype.type(0.5 * size[1] - 0.5)
    y = (xp.arange(size[0], dtype=dtype) - dtype.type(0.5 * size[0] - 0.5))[:, None]
    # In units of half the image and back, as in PyTorch: ties of `nearest` then fall on the same side.
    u = x * (a / half_w) + y * (b / half_w) + c / half_w
    v = x * (d / half_h) + y * (e / half_h) + f / half_h
    return read_at(array, (u + 1) * half_w - dtype.type(0.5), (v + 1) * half_h - dtype.type(0.5), mode, fill)


def perspective_array(array: Array, coefficients: Sequence[float], mode: str, fill: Fill) -> Array:
    """Return (..., h, w) read through the map of `perspective_coefficients`, at the pixels' centres."""
    xp, dtype = array_module(array), computing_dtype(array)
    height, width = array.shape[-2:]
    a, b, c, d, e, f, g, h = (dtype.type(value) for value in coefficients)
    half_w, half_h = dtype.type(0.5 * width), dtype.type(0.5 * height)
    x = xp.arange(width, dtype=dtype) + dtype.type(0.5)
    y = (xp.arange(height, dtype=dtype) + dtype.type(0.5))[:, None]
    divisor = x * g + y * h + dtype.type(1)
    u = (x * (a / half_w) + y * (b / half_w) + c / half_w) / divisor - 1
    v = (x * (d / half_h) + y * (e / half_h) + f / half_h) / divisor - 1
    return read_at(array, (u + 1) * half_w - dtype.type(0.5), (v + 1) * half_h - dtype.type(0.5), mode, fill)


def _transform(
    img: Image.Image, kind: Image.Transform, coefficients: Sequence[float], mode: InterpolationMode, fill: Fill
) -> Image.Image:
    """Return a Pillow image read through an inverse map."""
    outside = pil_fill(fill, img)
    return through_32_bits(
        lambda image: image.transform(image.size, kind, coefficients, mode.pil, fillcolor=outside), img
    )


def _check_angle_and_center(angle: float, center: Point | None) -> None:
    if not isinstance(angle, (int, float)):
        raise TypeError("Argument angle should be int or float")
    if center is not None and not isinstance(center, (list, tuple)):
        raise TypeError("Argument center should be a sequence")


def _from_middle(center: Point | None, height: int, width: int) -> Point:
    """Return a point given from the top left corner as one given from the image's middle."""
    return (0.0, 0.0) if center is None else (center[0] - width * 0.5, center[1] - height * 0.5)
