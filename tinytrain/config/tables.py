"""Which table each part of a config chooses from, and what the program itself tells the builders."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from tinytrain import nn
from tinytrain.datasets.catalog import DATASETS
from tinytrain.models import MODELS
from tinytrain.optim import OPTIMIZERS
from tinytrain.optim.schedules import SCHEDULES
from tinytrain.registry import Registry
from tinytrain.transforms.pipeline import TRANSFORMS

LOSSES: Registry[type[nn.Module]] = Registry("loss")
"""Losses of a batch of scores and class indices."""
LOSSES.register("cross_entropy")(nn.CrossEntropyLoss)
LOSSES.register("nll_loss")(nn.NLLLoss)

LAYERS: Registry[type[nn.Module]] = Registry("layer")
"""Every layer of `tinytrain.nn`, by its class name."""
for _name, _layer in sorted(vars(nn).items()):
    if inspect.isclass(_layer) and issubclass(_layer, nn.Module) and _layer is not nn.Module:
        LAYERS.register(_name)(_layer)

INFERRED = frozenset({"in_channels", "in_features", "num_channels", "num_features"})
"""Arguments of a layer that the layers before it tell."""


@dataclass(frozen=True)
class Table:
    """What a config can name in one place.

    Args:
        registry: names and builders.
        supplied: parameters of the builders that the program fills in.
        inferred: parameters that it fills in where a config does not.
    """

    registry: Registry[Any]
    supplied: frozenset[str] = frozenset()
    inferred: frozenset[str] = frozenset()


TABLES = {
    "models": Table(MODELS, frozenset({"in_channels", "num_classes", "weights", "progress"})),
    "layers": Table(LAYERS, frozenset({"device", "dtype"}), inferred=INFERRED),
    "datasets": Table(DATASETS, frozenset({"download"}), inferred=frozenset({"root", "split"})),
    "transforms": Table(TRANSFORMS),
    "optimizers": Table(OPTIMIZERS, frozenset({"params"})),
    "schedules": Table(SCHEDULES, frozenset({"optimizer", "epochs", "steps_per_epoch"})),
    "losses": Table(LOSSES, frozenset({"reduction", "reduce", "size_average"})),
}
