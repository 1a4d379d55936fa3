"""Products of rows with a matrix, and their gradients; floats of 16 bits are computed in float32 and rounded once."""

from __future__ import annotations

import numpy as np

from tinytrain.device import Array
from tinytrain.kernels.reference.windows import compute_form


def linear(x: Array, w: Array, b: Array | None = None) -> Array:
    """Return `x @ w.T + b`.

    Args:
        x: `(n, c)`.
        w: `(o, c)`.
        b: `(o,)` or None.

    Returns:
        `(n, o)`.
    """
    y = compute_form(x) @ compute_form(w).T
    if b is not None:
        y += compute_form(b)
    with np.errstate(over="ignore"):  # a sum that 16 bits do not hold is infinite, as in PyTorch
        return y.astype(x.dtype, copy=False)


def linear_gradients(g: Array, x: Array, w: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
    """Return the gradients of `x`, `w` and `b`, None where not needed.

    Args:
        g: gradient of the result, `(n, o)`.
        x, w: what was multiplied.
        needs: whether each is wanted, two or three.
    """
    wide = compute_form(g)
    grads = (
        wide @ compute_form(w) if needs[0] else None,
        wide.T @ compute_form(x) if needs[1] else None,
        wide.sum(axis=0) if len(needs) == 3 and needs[2] else None,
    )
    return tuple([None if each is None else each.astype(g.dtype, copy=False) for each in grads[: len(needs)]])
