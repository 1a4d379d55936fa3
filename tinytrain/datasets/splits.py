"""Splits that keep the proportions of the classes, and subsets with as many samples of each."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytrain.random_streams import BatchStream
from tinytrain.tensor import Tensor


def stratified_split(targets: Any, fraction: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Divide samples into two parts with the same proportions of classes.

    Which part a sample falls into depends on the seed and on its number within its class.

    Args:
        targets: (n,) labels.
        fraction: of every class for the second part, from 0 to 1; a class of two samples and more has at least one
            in each part unless the fraction is 0 or 1.
        seed: chooses the samples.

    Returns:
        The two parts' indices, each ascending: (n1,) and (n2,) int64.

    Raises:
        ValueError: the fraction is not from 0 to 1.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"stratified_split: `fraction` (={fraction}) must be from 0 to 1")
    chosen = np.zeros(len(targets), dtype=bool)
    for members in _shuffled_classes(targets, seed):
        count = int(len(members) * fraction + 0.5)
        if 0 < fraction < 1 and len(members) > 1:
            count = min(max(count, 1), len(members) - 1)
        chosen[members[:count]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def balanced_subset(targets: Any, per_class: int, seed: int = 0) -> np.ndarray:
    """Choose the same number of samples of every class.

    Args:
        targets: (n,) labels.
        per_class: how many.
        seed: chooses the samples; a larger `per_class` only adds to them.

    Returns:
        Their indices, ascending: (classes * per_class,) int64.

    Raises:
        ValueError: a class has fewer.
    """
    chosen = []
    for members in _shuffled_classes(targets, seed):
        if len(members) < per_class:
            label = _labels(targets)[members[0]]
            raise ValueError(
                f"balanced_subset: class {label} has {len(members)} samples, fewer than `per_class` (={per_class})"
            )
        chosen.append(members[:per_class])
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64)


def _shuffled_classes(targets: Any, seed: int) -> list[np.ndarray]:
    """Return the indices of every class, each class in the order of random numbers addressed by (seed, class)."""
    labels = _labels(targets)
    shuffled = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        keys = BatchStream(seed, int(label), np.arange(len(members))).bits()
        shuffled.append(members[np.argsort(keys, kind="stable")])
    return shuffled


def _labels(targets: Any) -> np.ndarray:
    return np.asarray(targets.array if isinstance(targets, Tensor) else targets, dtype=np.int64)
