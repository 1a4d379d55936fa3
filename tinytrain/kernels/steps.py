"""How a convolution goes over its input."""

from __future__ import annotations

from typing import Any


class Steps(tuple[Any, ...]):
    """Strides, zeros before and after each axis, dilations (each one an axis) and the number of groups.

    Attributes:
        numbers: what the fused kernels have made of them, once they have (`fused.convolution.geometry`).
    """

    numbers: tuple[int, ...] | None = None
