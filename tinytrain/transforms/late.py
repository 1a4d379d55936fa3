"""The conversion of pixels to floats, put off until a batch is whole.

Eight-bit pixels are a quarter of the floats that they become. Where a pipeline ends with ToTensor and Normalize, its
samples are collated, and travel from a worker process, as pixels; the floats are made once, in the batch's own memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinytrain.dtypes import float32, get_default_dtype
from tinytrain.kernels.native.extension import native
from tinytrain.tensor import Tensor, wrap
from tinytrain.transforms.composition import Compose
from tinytrain.transforms.conversion import Normalize, ToTensor
from tinytrain.transforms.functional.conversion import unit_scale
from tinytrain.transforms.fused import to_pixels

_CACHE = 1 << 20  # bytes; the second level of today's processors


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
        found = self._look_up(values)
        return wrap(self._convert(values) if found is None else found)

    def _convert(self, values: np.ndarray) -> np.ndarray:
        result = np.empty_like(values, dtype=get_default_dtype().numpy)
        for rows in self._chunks(result):
            unit_scale(values[rows], result.dtype, out=result[rows])
            for normalize in self.normalizations:
                normalize.overwrite_batch(result[rows])
        return result

    def _look_up(self, values: np.ndarray) -> np.ndarray | None:
        """Return what `_convert` does, from a table of what it makes of each of the 256 levels in each channel.

        Returns:
            None where the pixels do not lie channels-last, for other floats than float32, without the native kernels.
        """
        extension = native()
        if extension is None or get_default_dtype() is not float32:
            return None
        channels = values.shape[1]
        levels = np.broadcast_to(np.arange(256, dtype=np.uint8).reshape(1, 1, 1, 256), (1, channels, 1, 256)).copy()
        return extension.look_up(values, self._convert(levels).reshape(channels, 256))

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
    return Compose(to_pixels(steps[:start])), LateConversion(normalizations)
