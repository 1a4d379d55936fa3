"""Weights to begin with, wherever they are from, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytrain.config.schema import ModelSection
from tinytrain.errors import ConfigError
from tinytrain.models.pretrained import find_pretrained
from tinytrain.weights import description_in, load_bundle, read_weights

PRETRAINED = "pretrained"
"""What people write instead of a path for the public weights of the config's model."""


@dataclass(frozen=True)
class Source:
    """Weights from elsewhere.

    Attributes:
        name: of the file or folder.
        tensors: arrays by name.
        class_names: by index, None where nobody says.
        eval_transforms: what images went through, None where nobody says.
    """

    name: str
    tensors: dict[str, np.ndarray]
    class_names: list[str] | None = None
    eval_transforms: list[Any] | None = None


def open_source(weights: str, model: ModelSection, *, download: bool = False) -> Source:
    """Return the weights in a file, in a run folder, or the public ones of a model.

    Args:
        weights: a path, or `pretrained`.
        model: of the config; public weights are those of its name.
        download: whether public weights that are on no disk may be downloaded.

    Raises:
        WeightsError: they are missing or damaged.
        ConfigError: there are no public weights of the model.
    """
    if weights == PRETRAINED:
        try:
            public = find_pretrained(str(model.name))
        except ValueError as error:
            raise ConfigError(str(error), remedy="Name a file with --weights") from error
        return Source(public.file, public.read(download=download), public.class_names, public.eval_transforms)
    file = read_weights(weights)
    if description_in(file) is None:
        return Source(weights, file.tensors)
    bundle = load_bundle(weights)
    return Source(weights, bundle.weights, bundle.class_names, bundle.eval_transforms)
