"""Norms of many gradients, and scaling them, in one call each."""

from __future__ import annotations

from tinytrain.device import Array, array_module
from tinytrain.kernels.fused.backends import offered


def norms_of(arrays: list[Array]) -> Array | None:
    """Return the Euclidean norm of each array, squares summed in float64: (n,) float32, on the arrays' device.

    Returns:
        None where the arrays are not all contiguous memory of a type that kernels take, or there are no kernels.
    """
    backend = offered(arrays[0])
    sums = None if backend is None else backend.square_sums(arrays)
    return None if sums is None else array_module(arrays[0]).sqrt(sums).astype("float32")


def unscale_arrays(arrays: list[Array], factor: Array) -> Array | None:
    """Multiply arrays in their memory by `factor`, and look whether they were finite; nobody waits for the device.

    A sum of squares in float64 is not finite where an element is not, for no float32 is large enough to make it so.

    Args:
        arrays: as of `norms_of`.
        factor: float32 without dimensions.

    Returns:
        Whether an element was infinite or NaN, without dimensions; None where they have no `norms_of`.
    """
    backend = offered(arrays[0])
    sums = None if backend is None else backend.square_sums(arrays)
    if sums is None:
        return None
    xp = array_module(arrays[0])
    found: Array = ~xp.isfinite(xp.asarray(sums)).all()
    scale_arrays(arrays, factor)
    return found


def scale_arrays(arrays: list[Array], factor: float | Array) -> bool:
    """Multiply arrays in their memory by `factor`, which is rounded to float32; they are those that have `norms_of`.

    Args:
        arrays: what is multiplied.
        factor: a number, or an array without dimensions on the arrays' device; nobody waits for its value.
    """
    backend = offered(arrays[0])
    return backend is not None and backend.scale(arrays, factor) is None
