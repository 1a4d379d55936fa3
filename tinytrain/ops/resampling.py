"""Resizing over the spatial dimensions: nearest, linear, cubic and area interpolation.

Each mode is a linear map along every axis, one after the other: output `i` is a weighted sum of input elements near
`(i + 1/2) * scale - 1/2`, where `scale` is input size over output size (`i * (n - 1) / (out - 1)` with aligned
corners). With `antialias` the filter is widened by `scale` where the image shrinks, as Pillow does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytrain.device import Array, array_module
from tinytrain.kernels import kernel
from tinytrain.kernels.reference.resampling import ALL, Tap, transposed
from tinytrain.ops.adaptive_pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import rounds_once
from tinytrain.recording import record
from tinytrain.tensor import Tensor, wrap

__all__ = ["interpolate", "upsample", "upsample_bilinear", "upsample_nearest"]

AxisMap = tuple[int, list[Tap]]

NUM_AXES = {
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "area": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "bicubic": (2,),
    "trilinear": (3,),
}
AREA = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}
NAMES = {
    "nearest": "UpsampleNearest",
    "nearest-exact": "UpsampleNearestExact",
    "linear": "UpsampleLinear",
    "bilinear": "UpsampleBilinear",
    "bicubic": "UpsampleBicubic",
    "trilinear": "UpsampleTrilinear",
}


@by_autocast
@rounds_once
def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Return `input` resized over its spatial dimensions.

    Args:
        input: `(n, c, *spatial)` with one to three spatial dimensions, of a float dtype; uint8 too, but for `area`.
        size: the new spatial size, an int or one a dimension; or None, and
        scale_factor: new size over old, a number or one a dimension; the new size is rounded down.
        mode: `nearest`, `nearest-exact`, `linear` (one dimension), `bilinear` (two), `trilinear` (three), `bicubic`
            (two), or `area`, which is adaptive average pooling.
        align_corners: for the linear and cubic modes, whether the centres of the corner pixels fall on one another
            (True) or the corners of the image do.
        recompute_scale_factor: take the scale from the sizes, not from `scale_factor`.
        antialias: filter before shrinking; bilinear and bicubic only.

    Returns:
        `(n, c, *size)`.

    Raises:
        ValueError: the arguments contradict each other.
        NotImplementedError: the mode does not exist or not for that many dimensions or that dtype.
        RuntimeError: a size is not positive.
        TypeError: an argument is of another kind.
    """
    if not isinstance(input, Tensor):
        raise TypeError(f"interpolate: `input` must be a Tensor; got {type(input).__name__}")
    is_smooth = mode in ("linear", "bilinear", "bicubic", "trilinear")
    if align_corners is not None and not is_smooth:
        raise ValueError(f"interpolate: `align_corners` is for linear, bilinear, bicubic and trilinear; got {mode!r}")
    num_axes = input.ndim - 2
    out_size, factors = _target(input, num_axes, size, scale_factor, bool(recompute_scale_factor))
    if mode not in NUM_AXES:
        raise NotImplementedError(f"interpolate: `mode` must be one of {', '.join(NUM_AXES)}; got {mode!r}")
    if antialias and not (mode in ("bilinear", "bicubic") and num_axes == 2):
        raise ValueError(f"interpolate: `antialias` is for bilinear and bicubic on 4 dimensions; got {mode!r}")
    if num_axes not in NUM_AXES[mode]:
        wanted = " or ".join(str(axes + 2) for axes in NUM_AXES[mode])
        raise NotImplementedError(
            f"interpolate: mode {mode!r} needs {wanted} dimensions; got shape {list(input.shape)}"
        )
    if min(input.shape[1:]) < 1 or (mode != "area" and min(out_size) < 1):
        raise RuntimeError(
            f"interpolate: sizes must be positive; got an input of shape {list(input.shape)} and size {list(out_size)}"
        )
    if not input.dtype.is_floating_point and (input.dtype.name != "uint8" or mode == "area"):
        raise NotImplementedError(f"interpolate: mode {mode!r} is not defined for {input.dtype}; use .float() first")
    if mode == "area":
        return AREA[num_axes](input, out_size)
    compute = np.dtype("float64" if input.dtype.name == "float64" else "float32")
    maps = [
        _axis_map(mode, n, out, factor, bool(align_corners), antialias, compute, is_plane=num_axes == 2)
        for n, out, factor in zip(input.shape[2:], out_size, factors, strict=True)
    ]
    name = f"{NAMES[mode]}{num_axes}D{'Aa' if antialias else ''}"
    return _resample(input, maps, name)


def upsample(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """Return `interpolate` of the same arguments; PyTorch's older name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Tensor, size: int | Sequence[int] | None = None, scale_factor: float | Sequence[float] | None = None
) -> Tensor:
    """Return `interpolate` with mode `nearest`; PyTorch's older name."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(
    input: Tensor, size: int | Sequence[int] | None = None, scale_factor: float | Sequence[float] | None = None
) -> Tensor:
    """Return `interpolate` with mode `bilinear` and aligned corners; PyTorch's older name."""
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)


