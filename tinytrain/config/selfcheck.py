"""The network of a config on the device that it is to run on, held to its definition."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image

from tinytrain.config.build import assemble_experiment, pipeline_of
from tinytrain.config.network import PUBLIC_IMAGES
from tinytrain.config.schema import Config
from tinytrain.datasets.catalog import Splits
from tinytrain.errors import DataError
from tinytrain.kernels import kernels_in_use
from tinytrain.ops.creation import from_numpy
from tinytrain.tensor import Tensor
from tinytrain.training.experiment import Experiment
from tinytrain.training.selfcheck import Deviation, compare_steps
from tinytrain.utils.data import TensorDataset

MAX_IMAGES = 16
"""A batch has no more images where nobody says how many: the definition is slow."""

TRIES = 3
"""Batches in which a tensor must be beyond its bound to count as wrong."""

_UNKNOWN = (256, 3, 10)
"""Side in pixels, channels and classes of data that are not there and not known otherwise."""


@dataclass(frozen=True)
class SelfCheck:
    """How a training step compares with its definition.

    Attributes:
        device: where the step was computed.
        precision: in which.
        kernels: the sets for arrays of that device, with the reason of each.
        data: where the batch is from, in words.
        batch_size: images.
        input_shape: (c, h, w) of an image.
        classes: of the data.
        deviations: every tensor, the worst first.
    """

    device: str
    precision: str
    kernels: list[dict[str, Any]]
    data: str
    batch_size: int
    input_shape: tuple[int, int, int]
    classes: int
    deviations: list[Deviation]

    @property
    def beyond(self) -> list[Deviation]:
        """Those that rounding does not explain."""
        return [each for each in self.deviations if not each.is_within]

    @property
    def vague(self) -> list[Deviation]:
        """Those that rounding alone may change altogether, so that the comparison says nothing."""
        return [each for each in self.deviations if each.bound >= 1]

    def document(self) -> dict[str, Any]:
        """Return everything in plain values; an error or bound that is no number is None."""
        rows = [
            {**vars(each), "error": _finite(each.error), "bound": _finite(each.bound), "within": each.is_within}
            for each in self.deviations
        ]
        return {"agrees": not self.beyond, **vars(self), "input_shape": list(self.input_shape), "deviations": rows}


def selfcheck(config: Config, *, batch_size: int | None = None, watch: Any = lambda doing: None) -> SelfCheck:
    """Compute one training step of a config on its device and by definition, and compare every tensor.

    Args:
        config: resolved.
        batch_size: images; None: those of the config, at most `MAX_IMAGES`.
        watch: told what is being done.

    Raises:
        ConfigError: a value does not go with another one, or with the data.
        DeviceError: the device is not there.
    """
    size = batch_size or min(config.data.batch_size, MAX_IMAGES)
    still = {"download": False, "workers": 0, "batch_size": size}
    config = config.model_copy(update={"data": config.data.model_copy(update=still)})
    precision = config.train.precision
    exact = config.train.model_copy(update={"precision": "fp32"})
    on_cpu = config.model_copy(update={"device": "cpu", "train": exact})
    watch("building the network")
    definition, splits, data = _build(on_cpu)
    batches = list(islice(definition.train, TRIES))
    tested = assemble_experiment(config, splits)
    parameter = next(iter(tested.model.parameters()))
    return SelfCheck(
        device=str(tested.device),
        precision=precision,
        kernels=[{"set": each["set"], "reason": each["reason"]} for each in kernels_in_use(parameter.array)],
        data=data,
        batch_size=len(batches[0][0]),
        input_shape=definition.input_shape,
        classes=len(definition.class_names),
        deviations=compare_steps(tested, definition, batches, precision=precision, watch=watch),
    )


def _build(config: Config) -> tuple[Experiment, Splits | None, str]:
    """Return the experiment, the data it was given where they are made up, and in words where they are from."""
    try:
        return assemble_experiment(config), None, f"the first training batch of {config.data.dataset}"
    except DataError as error:
        splits = _random_splits(config)
        return assemble_experiment(config, splits), splits, f"random numbers, for the data cannot be read: {error}"


def _random_splits(config: Config) -> Splits:
    """Return made-up images of the shape, and labels of as many classes, that the config's data have."""
    side, channels, num_classes = PUBLIC_IMAGES.get(config.data.dataset, _UNKNOWN)
    if config.data.keep_classes is not None:
        num_classes = len(config.data.keep_classes)
    transform = pipeline_of(config, "train")
    shape = transform(Image.new("L" if channels == 1 else "RGB", (side, side))).shape
    rng = np.random.default_rng(config.seed)
    count = max(TRIES * config.data.batch_size, num_classes)
    images = rng.standard_normal((count, *shape), np.float32)
    data = _Labelled(from_numpy(images), from_numpy(np.arange(count) % num_classes))
    return Splits(data, data, data, [str(number) for number in range(num_classes)])


class _Labelled(TensorDataset):
    """Images and labels in memory."""

    @property
    def targets(self) -> Tensor:
        """The labels, (n,)."""
        return self.tensors[1]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
