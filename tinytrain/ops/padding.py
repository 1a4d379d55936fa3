"""Padding: with a constant on any dimensions, or with the tensor's own values on the spatial ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinytrain.device import Array
from tinytrain.kernels import kernel
from tinytrain.kernels.reference.resampling import ALL, Tap, transposed
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.values import fitted_number
from tinytrain.recording import record
from tinytrain.tensor import Tensor

__all__ = ["pad"]

NAMES = {"reflect": "ReflectionPad", "replicate": "ReplicationPad", "circular": "CircularPad"}


@by_autocast
def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Return `input` with elements added to (or, where a number is negative, taken from) the ends of dimensions.

    Args:
        input: any shape for `constant`; else one to three spatial dimensions behind channels or batch and channels.
        pad: how many before and after the last dimension, then before and after the one before it, and so on.
        mode: what the new elements hold: `constant`; `reflect`, the inside mirrored at the edge element;
            `replicate`, the edge element; `circular`, the elements from the other end.
        value: the constant, 0 if None; only for `constant`.

    Returns:
        a tensor of the input's dtype.

    Raises:
        RuntimeError: `pad` does not fit the shape, takes more elements than the mode has, or `value` does not fit.
        NotImplementedError: the mode does not exist, or not for that many dimensions or that dtype.
        TypeError: an argument is of another kind.
    """
    if not isinstance(input, Tensor):
        raise TypeError(f"pad: `input` must be a Tensor; got {type(input).__name__}")
    if not isinstance(pad, (tuple, list)) or any(isinstance(p, bool) or not hasattr(p, "__index__") for p in pad):
        raise TypeError(f"pad: `pad` must be a tuple of ints; got {pad!r}")
    if len(pad) % 2:
        raise RuntimeError(f"pad: `pad` must hold two ints a dimension; got {len(pad)}: {tuple(pad)}")
    if len(pad) > 2 * input.ndim:
        raise RuntimeError(f"pad: `pad` {tuple(pad)} names more dimensions than a shape {list(input.shape)} has")
    pairs = [(int(pad[i]), int(pad[i + 1])) for i in range(len(pad) - 2, -1, -2)]
    if mode == "constant":
        return _pad_constant(input, pairs, 0 if value is None else value)
    if mode not in NAMES:
        raise NotImplementedError(f"pad: `mode` must be constant, {', '.join(NAMES)}; got {mode!r}")
    if value:
        raise RuntimeError(f"pad: `value` (={value}) is for mode 'constant' only; got mode {mode!r}")
    return _pad_own(input, pairs, mode)


def _pad_constant(input: Tensor, pairs: Sequence[tuple[int, int]], value: float) -> Tensor:
    x = input.array
    pairs = [(0, 0)] * (x.ndim - len(pairs)) + list(pairs)
    if any(n < max(-before, 0) + max(-after, 0) for n, (before, after) in zip(x.shape, pairs, strict=True)):
        raise RuntimeError(f"pad: `pad` {pairs} takes more elements than shape {list(x.shape)} has")
    cut = [(-before, -after) for before, after in pairs]

    def rule(g: Array) -> Array:
        return kernel("pad_constant", g)(g, cut, 0)

    number = fitted_number(float(value), input.dtype)[()]
    return record(kernel("pad_constant", x)(x, pairs, number), "ConstantPadNd", (input,), (rule,))


def _pad_own(input: Tensor, pairs: Sequence[tuple[int, int]], mode: str) -> Tensor:
    num_axes = len(pairs)
    if num_axes not in (1, 2, 3) or input.ndim not in (num_axes + 1, num_axes + 2):
        raise NotImplementedError(
            f"pad: mode {mode!r} pads the last 1, 2 or 3 dimensions of a tensor with one or two more; "
            f"got {2 * num_axes} numbers for shape {list(input.shape)}"
        )
    if input.dtype.kind == 0 and mode != "circular":
        raise NotImplementedError(f"pad: mode {mode!r} is not defined for bool tensors")
    is_batch = input.ndim == num_axes + 2
    x = input.array if is_batch else input.array[None]
    if 0 in x.shape[1:]:
        raise RuntimeError(f"pad: only the batch may be empty in mode {mode!r}; got shape {list(input.shape)}")
    size = x.shape[2:]
    out_size = [n + before + after for n, (before, after) in zip(size, pairs, strict=True)]
    if min(out_size) < 0 or (mode != "circular" and max(out_size) < 1):
        raise RuntimeError(f"pad: the result of `pad` {pairs} on sizes {list(size)} would have sizes {out_size}")
    sources = [_sources(mode, n, before, after) for n, (before, after) in zip(size, pairs, strict=True)]
    maps: list[tuple[int, list[Tap]]] = [(len(each), [(ALL, each, None)]) for each in sources]
    y = kernel("resample", x)(x, maps)

    def rule(g: Array) -> Array:
        back = [(n, transposed(taps)) for n, (_, taps) in zip(size, maps, strict=True)]
        g_x = kernel("resample", g)(g if is_batch else g[None], back)
        return g_x if is_batch else g_x[0]

    return record(y if is_batch else y[0], f"{NAMES[mode]}{num_axes}D", (input,), (rule,))


def _sources(mode: str, n: int, before: int, after: int) -> np.ndarray:
    """Return which of `n` elements each element of the padded axis is."""
    if mode == "circular":  # what is left after cutting goes round
        first, kept = max(0, -before), n - max(0, -before) - max(0, -after)
        if max(before, after) > kept:
            raise RuntimeError(f"pad: circular padding {(before, after)} goes round more than the {kept} elements")
        return first + np.arange(-max(0, before), kept + max(0, after)) % kept
    positions = np.arange(-before, n + after)
    if mode == "replicate":
        return positions.clip(0, n - 1)
    if max(before, after) >= n:
        raise RuntimeError(f"pad: reflection padding {(before, after)} must be less than the dimension's size {n}")
    return n - 1 - abs(n - 1 - abs(positions))
