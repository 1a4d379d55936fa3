"""How a convolution goes over its input."""

from __future__ import annotations

import functools
from typing import Any


class Steps(tuple[Any, ...]):
    """Strides, zeros before and after each axis, dilations (each one an axis) and the number of groups."""

    @functools.cached_property
    def numbers(self) -> tuple[int, ...] | None:
        """What back ends read: strides, padding before, padding after, dilations, groups; None of three axes."""
        stride, padding, dilation, groups = self
        if len(stride) > 2:
            return None
        if len(stride) == 1:
            stride, padding, dilation = (1, *stride), ((0, 0), *padding), (1, *dilation)
        (before_h, after_h), (before_w, after_w) = padding
        return (*stride, before_h, before_w, after_h, after_w, *dilation, groups)
