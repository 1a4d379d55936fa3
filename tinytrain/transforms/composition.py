"""Transforms made of transforms: in a row, in random order, one of several, or with some probability."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from tinytrain.random_streams import current_stream
from tinytrain.transforms.base import Transform, checked_probability
from tinytrain.transforms.batch import BatchForm, BatchTransform, steps_in_a_row
from tinytrain.transforms.conversion import Normalize, ToTensor
from tinytrain.transforms.functional.images import AnyImage


class _Several(Transform):
    """Holds transforms and prints them, one a line."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]):
        if not isinstance(transforms, Sequence):
            raise TypeError("Argument transforms should be a sequence")
        for position, transform in enumerate(transforms):
            if not callable(transform):
                raise TypeError(f"{type(self).__name__}: transform {position} should be callable, got {transform!r}")
        self.transforms = transforms

    def __repr__(self) -> str:
        return "\n".join([f"{type(self).__name__}(", *self._lines(), ")"])

    def _lines(self) -> list[str]:
        return [f"    {transform}" for transform in self.transforms]


class Compose(BatchForm, _Several):
    """Apply transforms one after the other."""

    def __call__(self, img: AnyImage) -> Any:
        before: Any = None
        for transform in self.transforms:
            if type(transform) is Normalize and type(before) is ToTensor:
                # Nobody else holds what ToTensor made, and a fresh array would cost more than the step.
                img = transform.overwrite(img)
            else:
                img = transform(img)
            before = transform
        return img

    def batch_steps(self) -> list[BatchTransform] | None:
        return steps_in_a_row(self.transforms)


class RandomApply(_Several):
    """Apply all of the transforms, one after the other, with probability `p`, else none."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]], p: float = 0.5):
        super().__init__(transforms)
        self.p = checked_probability(p, self)

    def __call__(self, img: AnyImage) -> Any:
        if current_stream().uniform() >= self.p:
            return img
        for transform in self.transforms:
            img = transform(img)
        return img

    def _lines(self) -> list[str]:
        return [f"    p={self.p}", *super()._lines()]


class RandomOrder(_Several):
    """Apply all of the transforms in random order."""

    def __call__(self, img: AnyImage) -> Any:
        for position in current_stream().permutation(len(self.transforms)):
            img = self.transforms[position](img)
        return img


class RandomChoice(_Several):
    """Apply one of the transforms.

    Args:
        transforms: what to choose from.
        p: the weight of each; by default all are equally likely.

    Raises:
        TypeError: `p` is no sequence.
        ValueError: another number of weights than of transforms, or one is negative, or all are 0.
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]], p: Sequence[float] | None = None):
        super().__init__(transforms)
        if p is not None and not isinstance(p, Sequence):
            raise TypeError("Argument p should be a sequence")
        if p is not None and len(p) != len(transforms):
            raise ValueError("The number of weights does not match the population")
        if p is not None and (any(weight < 0 for weight in p) or not any(p)):
            raise ValueError(f"`p` must hold weights of at least 0, and one above it; got {p}")
        self.p = p

    def __call__(self, *args: Any) -> Any:
        bounds = list(itertools.accumulate(self.p or [1.0] * len(self.transforms)))
        point = current_stream().uniform(0.0, bounds[-1])
        chosen = next(position for position, bound in enumerate(bounds) if point < bound)
        return self.transforms[chosen](*args)

    def __repr__(self) -> str:
        return f"{super().__repr__()}(p={self.p})"


class Lambda(Transform):
    """Apply a function.

    Args:
        lambd: takes and returns an image; a worker process can only be sent one that has a name.

    Raises:
        TypeError: it is not callable.
    """

    def __init__(self, lambd: Callable[[Any], Any]):
        if not callable(lambd):
            raise TypeError(f"Argument lambd should be callable, got {type(lambd).__name__!r}")
        self.lambd = lambd

    def __call__(self, img: AnyImage) -> Any:
        return self.lambd(img)
