"""Local response normalisation: each number is divided by a measure of its neighbours in the channels."""

from __future__ import annotations

from tinytrain.device import Array
from tinytrain.dtypes import FLOATS
from tinytrain.ops.common import float_operand, rounds_once
from tinytrain.recording import record
from tinytrain.tensor import Tensor

__all__ = ["local_response_norm"]


@rounds_once
def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Return `input / (k + alpha * s)^beta`, s the mean square over `size` neighbouring channels.

    Channels beyond the first and the last count as 0. Krizhevsky et al., ImageNet Classification with Deep
    Convolutional Neural Networks (2012), section 3.3.

    Args:
        input: (n, c, *), at least one dimension after the channels.
        size: number of neighbouring channels; an even window reaches further to lower channels.
        alpha: factor of the mean square.
        beta: the exponent.
        k: added to the mean square.

    Raises:
        ValueError: `input` has fewer than three dimensions.
    """
    x = input.array
    if x.ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {x.ndim} dimensions)")
    if x.size == 0:
        return input
    before, after = size // 2, (size - 1) // 2
    mean_square = _window_sum(x * x, before, after)
    if x.dtype.kind in FLOATS:
        mean_square /= size
    else:  # an average of integers is an integer in PyTorch
        input = float_operand(input)
        x = input.array
        mean_square = (mean_square // size).astype(x.dtype)
    base = mean_square * alpha + k
    scale = base**-beta

    def rule(g: Array) -> Array:
        # Channel i reads channel j where i - before <= j <= i + after: its gradient returns along mirrored windows.
        crossed = _window_sum(g * x * scale / base, after, before)
        return g * scale - (2 * alpha * beta / size) * x * crossed

    return record(x * scale, "Div", (input,), (rule,), saved=(input,))


def _window_sum(x: Array, before: int, after: int) -> Array:
    """Return, for each channel, the sum over the `before` channels before it, itself, and `after` behind it."""
    total = x.copy()
    c = x.shape[1]
    for step in range(1, min(before, c - 1) + 1):
        total[:, step:] += x[:, : c - step]
    for step in range(1, min(after, c - 1) + 1):
        total[:, : c - step] += x[:, step:]
    return total
