"""What happens to an image before a network sees it, divided into what a graph can do and what its user has to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytrain.export.graph import ExportError
from tinytrain.tensor import wrap
from tinytrain.transforms import Compose, Normalize, ToTensor


@dataclass(frozen=True)
class Preprocessing:
    """Evaluation transforms in two parts.

    Attributes:
        before: transforms of the image itself, as Resize and CenterCrop, which stay outside.
        scale: (1, c, 1, 1), what each pixel value from 0 to 255 is multiplied by.
        shift: (1, c, 1, 1), what is added then.
    """

    before: Compose
    scale: np.ndarray
    shift: np.ndarray

    def apply(self, pixels: Any) -> Any:
        """Return pixels (n, c, h, w) from 0 to 255 as the network gets them."""
        return pixels * wrap(self.scale) + wrap(self.shift)

    def pixels(self, image: Any) -> np.ndarray:
        """Return an image as the graph gets it: (1, c, h, w) float32 from 0 to 255."""
        pixels = np.atleast_3d(np.asarray(self.before(image), np.float32))
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def divide(pipeline: Callable[[Any], Any], channels: int) -> Preprocessing:
    """Divide evaluation transforms where the image becomes numbers.

    Args:
        pipeline: a `Compose` with one `ToTensor`, and nothing but `Normalize` after it.
        channels: of the images.

    Raises:
        ExportError: it is another one.
    """
    steps = pipeline.transforms if isinstance(pipeline, Compose) else [pipeline]
    places = [i for i, step in enumerate(steps) if isinstance(step, ToTensor)]
    rest = steps[places[0] + 1 :] if places else []
    after = [step for step in rest if isinstance(step, Normalize)]
    if not places or len(after) < len(rest):
        raise ExportError(
            f"the evaluation transforms end in {', '.join(type(step).__name__ for step in steps[-3:])}; "
            "only ToTensor and Normalize can go into the graph",
            remedy="Leave out --preprocess",
        )
    scale, shift = np.full(channels, 1 / 255), np.zeros(channels)
    for step in after:
        mean, std = (np.asarray(values, np.float64).reshape(-1) for values in (step.mean, step.std))
        scale, shift = scale / std, (shift - mean) / std
    shape = (1, channels, 1, 1)
    return Preprocessing(
        Compose(steps[: places[0]]), scale.reshape(shape).astype(np.float32), shift.reshape(shape).astype(np.float32)
    )
