"""The conversion of pixels to floats, put off until a batch is whole.

Eight-bit pixels are a quarter of the floats that they become. Where a pipeline ends with ToTensor and Normalize, its
samples are collated, and travel from a worker process, as pixels; the floats are made once, in the batch's own memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from tinytrain.dtypes import get_default_dtype
from tinytrain.tensor import Tensor, wrap
from tinytrain.transforms.base import Transform
from tinytrain.transforms.composition import Compose
from tinytrain.transforms.conversion import Normalize, ToTensor
from tinytrain.transforms.functional.conversion import channels_first, image_values, unit_scale

_CACHE = 1 << 20  # bytes; the second level of today's processors


class Pixels(Transform):
    """Convert a Pillow image or an array (h, w, c) to a tensor (c, h, w) as ToTensor does, but for the scale."""

    takes, gives = "pil", "tensor"

    def __call__(self, pic: Image.Image | np.ndarray) -> Tensor:
        return wrap(channels_first(image_values(pic)))


class LateConversion:
    """ToTensor's scale and any Normalize after it, for a batch.

    Args:
        normalizations: applied in their order.
    """

    def __init__(self, normalizations: Sequence[Normalize]):
        self.normalizations = normalizations

    def __call__(self, images: Tensor) -> Tensor:
        """Return what ToTensor and the normalizations make of each image, to the bit.

        Args:
            images: (n, c, h, w) of `Pixels`; those that are not scaled are overwritten.
        """
        values = images.array
        if values.dtype != np.uint8:
            for normalize in self.normalizations:
                normalize.overwrite_batch(values)
            return images
        result = np.empty_like(values, dtype=get_default_dtype().numpy)
        for rows in self._chunks(result):
            unit_scale(values[rows], result.dtype, out=result[rows])
            for normalize in self.normalizations:
                normalize.overwrite_batch(result[rows])
        return wrap(result)

    @staticmethod
    def _chunks(batch: np.ndarray) -> Iterator[slice]:
        """Cut a batch into rows that stay in the processor's cache from step to step."""
        count = max(_CACHE // max(batch[:1].nbytes, 1), 1)
        return (slice(start, start + count) for start in range(0, len(batch), count))


def put_off_conversion(transform: Any) -> tuple[Compose, LateConversion] | None:
    """Split a pipeline before its conversion to floats.

    Returns:
        A pipeline that ends with pixels, and the steps left to do; or None where it has no such end.
    """
    if type(transform) is not Compose:
        return None
    steps = list(transform.transforms)
    start = next((i for i, step in enumerate(steps) if type(step) is ToTensor), len(steps))
    normalizations = [step for step in steps[start + 1 :] if type(step) is Normalize]
    if start + 1 + len(normalizations) != len(steps):
        return None
    return Compose([*steps[:start], Pixels()]), LateConversion(normalizations)
