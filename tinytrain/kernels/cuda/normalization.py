"""Batch normalisation on a GPU: from statistics and sums to factors per channel, without a pass over activations."""

from __future__ import annotations

import numpy as np

from tinytrain.device import Array, cupy
from tinytrain.kernels.cuda.compiler import THREADS, kernel, launch
from tinytrain.kernels.cuda.layout import factors, floats

__all__ = ["are_vectors", "batch_norm_grad", "batch_norm_prepare"]


def are_vectors(c: int, *vectors: Array | None) -> bool:
    """Return whether each of `vectors` is None or has a float32 for each of `c` channels, without gaps, on a GPU."""
    kind = cupy().ndarray
    return all(
        each is None or (isinstance(each, kind) and (each.dtype, each.shape, each.strides) == (np.float32, (c,), (4,)))
        for each in vectors
    )


def batch_norm_prepare(
    mean: Array,
    m2: Array,
    count: float,
    w: Array | None,
    b: Array | None,
    eps: float,
    running_mean: Array | None,
    running_var: Array | None,
    momentum: float,
) -> tuple[Array, Array, Array]:
    """Return what a normalisation multiplies with and adds, and the reciprocal of the standard deviation.

    Args:
        mean, m2: mean and sum of squared deviations of each channel, `(c,)`.
        count: of the values that they were taken over.
        w, b: scale and shift, `(c,)`, or None for 1 and 0.
        eps: added to the variance.
        running_mean, running_var: `(c,)`, changed in place, or None.
        momentum: the share of the new statistics in the running ones.

    Returns:
        scale, shift and rstd, `(c,)` float32.
    """
    c = mean.size
    scale, shift, rstd = floats(c), floats(c), floats(c)
    moved = [factors(each, c) for each in (running_mean, running_var)]
    launch(
        kernel("normalization", "prepare", "float32"),
        _grid(c),
        (THREADS,),
        *(factors(mean, c), factors(m2, c), int(count), factors(w, c), factors(b, c), float(eps)),
        *(*moved, float(momentum), c, scale, shift, rstd),
    )
    for running, copy in zip((running_mean, running_var), moved, strict=True):
        if running is not None and copy is not None and copy.data.ptr != running.data.ptr:
            running[...] = copy.astype(running.dtype)  # halves, or memory with gaps
    return scale, shift, rstd


def batch_norm_grad(
    sum: Array, sum_y: Array, mean: Array, rstd: Array, w: Array | None, count: float, through_statistics: bool
) -> tuple[Array, Array | None, Array | None, Array]:
    """Return the factors of the input's gradient, alpha g + beta y + gamma, and the gradient of `w`.

    Args:
        sum, sum_y: of the result's gradient and of its products with y - mean, per channel.
        mean, rstd: what was normalised with.
        w: scale, or None for 1.
        count: of the values of a channel.
        through_statistics: whether mean and rstd are those of the input itself; beta and gamma are None where not.
    """
    c = sum.size
    alpha, grad_w = floats(c), floats(c)
    beta, gamma = (floats(c), floats(c)) if through_statistics else (None, None)
    vectors = (factors(each, c) for each in (sum, sum_y, mean, rstd, w))
    launch(
        kernel("normalization", "gradient", "float32"),
        _grid(c),
        (THREADS,),
        *(*vectors, int(count), c, alpha, beta, gamma, grad_w),
    )
    return alpha, beta, gamma, grad_w


def _grid(c: int) -> tuple[int]:
    return (-(-c // THREADS),)
