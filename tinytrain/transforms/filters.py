"""Transforms over neighbourhoods and boxes: blur and erasing."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytrain.device import Array, array_module
from tinytrain.random_streams import BatchStream, current_stream
from tinytrain.tensor import Tensor, wrap
from tinytrain.transforms import functional as F
from tinytrain.transforms.base import Transform
from tinytrain.transforms.batch import BatchTransform
from tinytrain.transforms.cropping import check_ranges, draw_box_sides
from tinytrain.transforms.functional.images import AnyImage, as_list, size_pair
from tinytrain.transforms.gathering import Gathering


class GaussianBlur(Transform):
    """Blur with a Gaussian of random width.

    Args:
        kernel_size: odd number of pixels, or (width, height).
        sigma: (low, high) of the standard deviation in pixels, above 0, or one number.

    Raises:
        ValueError: a size that is not odd and positive, or a sigma that is not positive.
    """

    def __init__(self, kernel_size: int | Sequence[int], sigma: float | Sequence[float] = (0.1, 2.0)):
        self.kernel_size = size_pair(kernel_size, "Kernel size should be a tuple/list of two integers")
        if any(size <= 0 or size % 2 == 0 for size in self.kernel_size):
            raise ValueError("Kernel size value should be an odd and positive number.")
        if isinstance(sigma, numbers.Real):
            if sigma <= 0:
                raise ValueError("If sigma is a single number, it must be positive.")
            sigma = (float(sigma), float(sigma))
        elif not isinstance(sigma, Sequence) or len(sigma) != 2:
            raise ValueError("sigma should be a single number or a list/tuple with length 2.")
        elif not 0.0 < sigma[0] <= sigma[1]:
            raise ValueError("sigma values should be positive and of the form (min, max).")
        self.sigma = sigma

    @staticmethod
    def get_params(sigma_min: float, sigma_max: float) -> float:
        """Draw a standard deviation, pixels."""
        return current_stream().uniform(sigma_min, sigma_max)

    def __call__(self, img: AnyImage) -> AnyImage:
        sigma = self.get_params(self.sigma[0], self.sigma[1])
        return F.gaussian_blur(img, self.kernel_size, [sigma, sigma])

    def __repr__(self) -> str:
        return f"GaussianBlur(kernel_size={self.kernel_size}, sigma={self.sigma})"


class RandomErasing(BatchTransform):
    """Overwrite a random box of a tensor image, with probability `p` (Zhong et al., 2017).

    Args:
        p: probability.
        scale: lowest and highest share of the image's area.
        ratio: lowest and highest height / width, drawn evenly in its logarithm.
        value: a number, one a channel, or `random` for normal noise.
        inplace: change the tensor itself.

    Raises:
        TypeError, ValueError: an argument of another kind or range.
    """

    takes = "tensor"

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float | str | Sequence[float] = 0,
        inplace: bool = False,
    ):
        if not isinstance(value, (numbers.Real, str, tuple, list)):
            raise TypeError("Argument value should be either a number or str or a sequence")
        if isinstance(value, str) and value != "random":
            raise ValueError("If value is str, it should be 'random'")
        check_ranges(scale, ratio)
        if scale[0] < 0 or scale[1] > 1:
            raise ValueError("Scale should be between 0 and 1")
        if not 0 <= p <= 1:
            raise ValueError("Random erasing probability should be between 0 and 1")
        self.p, self.scale, self.ratio, self.value, self.inplace = p, scale, ratio, value, inplace

    @staticmethod
    def get_params(
        img: Tensor, scale: Sequence[float], ratio: Sequence[float], value: Sequence[float] | None = None
    ) -> tuple[int, int, int, int, Tensor]:
        """Draw (top, left, height, width, values); after ten misses the whole image and itself."""
        channels, height, width = img.shape[-3:]
        stream = current_stream()
        for _ in range(10):
            h, w = (int(side) for side in draw_box_sides(stream, height * width, scale, ratio))
            if h < height and w < width:
                i, j = stream.integers(0, height - h + 1), stream.integers(0, width - w + 1)
                values = _noise(stream.generator(), (channels, h, w)) if value is None else _column(value)
                return i, j, h, w, wrap(values)
        return 0, 0, height, width, img

    def __call__(self, img: Tensor) -> Tensor:
        if current_stream().uniform() >= self.p:
            return img
        if not isinstance(img, Tensor):
            raise TypeError(f"img should be Tensor Image. Got {type(img)}. ToTensor comes before RandomErasing")
        i, j, h, w, values = self.get_params(img, self.scale, self.ratio, self._values(img.shape[-3]))
        return img if values is img else F.erase(img, i, j, h, w, values, self.inplace)

    def on_batch(self, images: Array, stream: BatchStream) -> Array:
        xp = array_module(images)
        channels, height, width = images.shape[1:]
        value = self._values(channels)
        boxes, generators = self._draw_boxes((height, width), stream, with_noise=value is None)
        for row in np.flatnonzero(boxes[:, 2] * boxes[:, 3]).tolist():
            i, j, h, w = boxes[row].tolist()
            values = _noise(generators[row], (channels, h, w)) if value is None else _column(value)
            images[row, :, i : i + h, j : j + w] = xp.asarray(values)
        return images

    def put_off(self, gathering: Gathering, stream: BatchStream) -> bool:
        value = self._values(gathering.num_channels)
        if value is None or not gathering.can_erase():
            return False
        boxes, _ = self._draw_boxes(gathering.size, stream, with_noise=False)
        return gathering.erase(boxes, value)

    def _draw_boxes(
        self, size: tuple[int, int], stream: BatchStream, *, with_noise: bool
    ) -> tuple[np.ndarray, dict[int, np.random.Generator]]:
        """Draw for each image (top, left, height, width), all 0 for none, and what its noise comes from: (n, 4)."""
        height, width = size
        boxes = np.zeros((len(stream), 4), np.int64)
        generators: dict[int, np.random.Generator] = {}
        pending = np.flatnonzero(stream.uniform() < self.p)
        for _ in range(10):
            if not len(pending):
                break
            rows = stream.rows(pending)
            h, w = (side.astype(np.int64) for side in draw_box_sides(rows, height * width, self.scale, self.ratio))
            fits = (h < height) & (w < width)
            found, h, w = rows.rows(fits), h[fits], w[fits]
            i, j = found.integers(0, height - h + 1), found.integers(0, width - w + 1)
            boxes[pending[fits]] = np.stack([i, j, h, w], axis=1)
            if with_noise:
                generators |= dict(zip(pending[fits].tolist(), found.generators(), strict=True))
            pending = pending[~fits]
        return boxes, generators

    def _values(self, num_channels: int) -> list[float] | None:
        """Return the values to write, one or one a channel, or None for noise."""
        if isinstance(self.value, str):
            return None
        values = [float(each) for each in as_list(self.value)]
        if len(values) not in (1, num_channels):
            raise ValueError(
                "If value is a sequence, it should have either a single value or "
                f"{num_channels} (number of input channels)"
            )
        return values

    def __repr__(self) -> str:
        return (
            f"RandomErasing(p={self.p}, scale={self.scale}, ratio={self.ratio}, value={self.value}, "
            f"inplace={self.inplace})"
        )


def _column(values: Sequence[float]) -> np.ndarray:
    """Return one value, or one a channel, as (1 or c, 1, 1)."""
    return np.asarray(values, dtype=np.float32).reshape(-1, 1, 1)


def _noise(generator: Any, shape: tuple[int, int, int]) -> np.ndarray:
    return generator.standard_normal(shape, dtype=np.float32)
