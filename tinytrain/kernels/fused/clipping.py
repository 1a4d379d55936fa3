"""Norms of many gradients, and scaling them, in one call each."""

from __future__ import annotations

import numpy as np

from tinytrain.device import Array
from tinytrain.kernels.fused.backends import primitives


def norms_of(arrays: list[Array]) -> np.ndarray | None:
    """Return the Euclidean norm of each array, squares summed in float64: (n,) float32.

    Returns:
        None where the arrays are not all contiguous float32 memory, or there are no native kernels.
    """
    backend = primitives(arrays[0])
    sums = None if backend is None else backend.square_sums(arrays)
    return None if sums is None else np.sqrt(sums).astype(np.float32)


def scale_arrays(arrays: list[Array], factor: float) -> bool:
    """Multiply arrays in their memory by `factor`, which is rounded to float32; they are those that have `norms_of`."""
    backend = primitives(arrays[0])
    return backend is not None and backend.scale(arrays, factor) is None
