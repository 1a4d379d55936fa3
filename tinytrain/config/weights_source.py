"""Weights to begin with, wherever they are from, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytrain.config.schema import ModelSection
from tinytrain.weights import description_in, read_weights


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


def open_source(weights: str, model: ModelSection) -> Source:
    """Return the weights in a file, in a run folder, or `pretrained` ones of a model.

    Raises:
        WeightsError: they are missing or damaged.
    """
    file = read_weights(weights)
    described = description_in(file)
    if described is None:
        return Source(weights, file.tensors)
    return Source(weights, file.tensors, described["class_names"], described["eval_transforms"])
