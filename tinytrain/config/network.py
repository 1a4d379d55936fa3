"""A network to look at, with or without training and data: of a config, of a run, or of a model's name."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tinytrain.config.build import build_model, image_shape, load_data, pipeline_of
from tinytrain.config.load import load_config
from tinytrain.config.prediction import load_classifier
from tinytrain.config.problems import placed
from tinytrain.config.schema import Config
from tinytrain.errors import DataError, UsageError, did_you_mean
from tinytrain.generator import manual_seed
from tinytrain.models import MODELS
from tinytrain.nn import Module

IMAGENET_SIZE = (224, 224)

PUBLIC_IMAGES = {
    "mnist": (28, 1, 10),
    "fashion_mnist": (28, 1, 10),
    "kmnist": (28, 1, 10),
    "qmnist": (28, 1, 10),
    "cifar10": (32, 3, 10),
    "cifar100": (32, 3, 100),
}
"""Side in pixels, channels and number of classes of data sets that are known without being there."""


@dataclass(frozen=True)
class Network:
    """A network and the images it takes.

    Attributes:
        name: of the run, config or model.
        model: the network.
        input_shape: (c, h, w) of an image.
        transform: from a Pillow image to a tensor (c, h, w); None where only a model's name is known.
        is_trained: whether the weights are a run's.
    """

    name: str
    model: Module
    input_shape: tuple[int, ...]
    transform: Callable[[Any], Any] | None
    is_trained: bool


def open_network(
    source: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    *,
    size: tuple[int, int] | None = None,
    in_channels: int | None = None,
) -> Network:
    """Return the network that a config, a run folder, a weights file or a model's name stands for.

    Args:
        source: what to open.
        overrides: of the config, `KEY=VALUE`.
        size: (height, width) of the images, where nothing else says it.
        in_channels: of the images, likewise.

    Raises:
        UsageError: there is no such thing, or an argument does not go with it.
        DataError: the size of the images is known from the data only, and they are not there.
    """
    path = Path(source)
    if path.suffix in (".yaml", ".yml"):
        return _of_config(load_config(path, overrides), path, size, in_channels)
    if overrides:
        raise UsageError(f"{overrides[0]} changes a config, {os.fspath(source)!r} is none", remedy="Leave it out")
    if path.exists():
        if size is not None or in_channels is not None:
            raise UsageError("the run says itself which images it takes", place=path, remedy="Leave the sizes out")
        found = load_classifier(path, device="cpu")
        return Network(path.name, found.model, found.input_shape, found.transform, is_trained=True)
    name = os.fspath(source)
    if name not in MODELS:
        raise UsageError(
            f"{name!r} is no config, run or model{did_you_mean(name, MODELS)}",
            remedy="`tinytrain list models` prints the models; a config ends in .yaml",
        )
    shape = (in_channels or 3, *(size or IMAGENET_SIZE))
    manual_seed(0)
    return Network(name, MODELS[name](in_channels=shape[0]).eval(), shape, None, is_trained=False)


def _of_config(config: Config, path: Path, size: tuple[int, int] | None, in_channels: int | None) -> Network:
    transform = pipeline_of(config, "eval")
    shape, num_classes = _shape_and_classes(config, transform, size, in_channels)
    manual_seed(config.seed)
    model = build_model(config.model, num_classes=num_classes, input_shape=shape, origins=config.origins)
    return Network(path.name, model.eval(), shape, transform, is_trained=False)


def _shape_and_classes(
    config: Config, transform: Callable[[Any], Any], size: tuple[int, int] | None, in_channels: int | None
) -> tuple[tuple[int, ...], int]:
    """Return (c, h, w) and the number of classes: of the data, or of what is known of them."""
    dataset = config.data.dataset
    kept = config.data.keep_classes
    if size is None and in_channels is None and dataset in PUBLIC_IMAGES:
        side, channels, num_classes = PUBLIC_IMAGES[dataset]
        blank = Image.new("L" if channels == 1 else "RGB", (side, side))
        return tuple(transform(blank).shape), num_classes if kept is None else len(kept)
    try:
        quiet = config.model_copy(update={"data": config.data.model_copy(update={"download": False})})
        splits = load_data(quiet, needed=["val"])
    except DataError as error:
        if size is None:
            remedy = "Name the folder with data.root=DIR, or give --size HxW"
            raise DataError(error.reason, place=error.place, remedy=remedy) from error
        return (in_channels or 3, *size), 10 if kept is None else len(kept)
    with placed(("transforms", "eval"), config.origins):
        shape = image_shape(splits.val if splits.val is not None else splits.train)
    return (in_channels or shape[0], *(size or shape[1:])), len(splits.classes)
