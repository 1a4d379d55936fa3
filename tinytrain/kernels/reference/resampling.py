"""Linear maps along single axes, given by their taps: average pooling, interpolation, padding with own values.

A tap is `(targets, sources, weights)`: `y[targets] += weights * x[sources]` along the axis. Targets and sources
are slices or integer arrays of equal lengths, weights an array of that length or None for ones. No target appears
twice within one tap, so a tap is one array operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytrain.capturing import beside
from tinytrain.device import array_module
from tinytrain.dtypes import is_low
from tinytrain.kernels.reference.windows import Array, to_channels_first, to_channels_last

Index = Any
Tap = tuple[Index, Index, Any]

ALL = slice(None)


def resample(x: Array, maps: Sequence[tuple[int, Sequence[Tap]] | None]) -> Array:
    """Return `x` with one linear map applied along each spatial axis.

    Args:
        x: `(n, c, *size)`.
        maps: for each spatial axis the new size and the taps, or None to leave it as it is.

    Returns:
        `(n, c, *new_size)`, channels-last in memory; floats of 16 bits are summed in float32.
    """
    y = to_channels_last(x)
    if is_low(y.dtype):
        y = y.astype("float32")
    for axis, each in enumerate(maps, start=1):
        if each is not None:
            y = _resample_axis(y, axis, *each)
    return to_channels_first(y.astype(x.dtype, copy=False))


def transposed(taps: Sequence[Tap]) -> list[Tap]:
    """Return the taps of the transposed map, which takes the gradient of `y` to that of `x`.

    A source that is read several times within one tap is written to in several rounds.
    """
    found: list[Tap] = []
    for targets, sources, weights in taps:
        if isinstance(sources, slice):
            found.append((sources, targets, weights))
            continue
        positions = np.arange(len(sources)) if isinstance(targets, slice) else targets
        for once in _rounds(sources):
            found.append((sources[once], positions[once], None if weights is None else weights[once]))
    return found


def _resample_axis(x: Array, axis: int, size: int, taps: Sequence[Tap]) -> Array:
    xp = array_module(x)
    before, num_after = (ALL,) * axis, x.ndim - axis - 1
    y = None
    for targets, sources, weights in taps:
        part = x[(*before, sources)] if isinstance(sources, slice) else x.take(beside(x, sources), axis=axis)
        if weights is not None:
            part = part * beside(x, weights.astype(x.dtype)).reshape(-1, *(1,) * num_after)
        if y is None and isinstance(targets, slice) and targets == ALL:
            y = part if part.base is None else part.copy()  # keeps the sign of zeros, which 0 + x would not
            continue
        if y is None:
            y = xp.zeros((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype)
        y[(*before, targets if isinstance(targets, slice) else beside(x, targets))] += part
    return xp.zeros((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype) if y is None else y


def _rounds(sources: np.ndarray) -> list[np.ndarray]:
    """Return positions of `sources` in groups within which no value appears twice, earlier ones first."""
    order = np.argsort(sources, kind="stable")
    ordered = sources[order]
    is_first = np.r_[True, ordered[1:] != ordered[:-1]] if len(ordered) else np.zeros(0, bool)
    starts = np.maximum.accumulate(np.where(is_first, np.arange(len(ordered)), 0))
    occurrence = np.arange(len(ordered)) - starts
    return [order[occurrence == number] for number in range(int(occurrence.max(initial=-1)) + 1)]