def _target(
    input: Tensor, num_axes: int, size: Any, scale_factor: Any, recompute: bool
) -> tuple[tuple[int, ...], list[float | None]]:
    """Return the new spatial size, and for each axis the factor that is to decide the scale, or None."""
    if size is None and scale_factor is None:
        raise ValueError("interpolate: either `size` or `scale_factor` must be given")
    if size is not None and scale_factor is not None:
        raise ValueError(f"interpolate: give `size` (={size}) or `scale_factor` (={scale_factor}), not both")
    name, given = ("size", size) if scale_factor is None else ("scale_factor", scale_factor)
    values = tuple(given) if isinstance(given, (tuple, list)) else (given,) * num_axes
    if len(values) != num_axes:
        raise ValueError(
            f"interpolate: `{name}` must hold one number for each of the {num_axes} spatial dimensions of shape "
            f"{list(input.shape)}; got {given!r}"
        )
    kind: Any = int if scale_factor is None else (int, float)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (kind, np.integer)):
            raise TypeError(f"interpolate: `{name}` must be a number or a tuple of them; got {given!r}")
    if scale_factor is None:
        if recompute:
            raise ValueError("interpolate: `recompute_scale_factor` has no meaning with `size`")
        return tuple(int(value) for value in values), [None] * num_axes
    out_size = tuple(math.floor(n * value) for n, value in zip(input.shape[2:], values, strict=True))
    return out_size, [None if recompute else float(value) for value in values]


def _resample(input: Tensor, maps: Sequence[AxisMap], name: str) -> Tensor:
    x = input.array
    has_weights = any(weights is not None for _, taps in maps for *_, weights in taps)
    if x.dtype == np.uint8 and has_weights:
        xp = array_module(x)
        y = kernel("resample", x)(x.astype(np.float32), maps)
        return wrap(xp.clip(xp.rint(y), 0, 255).astype(np.uint8))

    def rule(g: Array) -> Array:
        back = [(n, transposed(taps)) for n, (_, taps) in zip(x.shape[2:], maps, strict=True)]
        return kernel("resample", g)(g, back)

    return record(kernel("resample", x)(x, maps), name, (input,), (rule,))


def _axis_map(
    mode: str,
    n: int,
    out: int,
    factor: float | None,
    align_corners: bool,
    antialias: bool,
    compute: np.dtype,
    *,
    is_plane: bool,
) -> AxisMap:
    """Return the linear map that takes an axis of size `n` to size `out`.

    Where a factor does not divide evenly, PyTorch ignores it for some sizes; `is_plane` says that there are two axes,
    where `nearest` does so too.
    """
    number = compute.type
    i = np.arange(out)
    if mode == "nearest" and is_plane and out in (n, 2 * n):  # whatever the factor was
        return out, [(ALL, i * n // out, None)]
    if mode in ("nearest", "nearest-exact"):
        scale = np.float32(1 / factor) if factor else np.float32(n) / np.float32(out)
        position = (i.astype(np.float32) + np.float32(0.5 if mode == "nearest-exact" else 0)) * scale
        return out, [(ALL, np.minimum(np.floor(position).astype(np.int64), n - 1), None)]
    if out == n and (antialias or mode != "bicubic"):  # whatever the factor was
        return out, [(ALL, i, None)]
    if align_corners:
        scale = number(n - 1) / number(out - 1) if out > 1 else number(0)
    else:
        scale = number(1 / factor) if factor else number(n) / number(out)
    if antialias:
        return out, _wide_taps(n, out, scale, *WIDE_FILTERS[mode])
    source = i * scale if align_corners else (i + number(0.5)) * scale - number(0.5)
    if mode == "bicubic":
        return out, _cubic_taps(source.astype(compute), n)
    source = np.maximum(source, 0).astype(compute)
    left = np.minimum(np.floor(source).astype(np.int64), n - 1)
    share = np.clip(source - left, 0, 1).astype(compute)
    return out, [(ALL, left, 1 - share), (ALL, np.minimum(left + 1, n - 1), share)]


def _cubic_taps(source: np.ndarray, n: int) -> list[Tap]:
    """Return the four taps of cubic convolution with a = -0.75 (Keys 1981, equation 4)."""
    a = -0.75
    left = np.floor(source).astype(np.int64)
    t = source - left
    weights = [_cubic(t + 1, a), _cubic(t, a), _cubic(1 - t, a), _cubic(2 - t, a)]
    return [(ALL, np.clip(left + offset, 0, n - 1), w) for offset, w in zip((-1, 0, 1, 2), weights, strict=True)]


def _wide_taps(n: int, out: int, scale: Any, radius: int, weigh: Callable[[np.ndarray], np.ndarray]) -> list[Tap]:
    """Return the taps of a filter that is widened by `scale` where the image shrinks; weights sum to one."""
    widening = max(scale, 1)
    centre = (np.arange(out) + 0.5) * scale
    first = np.maximum((centre - radius * widening + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + radius * widening + 0.5).astype(np.int64), n)
    offset = np.arange(int((last - first).max()))
    position = first[:, None] + offset
    weights = weigh(np.abs((position - centre[:, None] + 0.5) / widening)) * (position < last[:, None])
    weights /= weights.sum(axis=1, keepdims=True)
    taps: list[Tap] = []
    for tap in offset:
        targets = np.flatnonzero(position[:, tap] < last)
        taps.append((ALL if len(targets) == out else targets, position[targets, tap], weights[targets, tap]))
    return taps


def _triangle(distance: np.ndarray) -> np.ndarray:
    return np.maximum(1 - distance, 0)


def _wide_cubic(distance: np.ndarray) -> np.ndarray:
    return _cubic(distance, -0.5)


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Return Keys' cubic convolution kernel at distances of 0 to 2; 0 beyond."""
    d = distance
    inner = ((a + 2) * d - (a + 3)) * d * d + 1
    outer = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, inner, np.where(d < 2, outer, 0))


WIDE_FILTERS = {"bilinear": (1, _triangle), "bicubic": (2, _wide_cubic)}
"""For antialiasing: how far a filter reaches, in elements before it is widened, and its weight by distance."""
