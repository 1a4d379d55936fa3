"""Update rules, norms and scaling for many arrays on a GPU, in one launch each.

`sgd`, `adam`, `rmsprop` and `lion` have the arguments of `kernels/native/_native.pyi`. Values and what rules remember
are float32; gradients may be halves. Results are those of the rules in `tinytrain.optim` to the rounding of float32: a
multiplication and the addition after it may round once in place of twice, so they are not the same to the bit as on
the CPU. On one GPU they repeat themselves to the bit. How they become part of a CUDA graph tells `tables`.

`during_step` lets a step change nothing where a flag in the memory of the GPU says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tinytrain.device import Array, cupy
from tinytrain.kernels.cuda.tables import Lists, plan_for

__all__ = ["adam", "during_step", "lion", "rmsprop", "scale", "sgd", "square_sums"]


_is_void: Array | None = None


@contextmanager
def during_step(is_void: Array) -> Iterator[None]:
    """Have updates change nothing meanwhile where `is_void`, `()` float32, is not 0.

    The host, which counts Adam's steps, counts on.
    """
    global _is_void
    before, _is_void = _is_void, is_void
    try:
        yield
    finally:
        _is_void = before


def sgd(
    params: list[Array],
    grads: list[Array],
    velocities: list[Array | None] | None,
    lr: float,
    momentum: float,
    keep: float,
    decay: float,
    nesterov: bool,
    maximize: bool,
) -> list[int] | None:
    """Take a step of `SGD.update`; return the positions of the parameters left alone, None where there are none."""
    return _update("sgd", params, grads, (velocities,), (lr, momentum, keep, decay, nesterov, maximize))


def adam(
    params: list[Array],
    grads: list[Array],
    means: list[Array | None],
    squares: list[Array | None],
    largest: list[Array | None] | None,
    *numbers: float,
) -> list[int] | None:
    """Take a step of `Adam.update`, as `sgd`.

    Args:
        params, grads: values and gradients.
        means, squares, largest: what the rule remembers.
        numbers: rate, root, mean_keep, square_fade, square_keep, eps, decay, shrink, maximize.
    """
    return _update("adam", params, grads, (means, squares, largest), numbers)


def rmsprop(
    params: list[Array],
    grads: list[Array],
    squares: list[Array | None],
    means: list[Array | None] | None,
    velocities: list[Array | None] | None,
    *numbers: float,
) -> list[int] | None:
    """Take a step of `RMSprop.update`, as `sgd`.

    Args:
        params, grads: values and gradients.
        squares, means, velocities: what the rule remembers.
        numbers: lr, fade, keep, eps, decay, momentum, maximize.
    """
    return _update("rmsprop", params, grads, (squares, means, velocities), numbers)


def lion(params: list[Array], grads: list[Array], means: list[Array | None], *numbers: float) -> list[int] | None:
    """Take a step of `Lion.update`, as `sgd`.

    Args:
        params, grads: values and gradients.
        means: what the rule remembers.
        numbers: lr, fade_now, keep_now, fade, keep, shrink, maximize.
    """
    return _update("lion", params, grads, (means,), numbers)


def square_sums(arrays: list[Array]) -> Array | None:
    """Return the sum of squares of each array in float64, in the memory of the GPU; the host does not wait.

    Returns:
        `(n,)` in the order of the arrays; None where one is not contiguous or of a type without kernels.
    """
    plans, left = plan_for(arrays, arrays)
    if left:
        return None
    if len(plans) == 1:
        return plans[0][0].square_sums()
    sums = cupy().empty(len(arrays), "float64")
    for plan, positions in plans:
        for place, total in zip(positions, plan.square_sums(), strict=True):
            sums[place] = total
    return sums


def scale(arrays: list[Array], factor: float | Array) -> list[int] | None:
    """Multiply arrays in their memory by a number, perhaps one in the memory of the GPU.

    Returns:
        The positions of those left alone, None where there are none.
    """
    plans, left = plan_for(arrays, arrays)
    for plan, _ in plans:
        if isinstance(factor, (int, float)):
            plan.upload((factor,))
            plan.scale(plan.numbers)
        else:
            plan.scale(factor.astype("float32", copy=False))
    return left or None


def _update(
    rule: str, params: list[Array], grads: list[Array], states: Lists, numbers: Sequence[float]
) -> list[int] | None:
    plans, left = plan_for(params, grads, states)
    for plan, _ in plans:
        plan.upload(numbers)
        plan.launch(rule, _is_void)
    return left or None
