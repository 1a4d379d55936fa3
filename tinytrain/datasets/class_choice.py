"""Some of the classes of a data set, as a set of its own."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytrain.datasets.samples import labels_of
from tinytrain.datasets.vision import FileDataset
from tinytrain.errors import ConfigError, did_you_mean
from tinytrain.tensor import Tensor, wrap


def reduce_to_classes(dataset: Any, classes: Sequence[str]) -> Any:
    """Return a set of the same kind with the samples of some of its classes.

    Args:
        dataset: an `ArrayDataset` or a `FileDataset`; unchanged.
        classes: their names, in the order that gives them their new indices.

    Raises:
        ConfigError: a name is not among the set's or is there twice, or there are fewer than two.
    """
    for name in classes:
        if name not in dataset.classes:
            hint = did_you_mean(name, dataset.classes)
            raise ConfigError(f"there is no class {name!r}{hint}", remedy=f"Known: {', '.join(dataset.classes)}")
    if len(set(classes)) != len(classes):
        raise ConfigError("a class is named twice")
    if len(classes) < 2:
        known = ", ".join(dataset.classes)
        raise ConfigError(f"two classes are needed to tell apart, got {len(classes)}", remedy=f"Known: {known}")
    numbers = [dataset.classes.index(name) for name in classes]
    labels = labels_of(dataset)
    rows = np.flatnonzero(np.isin(labels, numbers))
    targets = np.asarray([numbers.index(label) for label in labels[rows]], np.int64)
    chosen = copy.copy(dataset)
    chosen.classes = list(classes)
    if isinstance(chosen, FileDataset):
        chosen.class_to_idx = {name: index for index, name in enumerate(classes)}
        chosen.targets = targets.tolist()
        chosen.samples = [(dataset.samples[row][0], target) for row, target in zip(rows, chosen.targets, strict=True)]
        return chosen
    data = dataset.data
    chosen.data = wrap(data.array[rows]) if isinstance(data, Tensor) else data[rows]
    chosen.targets = wrap(targets) if isinstance(dataset.targets, Tensor) else targets.tolist()
    return chosen
