"""Between Pillow images and tensors, and the last step before a model: normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from tinytrain.device import Array, array_module
from tinytrain.dtypes import as_dtype, from_numpy_dtype, get_default_dtype
from tinytrain.random_streams import BatchStream
from tinytrain.tensor import Tensor, wrap
from tinytrain.transforms import functional as F
from tinytrain.transforms.base import Transform
from tinytrain.transforms.batch import BatchTransform, LevelTransform
from tinytrain.transforms.functional.conversion import (
    channel_values,
    convert_array_dtype,
    normalize_array,
    require_floating,
    unit_scale,
)


class ToTensor(LevelTransform):
    """Convert a Pillow image or an array (h, w, c) to a tensor (c, h, w), 8-bit values to 0..1.

    Images of 16 and 32 bits keep their values: int32, or float32 for mode F.
    """

    takes, gives = "pil", "tensor"

    def __call__(self, pic: Image.Image | np.ndarray) -> Tensor:
        return F.to_tensor(pic)

    def on_batch(self, images: Array, stream: BatchStream) -> Array:
        return unit_scale(images, get_default_dtype().numpy) if images.dtype == np.uint8 else images


class PILToTensor(LevelTransform):
    """Convert a Pillow image to a tensor (c, h, w) of the same values, unscaled."""

    takes, gives = "pil", "tensor"

    def __call__(self, pic: Image.Image) -> Tensor:
        return F.pil_to_tensor(pic)

    def on_batch(self, images: Array, stream: BatchStream) -> Array:
        return images


class ToPILImage(Transform):
    """Convert a tensor (c, h, w) or an array (h, w, c) to a Pillow image.

    Args:
        mode: Pillow's mode; by default the one that goes with channels and element type.
    """

    takes, gives = "tensor", "pil"

    def __init__(self, mode: str | None = None):
        self.mode = mode

    def __call__(self, pic: Tensor | np.ndarray) -> Image.Image:
        return F.to_pil_image(pic, self.mode)

    def __repr__(self) -> str:
        return f"ToPILImage({'' if self.mode is None else f'mode={self.mode}'})"


class ConvertImageDtype(LevelTransform):
    """Convert a tensor image to another element type, full brightness to full brightness.

    Args:
        dtype: a dtype or its name.
    """

    takes = "tensor"

    def __init__(self, dtype: Any):
        self.dtype = as_dtype(dtype)

    def __call__(self, image: Tensor) -> Tensor:
        return F.convert_image_dtype(image, self.dtype)

    def on_batch(self, images: Array, stream: BatchStream) -> Array:
        same = images.dtype == self.dtype.numpy
        return images if same else convert_array_dtype(images, self.dtype.numpy)


class ReverseChannels(BatchTransform):
    """Turn the order of a tensor image's channels around: RGB becomes BGR, which networks from Caffe expect.

    Not in torchvision. Caffe's `x - mean` with x from 0 to 255 is, after this, `Normalize(mean / 255, 1 / 255)`.
    """

    takes = "tensor"

    def __call__(self, image: Tensor) -> Tensor:
        return wrap(self.on_batch(image.array[None])[0])

    def on_batch(self, images: Array, stream: BatchStream | None = None) -> Array:
        channels_last = images.transpose(0, 2, 3, 1)[..., ::-1]
        return array_module(images).ascontiguousarray(channels_last).transpose(0, 3, 1, 2)


class Normalize(LevelTransform):
    """Return `(x - mean) / std` of a floating tensor image, channel by channel.

    Args:
        mean: one number, or one a channel.
        std: likewise; none may be 0.
        inplace: change the tensor itself.
    """

    takes = "tensor"

    def __init__(self, mean: Any, std: Any, inplace: bool = False):
        self.mean, self.std, self.inplace = mean, std, inplace

    def __call__(self, tensor: Tensor) -> Tensor:
        return F.normalize(tensor, self.mean, self.std, self.inplace)

    def overwrite(self, tensor: Tensor) -> Tensor:
        """Normalise a tensor that nobody else holds in its own memory, outside the tape, and return it."""
        self.overwrite_batch(tensor.array[None])
        return tensor

    def overwrite_batch(self, images: Array) -> Array:
        """Normalise an array (n, c, h, w) in its own memory and return it."""
        dtype = from_numpy_dtype(images.dtype)
        require_floating(dtype)
        mean, std = channel_values(self.mean, self.std, images.shape[1], dtype)
        return normalize_array(images, mean, std, overwrite=True)

    def on_batch(self, images: Array, stream: BatchStream) -> Array:
        return self.overwrite_batch(images)

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"
