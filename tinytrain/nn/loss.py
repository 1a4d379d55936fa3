"""Losses as layers; the formulas stand with the functions in `tinytrain.ops`."""

from __future__ import annotations

from typing import Any

from tinytrain.nn import functional as F
from tinytrain.nn.stateless import Stateless
from tinytrain.tensor import Tensor

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "SmoothL1Loss",
]

_LEGACY: dict[str, Any] = {"size_average": None, "reduce": None, "reduction": "mean"}


class _Loss(Stateless):
    """A loss: tensors among its arguments become buffers, so that they move with the module."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        for name in self.arguments:
            value = getattr(self, name)
            if isinstance(value, Tensor):
                delattr(self, name)
                self.register_buffer(name, value)

    def extra_repr(self) -> str:
        """Return nothing, as PyTorch."""
        return ""


class CrossEntropyLoss(
    _Loss,
    function=F.cross_entropy,
    weight=None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction="mean",
    label_smoothing=0.0,
):
    """The negative log-likelihood of the targets under the softmax of the input."""


class NLLLoss(
    _Loss, function=F.nll_loss, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"
):
    """The negative of the input at the target class; the input holds log-probabilities."""


class MSELoss(_Loss, function=F.mse_loss, **_LEGACY):
    """The squared difference."""


class L1Loss(_Loss, function=F.l1_loss, **_LEGACY):
    """The absolute difference."""


class SmoothL1Loss(_Loss, function=F.smooth_l1_loss, **_LEGACY, beta=1.0):
    """The squared difference below beta, the absolute above."""


class HuberLoss(_Loss, function=F.huber_loss, reduction="mean", delta=1.0):
    """Half the squared difference below delta, the absolute times delta above."""


class KLDivLoss(_Loss, function=F.kl_div, **_LEGACY, log_target=False):
    """The Kullback-Leibler divergence of the input (log-probabilities) from the target."""


class BCELoss(_Loss, function=F.binary_cross_entropy, weight=None, **_LEGACY):
    """The binary cross-entropy of probabilities."""


class BCEWithLogitsLoss(
    _Loss,
    function=F.binary_cross_entropy_with_logits,
    weight=None,
    size_average=None,
    reduce=None,
    reduction="mean",
    pos_weight=None,
):
    """The binary cross-entropy of the sigmoid of the input."""
