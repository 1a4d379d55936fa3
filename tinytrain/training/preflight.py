"""What would stop a training later on, looked for before its first step."""

from __future__ import annotations

import math

import numpy as np

from tinytrain.datasets.samples import labels_of
from tinytrain.errors import ConfigError, DataError
from tinytrain.inspection import layer_costs
from tinytrain.training.experiment import Experiment

PLACEHOLDERS = {"N/A"}
"""Names of classes that no image has by design: EMNIST's letters count from 1."""


def check_batches(e: Experiment) -> None:
    """Make sure that every class has images and that every batch can be learned from.

    A batch of which damaged images are left out may come to have a single one only then; where that is too few for the
    network, the loader is told to leave it out, too.

    Raises:
        DataError: a class has no training image.
        ConfigError: there is no batch, or one of a single image where the network needs more.
    """
    _check_classes(e)
    images, size = len(e.train.dataset), e.train.batch_size or 1
    if len(e.train) == 0:
        raise ConfigError(
            f"no batch is left: there are {images} training images, a batch has {size}, and a shorter one is dropped",
            remedy="Lower data.batch_size, or set data.drop_last to false",
        )
    has_single = size == 1 or (images % size == 1 and not e.train.drop_last)
    layer = _layer_that_needs_more(e) if has_single or e.train.skip_damaged else None
    if layer is not None and e.train.skip_damaged:
        e.train.min_batch = 2
    if layer is not None and has_single:
        count = "a batch has" if size == 1 else f"the last batch of the {images} training images has"
        raise ConfigError(
            f"{count} one image, and {layer} gets one value of it a channel, which has no variance",
            remedy="Choose another data.batch_size, or set data.drop_last to true",
        )


def _check_classes(e: Experiment) -> None:
    counts = np.bincount(labels_of(e.train.dataset), minlength=len(e.class_names))
    empty = [n for n, count in zip(e.class_names, counts, strict=True) if count == 0 and n not in PLACEHOLDERS]
    if empty:
        names = ", ".join(empty[:5]) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
        raise DataError(
            f"there is no training image of {names}",
            remedy="Add some, or name the classes to keep in data.keep_classes",
        )


def _layer_that_needs_more(e: Experiment) -> str | None:
    """Return in words the first layer that normalises over the batch what has one value an image and channel."""
    modules = dict(e.model.named_modules())
    for layer in layer_costs(e.model, e.input_shape):
        is_frozen = e.freezing is not None and e.freezing.is_for_good(modules[layer.name])
        if layer.kind.startswith("BatchNorm") and math.prod(layer.input[1:]) == 1 and not is_frozen:
            return f"{layer.name} ({layer.kind})"
    return None
