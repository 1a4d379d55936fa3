"""Some of the classes of a data set, as a set of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytrain.datasets.samples import labels_of
from tinytrain.errors import ConfigError, did_you_mean
from tinytrain.utils.data import Dataset


class ClassChoice(Dataset):
    """The samples of a set that belong to some of its classes.

    Args:
        dataset: has `classes`, `targets` and `with_transform`.
        classes: their names, in the order that gives them their new indices.

    Attributes:
        classes: the names.
        targets: list of new class indices.

    Raises:
        ConfigError: a name is not among the set's, or is there twice.
    """

    def __init__(self, dataset: Any, classes: Sequence[str]):
        for name in classes:
            if name not in dataset.classes:
                hint = did_you_mean(name, dataset.classes)
                raise ConfigError(f"there is no class {name!r}{hint}", remedy=f"Known: {', '.join(dataset.classes)}")
        if len(set(classes)) != len(classes):
            raise ConfigError("a class is named twice")
        self.dataset, self.classes = dataset, list(classes)
        self._index = {dataset.classes.index(name): new for new, name in enumerate(classes)}
        labels = labels_of(dataset)
        self._rows = np.flatnonzero(np.isin(labels, list(self._index))).tolist()
        self.targets = [self._index[label] for label in labels[self._rows].tolist()]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image, target = self.dataset[self._rows[index]]
        return image, self._index[int(target)]

    @property
    def transform(self) -> Callable[[Any], Any] | None:
        """What the images go through."""
        return self.dataset.transform

    def with_transform(self, transform: Callable[[Any], Any] | None) -> ClassChoice:
        """Return a set of the same samples with another `transform`."""
        return ClassChoice(self.dataset.with_transform(transform), self.classes)
