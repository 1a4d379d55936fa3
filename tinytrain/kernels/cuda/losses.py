"""The cross-entropy of scores and class indices on a GPU, in float32 inside whatever the scores are.

That every target names a class cannot be asked on the way without waiting for the GPU. So a target that names none
makes its row's loss and gradient NaN, and is noted in the GPU's memory; `raise_wrong_target` tells of it, with the same
message as on the CPU. Whoever waits for the GPU anyway calls it: the training loop where it reads its losses. (PyTorch
stops the whole process in that case; to check each batch but once would miss what is done to it afterwards.)
"""

from __future__ import annotations

import functools
from typing import Any

from tinytrain.device import Array, cupy
from tinytrain.kernels.cuda.compiler import ELEMENTS, kernel, launch
from tinytrain.kernels.cuda.layout import factors, floats

__all__ = ["cross_entropy_backward", "cross_entropy_forward", "raise_wrong_target"]

TOTAL_THREADS = 1024
"""Of the one block that adds up the losses; a power of two."""


def cross_entropy_forward(
    x: Array, target: Array, weight: Array | None, ignored: int, smoothing: float, reduction: str
) -> tuple[Array, Array, Array] | None:
    """Return the loss, the probabilities and what the sum of losses was divided by.

    Args:
        x: scores `(n, c)`.
        target: class indices `(n,)`; rows of the class `ignored` count for nothing.
        weight: a factor for each class, or None.
        ignored: a class, or a number that is none.
        smoothing: the share of the target that is spread evenly over all classes.
        reduction: `none`, `mean` or `sum`.

    Returns:
        The loss in the type of the scores, `(n,)` or without dimensions; probabilities `(n, c)` and the divisor `()` in
        float32. None where the arrays have other shapes or types.
    """
    if not _fits(x, target, weight):
        return None
    n, c = x.shape
    xp = cupy()
    x, weight = xp.ascontiguousarray(x), factors(weight, c)
    probabilities, losses = xp.empty((n, c), "float32"), floats(n)
    grid, block = _rows(n, c)
    launch(
        kernel("losses", "cross_entropy_rows", x.dtype),
        grid,
        block,
        *(x, target, weight, ignored, float(smoothing), n, c, probabilities, losses),
    )
    divisor = xp.empty((), "float32")
    loss = None if reduction == "none" else xp.empty((), x.dtype)
    launch(
        kernel("losses", "cross_entropy_total", x.dtype),
        (1,),
        (TOTAL_THREADS,),
        *(losses, target, weight, ignored, reduction == "mean", n, c, loss, divisor, _wrong(x.device.id)),
        shared=3 * 8 * TOTAL_THREADS,
    )
    return (losses.astype(x.dtype, copy=False) if loss is None else loss), probabilities, divisor


def cross_entropy_backward(
    g: Array,
    probabilities: Array,
    target: Array,
    weight: Array | None,
    ignored: int,
    smoothing: float,
    divisor: Array,
) -> Array:
    """Return the gradient of the scores, in the type of `g`.

    Args:
        g: of the shape of the loss.
        probabilities, divisor: what the forward returned.
        target, weight, ignored, smoothing: as they were.
    """
    n, c = probabilities.shape
    xp = cupy()
    each, g, grad = g.ndim, xp.ascontiguousarray(g), xp.empty((n, c), g.dtype)
    grid, block = _rows(n, c)
    launch(
        kernel("losses", "cross_entropy_grad", g.dtype),
        grid,
        block,
        *(g, each, divisor, probabilities, target, factors(weight, c), ignored, float(smoothing), n, c, grad),
    )
    return grad


def raise_wrong_target(device: int | None = None) -> None:
    """Tell whether a target named no class since this was last asked; waits for the GPU.

    Args:
        device: which GPU; None for the current one.

    Raises:
        IndexError: one did; the message names the first.
    """
    xp = cupy()
    wrong = _wrong(xp.cuda.runtime.getDevice() if device is None else device)
    is_wrong, target, num_classes = (int(each) for each in xp.asnumpy(wrong))
    if is_wrong:
        wrong[...] = 0
        raise IndexError(
            f"cross_entropy: Target {target} is out of bounds: there are {num_classes} classes, "
            f"so targets lie in [0, {num_classes - 1}]"
        )


@functools.cache
def _wrong(device: int) -> Array:
    """Return where a GPU notes that a target named no class."""
    with cupy().cuda.Device(device):
        return cupy().zeros(3, "int64")


def _fits(x: Array, target: Array, weight: Any) -> bool:
    return bool(
        x.dtype.name in ELEMENTS
        and x.ndim == 2
        and x.shape[1] > 0
        and target.shape == x.shape[:1]
        and target.dtype == "int64"
        and target.flags.c_contiguous
        and (weight is None or weight.shape == x.shape[1:])
    )


def _rows(n: int, c: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return grid and block: a warp a row for few classes, a block a row for many."""
    return ((-(-n // 8),), (32, 8)) if c <= 256 else ((n,), (256, 1))
