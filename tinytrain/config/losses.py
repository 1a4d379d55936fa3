"""The loss of a config: built, and tried on what the training will give it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinytrain import nn
from tinytrain.config.problems import shown
from tinytrain.config.tables import LOSSES
from tinytrain.dtypes import float32
from tinytrain.errors import ConfigError
from tinytrain.ops.creation import full, tensor, zeros
from tinytrain.tensor import Tensor


def build_loss(name: str, arguments: dict[str, Any]) -> nn.Module:
    """Return a loss; a list of class weights becomes a tensor."""
    arguments = dict(arguments)
    if arguments.get("weight") is not None:
        arguments["weight"] = tensor(arguments["weight"], dtype=float32)
    return LOSSES.find(name)(**arguments)


def with_class_weights(arguments: dict[str, Any], labels: np.ndarray, num_classes: int) -> dict[str, Any]:
    """Return a loss's arguments with a number for every class in `weight`, where there is a `weight`.

    `balanced` stands for `n / (k n_c)`, with n_c of the n labels in class c and k classes, so that every class counts
    for as much as the others.

    Args:
        arguments: of the loss.
        labels: (n,) class indices of the training set.
        num_classes: k.

    Raises:
        ConfigError: `weight` is neither `balanced` nor a number for each class, or the numbers cannot be weights.
    """
    weight = arguments.get("weight")
    if weight is None:
        return arguments
    if weight == "balanced":
        counts = np.bincount(labels, minlength=num_classes)
        return {**arguments, "weight": (len(labels) / (num_classes * np.maximum(counts, 1))).tolist()}
    is_list = isinstance(weight, list) and all(type(each) in (int, float) for each in weight)
    if not (is_list and len(weight) == num_classes):
        found = f"a list of {len(weight)}" if is_list else shown(weight)
        raise ConfigError(f"`weight` must be balanced or a list of {num_classes} numbers, one a class; got {found}")
    if not (all(0 <= each <= float(np.finfo(np.float32).max) for each in weight) and any(weight)):
        raise ConfigError(
            f"`weight` must hold finite numbers of at least 0, and one above it; got {shown(weight)}",
            remedy="A class of weight 0 is not learned; the others count by their weight",
        )
    return arguments


def try_loss(loss: nn.Module, num_classes: int, *, mixes: bool) -> None:
    """Make sure that a loss takes targets as the training has them.

    Args:
        loss: on the CPU.
        num_classes: of the data.
        mixes: whether the targets are probabilities, as mixup and CutMix make them.

    Raises:
        ConfigError: it takes no probabilities, or `ignore_index` is no whole number.
        RuntimeError: one of its arguments is out of range.
    """
    if type(loss.ignore_index) is not int:
        raise ConfigError(f"`ignore_index` must be a whole number; got {shown(loss.ignore_index)}")
    if mixes and isinstance(loss, nn.NLLLoss):
        raise ConfigError(
            "mixup and CutMix make targets of probabilities, and nll_loss takes class indices",
            remedy="Use cross_entropy, which takes logits, or leave out train.mixup_alpha and train.cutmix_alpha",
        )
    if mixes and loss.ignore_index >= 0:
        raise ConfigError(
            "mixup and CutMix make targets of probabilities, and `ignore_index` names a class index",
            remedy="Leave out `ignore_index`, or train.mixup_alpha and train.cutmix_alpha",
        )
    targets = full((1, num_classes), 1 / num_classes) if mixes else tensor([0])
    loss(zeros((1, num_classes)), targets)


def check_scores(loss: Callable[[Tensor, Tensor], Tensor], outputs: Tensor) -> None:
    """Make sure that a network's outputs are what a loss takes.

    Args:
        loss: of the training.
        outputs: (n, classes) of the network in evaluation, for any images.

    Raises:
        ConfigError: it takes log-probabilities, whose exponentials sum to 1, and the outputs are none.
    """
    if not isinstance(loss, nn.NLLLoss):
        return
    with np.errstate(all="ignore"):  # logits may overflow, and so do their exponentials
        total = float(outputs.exp().sum(1)[0])
    if abs(total - 1) > 1e-3:
        raise ConfigError(
            f"nll_loss takes log-probabilities, and the network's outputs are none: their exponentials sum to "
            f"{total:.3g}, not to 1",
            remedy="Use cross_entropy, which takes logits, or end the layers with {LogSoftmax: {dim: 1}}",
        )
