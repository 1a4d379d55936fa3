"""Pipelines over a whole batch as one array, for data sets that lie in memory: no Python per sample.

A data set that holds its images as one array, on the host or on a GPU, asks its transform

    if transform.has_batch:
        batch = transform.batch(images, indices, streams)       # streams: a BatchStream, one row an image

and gets, to the bit, what the transform makes of each image alone under its own `SampleStream`. A transform has a
batch form if it starts from Pillow images, ends with tensors, and every step of it is a `BatchTransform`. A
transform of one's own may offer the same two names.

The steps at the beginning that can be put off are done together, while the images are picked out (`gathering.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytrain.device import Array
from tinytrain.random_streams import BatchStream
from tinytrain.transforms.base import Transform
from tinytrain.transforms.gathering import Gathering


class BatchForm:
    """The two names that a data set asks for; what has them says in `batch_steps` what they are made of."""

    @property
    def has_batch(self) -> bool:
        """Whether `batch` can be used."""
        return any(step.gives == "tensor" for step in self.batch_steps() or ())

    def batch(self, images: Array, rows: np.ndarray, streams: BatchStream) -> Array:
        """Transform a batch.

        Args:
            images: uint8 (m, h, w, c), all that there are; they are left as they are.
            rows: (n,) which of them make the batch, on the host.
            streams: one row for each image.

        Returns:
            (n, c, h, w), channels last in memory, of the element type that the pipeline gives, where the images lie.
        """
        steps, gathering = list(self.batch_steps() or ()), Gathering(images, rows)
        while steps and steps[0].put_off(gathering, streams):
            del steps[0]
        batch = gathering.array()
        for step in steps:
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

    def put_off(self, gathering: Gathering, stream: BatchStream) -> bool:
        """Note what `on_batch` would do, drawing as that does, and return True; or return False and do nothing."""
        return False

    def batch_steps(self) -> list[BatchTransform]:
        """Return the transform itself, as the one step."""
        return [self]


class LevelTransform(BatchTransform):
    """A step that makes of each value, in each channel, what it makes of that value alone."""

    def put_off(self, gathering: Gathering, stream: BatchStream) -> bool:
        return gathering.change_levels(self)


def steps_in_a_row(transforms: Any) -> list[BatchTransform] | None:
    """Return the batch steps of several transforms applied one after the other, or None."""
    steps: list[BatchTransform] = []
    for transform in transforms:
        found = transform.batch_steps() if isinstance(transform, BatchForm) else None
        if found is None:
            return None
        steps += found
    return steps
