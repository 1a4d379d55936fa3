"""Pictures of many images: `make_grid` lays them out in one tensor, `save_image` writes that to a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from tinytrain.device import CPU, Array, array_module, move
from tinytrain.tensor import Tensor, wrap


def make_grid(
    tensor: Tensor | Sequence[Tensor],
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """Lay images out in rows, with a border around each.

    Args:
        tensor: (n, c, h, w); or one image (c, h, w) or (h, w), which gets no border; or a list of images of
            one size. One channel becomes three equal ones.
        nrow: images in a row.
        padding: width of the borders, pixels.
        normalize: shift and scale the values to 0..1.
        value_range: (low, high) of that scaling; by default the smallest and the largest value.
        scale_each: take the smallest and the largest of each image instead of all.
        pad_value: of the borders, and of the places left over in the last row.

    Returns:
        (3, rows * (h + padding) + padding, columns * (w + padding) + padding), in the images' type.

    Raises:
        TypeError: not tensors, integers to be normalised, or `value_range` is no tuple.
    """
    images = _as_batch(tensor)
    if normalize:
        _require_floats(images, "make_grid with normalize=True")
        if value_range is not None and not isinstance(value_range, tuple):
            raise TypeError("value_range has to be a tuple (min, max) if specified. min and max are numbers")
        parts = [_to_unit(each, value_range) for each in images] if scale_each else [_to_unit(images, value_range)]
        images = array_module(images).stack(parts) if scale_each else parts[0]
    if len(images) == 1:
        return wrap(images[0].copy())
    num_images, channels, height, width = images.shape
    columns = min(nrow, num_images)
    rows = -(-num_images // columns)
    step_y, step_x = height + padding, width + padding
    shape = (channels, rows * step_y + padding, columns * step_x + padding)
    grid = array_module(images).full(shape, pad_value, dtype=images.dtype)
    for position, image in enumerate(images):
        y, x = divmod(position, columns)
        top, left = y * step_y + padding, x * step_x + padding
        grid[:, top : top + height, left : left + width] = image
    return wrap(grid)


def save_image(
    tensor: Tensor | Sequence[Tensor],
    fp: str | os.PathLike[str] | BinaryIO,
    format: str | None = None,
    **kwargs: Any,
) -> None:
    """Write images to a picture file: the grid's values 0..1 become `x * 255 + 0.5`, clipped and rounded down.

    Args:
        tensor: as for `make_grid`.
        fp: a path, or a file opened for writing bytes.
        format: Pillow's name of the format; by default the one that the path's ending means.
        **kwargs: further arguments of `make_grid`.

    Raises:
        TypeError: integers, or see `make_grid`.
    """
    grid = move(make_grid(tensor, **kwargs).array, CPU)
    _require_floats(grid, "save_image")
    pixels = (grid * 255 + 0.5).clip(0, 255).transpose(1, 2, 0).astype(np.uint8)
    Image.fromarray(np.ascontiguousarray(pixels)).save(fp, format=format)


def _as_batch(tensor: Any) -> Array:
    """Return what `make_grid` takes as an array (n, c, h, w) with three channels where there was one."""
    if isinstance(tensor, (list, tuple)):
        for each in tensor:
            if not isinstance(each, Tensor):
                raise TypeError(f"tensor or list of tensors expected, got a list containing {type(each)}")
        images = array_module(tensor[0].array).stack([each.array for each in tensor])
    elif isinstance(tensor, Tensor):
        images = tensor.array
    else:
        raise TypeError(f"tensor or list of tensors expected, got {type(tensor)}")
    if images.ndim == 2:
        images = images[None]
    if images.ndim == 3:
        images = images[None]
    if images.ndim == 4 and images.shape[1] == 1:
        images = array_module(images).concatenate((images,) * 3, axis=1)
    return images


def _to_unit(values: Array, value_range: tuple[float, float] | None) -> Array:
    """Return values clipped to a range and scaled to 0..1."""
    low, high = value_range or (float(values.min()), float(values.max()))
    return (values.clip(low, high) - low) / max(high - low, 1e-5)


def _require_floats(images: Array, what: str) -> None:
    if images.dtype.kind != "f":
        raise TypeError(f"{what} takes floats from 0 to 1, got {images.dtype}: use transforms.ConvertImageDtype first")
