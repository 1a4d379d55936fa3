"""What a transform is: an object called with an image, that says what it takes and what it gives."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any, ClassVar

from tinytrain.transforms.functional.images import AnyImage


class Transform:
    """A step of an image pipeline.

    A subclass defines `__call__`; what it draws comes from `random_streams.current_stream()`.
    """

    takes: ClassVar[str] = "image"
    """`pil`, `tensor`, or `image` for either."""

    gives: ClassVar[str] = "same"
    """`pil`, `tensor`, `images` (a tuple of them), or `same` as it took."""

    def __call__(self, img: AnyImage) -> Any:
        """Return the transformed image."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def require_sequence(value: Any, name: str, lengths: Sequence[int]) -> None:
    """Raise TypeError unless `value` is a sequence, ValueError unless its length is one of `lengths`."""
    wanted = f"{name} should be a sequence of length {' or '.join(map(str, lengths))}."
    if not isinstance(value, Sequence):
        raise TypeError(wanted)
    if len(value) not in lengths:
        raise ValueError(wanted)


def angle_range(value: Any, name: str, lengths: Sequence[int] = (2,)) -> list[float]:
    """Return degrees as [low, high] (or four of them); a number d stands for [-d, d].

    Raises:
        ValueError: a negative number, or a sequence of another length.
        TypeError: neither a number nor a sequence.
    """
    if isinstance(value, numbers.Real):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be positive.")
        return [-float(value), float(value)]
    require_sequence(value, name, lengths)
    return [float(each) for each in value]


def checked_fill(fill: Any) -> Any:
    """Return a fill value, 0 for None; raise TypeError unless it is a number or a sequence."""
    if fill is None:
        return 0
    if not isinstance(fill, (Sequence, numbers.Real)):
        raise TypeError("Fill should be either a sequence or a number.")
    return fill


def checked_probability(p: Any, owner: Transform) -> float:
    """Return a probability; raise ValueError unless it is a number from 0 to 1."""
    if not isinstance(p, (int, float)) or not 0.0 <= p <= 1.0:
        raise ValueError(f"{type(owner).__name__}: `p` (={p!r}) must be a probability, from 0 to 1")
    return p
