"""Layers that switch off at random what they pass on, in training only."""

from __future__ import annotations

from collections.abc import Callable

from tinytrain.nn import functional as F
from tinytrain.nn.module import Module
from tinytrain.ops.fusion import on_values
from tinytrain.tensor import Tensor

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"]


class _Dropout(Module):
    """Switch off at random, and scale the rest so that the mean stays (Srivastava et al., 2014).

    Args:
        p: the probability of an element, or a channel, to be switched off, from 0 to 1.
        inplace: change the input itself.

    Raises:
        ValueError: `p` is no probability.
    """

    function: Callable[..., Tensor]

    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    @on_values(lambda self, x, is_private: x if is_private and not self.training else None)
    def forward(self, input: Tensor) -> Tensor:
        """Return `input`, in training with parts of it switched off."""
        return self.function(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    __doc__ = _Dropout.__doc__
    function = staticmethod(F.dropout)


class Dropout1d(_Dropout):
    __doc__ = _Dropout.__doc__
    function = staticmethod(F.dropout1d)


class Dropout2d(_Dropout):
    __doc__ = _Dropout.__doc__
    function = staticmethod(F.dropout2d)


class Dropout3d(_Dropout):
    __doc__ = _Dropout.__doc__
    function = staticmethod(F.dropout3d)


class AlphaDropout(_Dropout):
    __doc__ = _Dropout.__doc__
    function = staticmethod(F.alpha_dropout)


class FeatureAlphaDropout(_Dropout):
    __doc__ = _Dropout.__doc__
    function = staticmethod(F.feature_alpha_dropout)
