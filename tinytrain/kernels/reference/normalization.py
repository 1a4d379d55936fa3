"""Batch normalisation: statistics, forward and backward, in as few passes over memory as arrays allow.

    y = (x - mean) / sqrt(var + eps) * w + b,        mean and var over all dimensions but the channels

Arrays have the logical shape `(n, c, *size)` with any strides; results are channels-last in memory. Statistics
are a mean and a sum of squared deviations, M2. They are gathered piece by piece, each small enough to stay in
cache between its mean and its deviations, and merged (Chan, Golub and LeVeque, Algorithms for computing the sample
variance, 1983): one pass over memory, and none of the cancellation of E[x^2] - E[x]^2. float16 is computed in
float32. Ioffe and Szegedy, Batch Normalization (2015), algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from tinytrain.device import Array, array_module
from tinytrain.kernels.reference.windows import to_channels_first, to_channels_last

PIECE_BYTES = 512 << 10  # of one array; three of them fit into a common L2 cache
ROW_LENGTH = 1024  # numbers; NumPy adds a row of this length in one go


def batch_norm_forward(x: Array, w: Array | None, b: Array | None, eps: float) -> tuple[Array, Array, Array]:
    """Normalise `x` by its own statistics.

    Args:
        x: `(n, c, *size)`, at least one value a channel.
        w, b: scale and shift, `(c,)`, or None for 1 and 0.
        eps: added to the variance.

    Returns:
        The result; the mean `(c,)`; the sum of squared deviations `(c,)`.
    """
    rows = _rows(x)
    mean, m2 = _moments(rows, x.shape[1])
    rstd = (m2 / (x.size // x.shape[1]) + eps) ** -0.5
    return batch_norm_inference(x, mean, rstd, w, b), mean, m2


def batch_norm_inference(x: Array, mean: Array, rstd: Array, w: Array | None, b: Array | None) -> Array:
    """Return `(x - mean) * rstd * w + b`.

    Args:
        x: `(n, c, *size)`.
        mean, rstd: mean and reciprocal of the standard deviation, `(c,)`.
        w, b: scale and shift, `(c,)`, or None for 1 and 0.
    """
    xp = array_module(x)
    rows = _rows(x)
    y = xp.empty(rows.shape, x.dtype)
    width = rows.shape[-1]
    mean, scale = _tiled(mean, width), _tiled(rstd if w is None else rstd * w, width)
    shift = None if b is None else _tiled(b, width)
    for piece in _pieces(rows):
        part = rows[piece] - mean
        part *= scale
        if shift is not None:
            part += shift
        y[piece] = part
    return _restored(y, x)


def batch_norm_backward(
    g: Array, x: Array, mean: Array, rstd: Array, w: Array | None, through_statistics: bool
) -> tuple[Array, Array, Array]:
    """Return the gradients of `x`, `w` and `b`.

    Args:
        g: gradient of the result, `(n, c, *size)`.
        x: `(n, c, *size)`.
        mean, rstd: what `x` was normalised with, `(c,)`.
        w: scale, `(c,)`, or None for 1.
        through_statistics: whether `mean` and `rstd` are those of `x` itself, so that its gradient flows through them.

    Returns:
        With d = x - mean and sums over all but the channels: `alpha g + beta d + gamma`, where
        alpha = w rstd, beta = -alpha rstd^2 sum(g d) / m, gamma = -alpha sum(g) / m, m the number of values a channel
        (beta = gamma = 0 where the statistics are given); `rstd sum(g d)`; `sum(g)`.
    """
    xp = array_module(x)
    c = x.shape[1]
    x_rows, g_rows = _rows(x), _rows(g)
    width = x_rows.shape[-1]
    wide_mean = _tiled(mean, width)
    sum_g, sum_gd = xp.zeros(width, mean.dtype), xp.zeros(width, mean.dtype)
    for piece in _pieces(x_rows):
        part = x_rows[piece] - wide_mean
        part *= g_rows[piece]
        sum_gd += part.sum(axis=0)
        sum_g += g_rows[piece].sum(axis=0, dtype=mean.dtype)
    sum_g, sum_gd = sum_g.reshape(-1, c).sum(axis=0), sum_gd.reshape(-1, c).sum(axis=0)
    alpha = rstd if w is None else rstd * w
    beta = gamma = None
    if through_statistics:
        m = x.size // c
        beta, gamma = _tiled(-alpha * rstd * rstd * sum_gd / m, width), _tiled(-alpha * sum_g / m, width)
    wide_alpha = _tiled(alpha, width)
    grad = xp.empty(x_rows.shape, x.dtype)
    for piece in _pieces(x_rows):
        part = g_rows[piece] * wide_alpha
        if beta is not None:
            deviation = x_rows[piece] - wide_mean
            deviation *= beta
            part += deviation
            part += gamma
        grad[piece] = part
    return _restored(grad, x), rstd * sum_gd, sum_g


def _moments(rows: Array, c: int) -> tuple[Array, Array]:
    """Return mean and sum of squared deviations of each of `c` channels; `rows` hold whole pixels."""
    xp = array_module(rows)
    dtype = xp.promote_types(rows.dtype, xp.float32)
    counts, means, m2s = [], [], []
    for piece in _pieces(rows):
        part = rows[piece]
        pixels = part.size // c
        mean = part.sum(axis=0, dtype=dtype).reshape(-1, c).sum(axis=0) / pixels
        deviation = part - _tiled(mean, rows.shape[-1])
        deviation *= deviation
        counts.append(pixels)
        means.append(mean)
        m2s.append(deviation.sum(axis=0).reshape(-1, c).sum(axis=0))
    if len(counts) == 1:
        return means[0], m2s[0]
    count = xp.asarray(counts, dtype)[:, None]
    piece_means = xp.stack(means)
    mean = (piece_means * (count / sum(counts))).sum(axis=0)
    apart = piece_means - mean
    return mean, (xp.stack(m2s) + count * apart * apart).sum(axis=0)


def _rows(x: Array) -> Array:
    """Return `(n, c, *size)` as `(rows, width)` with whole pixels in each row, long enough to be added at speed."""
    last = to_channels_last(x)
    row_axes = last.ndim - 1
    while row_axes > 1 and prod(last.shape[row_axes:]) < ROW_LENGTH:
        row_axes -= 1
    return last.reshape(prod(last.shape[:row_axes]), -1)


def _restored(rows: Array, x: Array) -> Array:
    """Return rows as an array of the shape of `x`."""
    return to_channels_first(rows.reshape(x.shape[0], *x.shape[2:], x.shape[1]))


def _tiled(values: Array, width: int) -> Array:
    """Return `(c,)` repeated along a row."""
    return values[None].repeat(width // values.shape[0], axis=0).reshape(width)


def _pieces(rows: Array) -> Iterator[slice]:
    """Yield slices of rows that fit into the cache."""
    step = max(1, PIECE_BYTES // max(1, rows.shape[1] * rows.itemsize))
    for start in range(0, rows.shape[0], step):
        yield slice(start, start + step)
