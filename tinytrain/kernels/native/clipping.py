"""Norms of many gradients, and scaling them, in one call each."""

from __future__ import annotations

import numpy as np

from tinytrain.device import Array
from tinytrain.kernels.native.extension import native


def norms_of(arrays: list[Array]) -> np.ndarray | None:
    """Return the Euclidean norm of each array, squares summed in float64: (n,) float32.

    Returns:
        None where the arrays are not all contiguous float32 memory, or there are no native kernels.
    """
    extension = native()
    sums = None if extension is None else extension.square_sums(arrays)
    return None if sums is None else np.sqrt(sums).astype(np.float32)


def scale_arrays(arrays: list[Array], factor: float) -> bool:
    """Multiply arrays in their memory by `factor`, which is rounded to float32; they are those that have `norms_of`."""
    extension = native()
    return extension is not None and extension.scale(arrays, factor) is None
