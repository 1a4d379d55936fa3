"""Dropout of elements and of whole channels, drawn from the default generator.

Srivastava et al., Dropout (2014): in training each element is kept with probability 1 - p and scaled by its
reciprocal, so that nothing need change in evaluation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

from tinytrain.device import Array, array_module
from tinytrain.generator import generator_of
from tinytrain.ops.activation import floats
from tinytrain.recording import record, rewrite
from tinytrain.tensor import Tensor

__all__ = ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"]

# Klambauer et al., Self-Normalizing Neural Networks (2017), section 2: the value SELU saturates at.
_SELU_FLOOR = -1.7580993408473766


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set each element to 0 with probability `p` and scale the others by 1 / (1 - p).

    Args:
        input: floats of any shape.
        p: 0 to 1.
        training: False returns `input` as it is.
        inplace: write the result into `input`.

    Raises:
        ValueError: `p` lies outside [0, 1].
    """
    return _drop("dropout", input, p, training, inplace, input.array.ndim)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set each channel of `input` (n, c, l) or (c, l) to 0 with probability `p`; see `dropout`.

    Raises:
        RuntimeError: `input` has another number of dimensions.
    """
    ndim = input.array.ndim
    if ndim not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {ndim}D input. "
            "Note that dropout1d exists to provide channel-wise dropout on inputs with 1 spatial dimension"
        )
    return _drop("dropout1d", input, p, training, inplace, ndim - 1)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set each channel of `input` (n, c, h, w) to 0 with probability `p`; see `dropout`.

    Three dimensions are taken for (n, c, l), as in PyTorch.
    """
    _warn_of_unusual_ndim("dropout2d", input.array.ndim, (3, 4))
    return _drop("dropout2d", input, p, training, inplace, 2)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set each channel of `input` (n, c, d, h, w) or (c, d, h, w) to 0 with probability `p`; see `dropout`."""
    ndim = input.array.ndim
    _warn_of_unusual_ndim("dropout3d", ndim, (4, 5))
    return _drop("dropout3d", input, p, training, inplace, 1 if ndim == 4 else 2)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Set elements to the value SELU saturates at, then scale and shift: mean and variance are kept.

    Klambauer et al., Self-Normalizing Neural Networks (2017), section 3. Arguments and errors as for `dropout`.
    """
    return _alpha_drop("alpha_dropout", input, p, training, inplace, input.array.ndim)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Drop whole channels of `input` (n, c, *) as `alpha_dropout` drops elements."""
    return _alpha_drop("feature_alpha_dropout", input, p, training, inplace, 2)


def _drop(name: str, input: Tensor, p: float, training: bool, inplace: bool, mask_ndim: int) -> Tensor:
    """Drop what shares the first `mask_ndim` indices together."""
    _check_probability(p)
    if not training or p == 0:
        return input

    def dropped(input: Tensor) -> Tensor:
        x = floats(input, name)
        kept = _kept(input, p, mask_ndim)
        factor = kept * x.dtype.type(1 / (1 - p)) if p < 1 else kept.astype(x.dtype)
        return record(x * factor, "Mul", (input,), (lambda g: g * factor,))

    return _applied(dropped, input, inplace)


def _alpha_drop(name: str, input: Tensor, p: float, training: bool, inplace: bool, mask_ndim: int) -> Tensor:
    _check_probability(p)
    if not training or p == 0:
        return input

    def dropped(input: Tensor) -> Tensor:
        x = floats(input, name)
        kept = _kept(input, p, mask_ndim)
        scale = ((1 - p) * (1 + p * _SELU_FLOOR**2)) ** -0.5 if p < 1 else 0.0
        factor = kept * x.dtype.type(scale)
        offset = (~kept - x.dtype.type(p)) * x.dtype.type(_SELU_FLOOR * scale)
        return record(x * factor + offset, "Mul", (input,), (lambda g: g * factor,))

    return _applied(dropped, input, inplace)


def _kept(input: Tensor, p: float, mask_ndim: int) -> Array:
    """Draw which elements are kept: one choice for all that share the first `mask_ndim` indices."""
    shape = input.array.shape
    mask_shape = (*shape[:mask_ndim], *(1,) * (len(shape) - mask_ndim))
    kept = generator_of(input.device).bernoulli(mask_shape, 1 - p)
    return array_module(kept).asarray(kept)


def _applied(change: Callable[[Tensor], Tensor], input: Tensor, inplace: bool) -> Tensor:
    return rewrite(input, change) if inplace else change(input)


def _check_probability(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _warn_of_unusual_ndim(name: str, ndim: int, usual: tuple[int, int]) -> None:
    if ndim not in usual:
        warnings.warn(
            f"{name}: Received a {ndim}-D input to {name}, which is deprecated and will result in an error in a "
            f"future release. {name} takes {usual[0]} or {usual[1]} dimensions.",
            stacklevel=3,
        )
