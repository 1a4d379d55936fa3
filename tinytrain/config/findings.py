"""What was found out about a config, and the same in plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinytrain.config.origins import dotted
from tinytrain.config.schema import Config, plain_values
from tinytrain.inspection.cost import LayerCost
from tinytrain.inspection.duplicates import Copies
from tinytrain.inspection.split_survey import SplitSurvey


@dataclass
class Plan:
    """What training would do.

    Attributes:
        device: where.
        input_shape: (c, h, w) of an image as the network gets it.
        layers: the cost of each for one image.
        steps: in an epoch.
        epochs: of the run.
        memory: bytes of a step by what they hold, and their `total`; an estimate.
        epoch_seconds: an estimate from a few steps.
        learning_rates: (epoch, rate) at even steps over the run.
    """

    device: str
    input_shape: tuple[int, int, int]
    layers: list[LayerCost]
    steps: int
    epochs: int
    memory: dict[str, int]
    epoch_seconds: float
    learning_rates: list[tuple[float, float]]

    @property
    def params(self) -> int:
        """Parameters of the network."""
        return sum(layer.params for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds of one image."""
        return sum(layer.macs for layer in self.layers)


@dataclass
class Check:
    """What was found.

    Attributes:
        config: in force.
        classes: names of the labels, empty where the data cannot be read.
        surveys: of the splits there are.
        copies: images that are there more than once.
        normalize: mean and std that the config gives to Normalize, None where it has none.
        plan: what training would do, None where it cannot.
        problems: what keeps the config from training.
        notes: what is worth knowing.
    """

    config: Config
    classes: list[str] = field(default_factory=list)
    surveys: dict[str, SplitSurvey] = field(default_factory=dict)
    copies: list[Copies] = field(default_factory=list)
    normalize: tuple[list[float], list[float]] | None = None
    plan: Plan | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return everything in plain values."""
        return {
            "config": plain_values(self.config),
            "origins": {dotted(path): origin for path, origin in self.config.origins.items() if path},
            "data": {
                "classes": self.classes,
                "splits": {split: self._split_document(survey) for split, survey in self.surveys.items()},
                "duplicates": [
                    [
                        {"split": split, "name": name, "class": self.classes[label]}
                        for split, name, label in copies.places
                    ]
                    for copies in self.copies
                ],
                "statistics": {
                    "measured": self._measured(),
                    "configured": self.normalize and {"mean": self.normalize[0], "std": self.normalize[1]},
                },
            },
            "plan": self.plan
            and {
                **vars(self.plan),
                "layers": [vars(layer) for layer in self.plan.layers],
                "params": self.plan.params,
                "macs": self.plan.macs,
            },
            "problems": self.problems,
            "notes": self.notes,
        }

    def _split_document(self, survey: SplitSurvey) -> dict[str, Any]:
        return {
            "images": len(survey.labels),
            "per_class": dict(zip(self.classes, survey.per_class(len(self.classes)), strict=True)),
            "width": extent(survey, 0),
            "height": extent(survey, 1),
            "modes": dict(survey.modes),
            "damaged": [{"name": name, "reason": reason} for name, reason in survey.damaged],
            "odd": [{"name": name, "reason": reason} for name, reason in survey.odd],
        }

    def _measured(self) -> dict[str, list[float]] | None:
        moments = self.surveys["train"].moments if "train" in self.surveys else None
        return None if moments is None else {"mean": moments.mean, "std": moments.std}


def extent(survey: SplitSurvey, axis: int) -> dict[str, int] | None:
    """Return the smallest, the median and the largest width (axis 0) or height (axis 1) of a split's images."""
    lengths = np.sort([size[axis] for size in survey.sizes.elements()])
    if not len(lengths):
        return None
    return {"min": int(lengths[0]), "median": int(lengths[len(lengths) // 2]), "max": int(lengths[-1])}
