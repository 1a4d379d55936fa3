"""Pipelines over a whole batch as one array, for data sets that lie in memory: no Python per sample.

A data set that holds its images as one array asks its transform

    if transform.has_batch:
        batch = transform.batch(images[indices], streams)       # streams: a BatchStream, one row an image

and gets, to the bit, what the transform makes of each image alone under its own `SampleStream`. A transform has a
batch form if it starts from Pillow images, ends with tensors, and every step of it is a `BatchTransform`. A
transform of one's own may offer the same two names.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytrain.device import Array
from tinytrain.random_streams import BatchStream
from tinytrain.transforms.base import Transform


class BatchForm:
    """The two names that a data set asks for; what has them says in `batch_steps` what they are made of."""

    @property
    def has_batch(self) -> bool:
        """Whether `batch` can be used."""
        return any(step.gives == "tensor" for step in self.batch_steps() or ())

    def batch(self, images: np.ndarray, streams: BatchStream) -> Array:
        """Transform a batch.

        Args:
            images: uint8 (n, h, w, c), a copy of one's own: steps may work in place.
            streams: one row for each image.

        Returns:
            (n, c, h, w), channels last in memory, of the element type that the pipeline gives.
        """
        batch = images.transpose(0, 3, 1, 2)
        for step in self.batch_steps() or ():
            batch = step.on_batch(batch, streams)
        return batch

    def batch_steps(self) -> list[BatchTransform] | None:
        """Return the steps in their order, or None where one of them cannot work on batches."""
        raise NotImplementedError(f"{type(self).__name__} does not define batch_steps")


class BatchTransform(BatchForm, Transform):
    """A transform that can work on a whole batch in array code."""

    def on_batch(self, images: Array, stream: BatchStream) -> Array:
        """Return what `__call__` gives for every image, to the bit, drawing in the same order.

        Args:
            images: (n, c, h, w), of any memory order; the result may take their place.
            stream: one row for each image.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define on_batch")

    def batch_steps(self) -> list[BatchTransform]:
        """Return the transform itself, as the one step."""
        return [self]


def steps_in_a_row(transforms: Any) -> list[BatchTransform] | None:
    """Return the batch steps of several transforms applied one after the other, or None."""
    steps: list[BatchTransform] = []
    for transform in transforms:
        found = transform.batch_steps() if isinstance(transform, BatchForm) else None
        if found is None:
            return None
        steps += found
    return steps
