"""The samples of a split as they lie in its data set: unchanged, with their labels and their names."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from tinytrain.tensor import Tensor
from tinytrain.utils.data import Subset


def untransformed(dataset: Any) -> Any:
    """Return a set of the same samples as they are read, before any transform."""
    return retransformed(dataset, None)


def retransformed(dataset: Any, transform: Callable[[Any], Any] | None) -> Any:
    """Return a set of the same samples through another transform."""
    if isinstance(dataset, Subset):
        return Subset(retransformed(dataset.dataset, transform), dataset.indices)
    return dataset.with_transform(transform)


def transform_of(dataset: Any) -> Any:
    """Return what the images of a split go through, None where that is nothing."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return getattr(dataset, "transform", None)


def labels_of(dataset: Any) -> np.ndarray:
    """Return the class index of every sample: (n,) int64."""
    if isinstance(dataset, Subset):
        return labels_of(dataset.dataset)[np.asarray(dataset.indices, np.int64)]
    targets = dataset.targets
    return np.asarray(targets.array if isinstance(targets, Tensor) else targets, np.int64)


def sample_name(dataset: Any, position: int) -> str:
    """Return what people can find a sample by: its file below the set's root, else `number 12`, counted from 0."""
    while isinstance(dataset, Subset):
        dataset, position = dataset.dataset, dataset.indices[position]
    if hasattr(dataset, "samples"):
        return os.path.relpath(dataset.samples[position][0], dataset.root)
    return f"number {position}"


def identity_of(dataset: Any) -> str:
    """Return a digest of which images a split has, in their order: files by their places, others by their pixels."""
    base, digest = dataset, hashlib.sha256()
    while isinstance(base, Subset):
        base = base.dataset
    if hasattr(base, "samples"):
        root = os.path.realpath(base.root)
        paths = (os.path.normpath(os.path.join(root, sample_name(dataset, i))) for i in range(len(dataset)))
        digest.update(json.dumps(list(paths)).encode())
        return digest.hexdigest()
    plain = untransformed(dataset)
    for i in range(len(plain)):
        image = plain[i][0]
        digest.update(repr((image.mode, image.size)).encode() + image.tobytes())
    return digest.hexdigest()
