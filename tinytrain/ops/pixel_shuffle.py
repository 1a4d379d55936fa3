"""Elements dealt between channels and pixels."""

from __future__ import annotations

from tinytrain.ops.copying import CONTIGUOUS, clone
from tinytrain.ops.rearrangement import permute
from tinytrain.ops.shape import reshape
from tinytrain.tensor import Tensor

__all__ = ["channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Return channels (..., c r², h, w) spread over pixels (..., c, h r, w r) (Shi et al., 2016).

    Raises:
        RuntimeError: fewer than 3 dimensions, or r² does not divide the channels.
    """
    r = upscale_factor
    *batch, c, h, w = _sizes(input, "pixel_shuffle")
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
            f"but input.size(-3)={c} is not divisible by {r * r}"
        )
    n = len(batch)
    parts = reshape(input, (*batch, c // (r * r), r, r, h, w))
    moved = permute(parts, (*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return _copied(moved, (*batch, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Return pixels (..., c, h r, w r) gathered into channels (..., c r², h, w).

    Raises:
        RuntimeError: fewer than 3 dimensions, or r does not divide height and width.
    """
    r = downscale_factor
    *batch, c, h, w = _sizes(input, "pixel_unshuffle")
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    if h % r or w % r:
        raise RuntimeError(
            f"pixel_unshuffle expects height and width to be divisible by downscale_factor, but {h}x{w} is not "
            f"divisible by {r}"
        )
    n = len(batch)
    parts = reshape(input, (*batch, c, h // r, r, w // r, r))
    moved = permute(parts, (*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return _copied(moved, (*batch, c * r * r, h // r, w // r))


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Return (n, c, ...) with the channels of `groups` groups dealt out in turn (Zhang et al., "ShuffleNet", 2017).

    Raises:
        RuntimeError: fewer than 3 dimensions, or `groups` does not divide the channels.
    """
    n, c, *spatial = _sizes(input, "channel_shuffle")
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    if c % groups:
        raise RuntimeError(f"Number of channels must be divisible by groups. Got {c} channels and {groups} groups.")
    parts = reshape(input, (n, groups, c // groups, *spatial))
    moved = permute(parts, (0, 2, 1, *range(3, parts.ndim)))
    return _copied(moved, (n, c, *spatial))


def _copied(moved: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return a copy under another shape, also where nothing moved and a view would do."""
    return reshape(clone(moved, memory_format=CONTIGUOUS), shape)


def _sizes(input: Tensor, name: str) -> tuple[int, ...]:
    if input.ndim < 3:
        raise RuntimeError(f"{name} expects input to have at least 3 dimensions, but got {input.ndim}")
    return tuple(input.array.shape)
