"""A config to the things that it describes, each built once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from tinytrain import nn
from tinytrain.config.origins import KeyPath, Origins, place_of
from tinytrain.config.schema import Config, ModelSection, Step, plain_values
from tinytrain.config.tables import LAYERS, LOSSES
from tinytrain.datasets.catalog import Splits, load_splits
from tinytrain.device import require
from tinytrain.errors import ConfigError, TinytrainError
from tinytrain.generator import manual_seed
from tinytrain.models import MODELS
from tinytrain.ops.creation import tensor
from tinytrain.optim import OPTIMIZERS
from tinytrain.optim.schedules import SCHEDULES, Schedule
from tinytrain.training.experiment import Experiment
from tinytrain.transforms import build_pipeline
from tinytrain.utils.data import DataLoader


def build_experiment(config: Config) -> Experiment:
    """Build data, model, loss, optimizer and schedule, ready to train.

    Args:
        config: resolved.

    Raises:
        ConfigError: a value does not go with another one, or with the data.
        DeviceError: the device is not there.
        DataError: the data are missing or damaged.
    """
    origins = config.origins
    device = require(config.device)
    splits = load_data(config)
    train, val, test = build_loaders(config, splits)
    channels, height, width = image_shape(splits.train)

    manual_seed(config.seed)
    model = build_model(config.model, num_classes=len(splits.classes), in_channels=channels, origins=origins)
    model.to(device)
    loss = build_loss(config.train.loss.name, config.train.loss.arguments).to(device)

    section = config.train.optimizer
    with _placed(("train", "optimizer"), origins):
        optimizer = OPTIMIZERS[section.name](model.parameters(), **section.arguments)
    schedule_section, steps = config.train.schedule, len(train)
    with _placed(("train", "schedule"), origins):
        scheduler = SCHEDULES[schedule_section.name](
            optimizer, config.train.epochs, steps, **schedule_section.arguments
        )
    schedule = Schedule(scheduler, warmup_steps=round(schedule_section.warmup_epochs * steps))

    return Experiment(
        name=config.name,
        seed=config.seed,
        device=device,
        model=model,
        train=train,
        val=val,
        test=test,
        class_names=splits.classes,
        input_shape=(channels, height, width),
        loss=loss,
        optimizer=optimizer,
        schedule=schedule,
        epochs=config.train.epochs,
        clip_grad_norm=config.train.clip_grad_norm,
        clip_grad_value=config.train.clip_grad_value,
        log_every=config.train.log_every,
        config_yaml=config.to_yaml(),
        bundle={
            "model": plain_values(config.model),
            "eval_transforms": plain_values(config.transforms)["eval"],
            "extra": {"data": plain_values(config.data), "seed": config.seed},
        },
    )


def load_data(config: Config) -> Splits:
    """Return the data of a config in its splits, with their transforms.

    Raises:
        ConfigError: the transforms cannot work in their order, or an option does not fit the data set.
        DataError: the data are missing or damaged.
    """
    data = config.data
    transforms = {
        name: build_pipeline(
            [{step.name: step.arguments} for step in steps], place=place_of(("transforms", name), config.origins)
        )
        for name, steps in (("train", config.transforms.train), ("eval", config.transforms.eval))
    }
    with _placed(("data", "options"), config.origins) if data.options else nullcontext():
        return load_splits(
            data.dataset,
            data.root,
            train_transform=transforms["train"],
            eval_transform=transforms["eval"],
            val_fraction=data.val_fraction,
            seed=config.seed,
            download=data.download,
            **data.options,
        )


def build_loaders(config: Config, splits: Splits) -> tuple[DataLoader, DataLoader | None, DataLoader | None]:
    """Return the loaders of train, val and test; None where there is no such split."""
    train = _loader(config, splits.train, shuffle=True)
    val, test = (None if part is None else _loader(config, part, shuffle=False) for part in (splits.val, splits.test))
    return train, val, test


def build_model(
    section: ModelSection, *, num_classes: int, in_channels: int, origins: Origins | None = None
) -> nn.Module:
    """Return the network of a config, with fresh weights.

    Args:
        section: a name with arguments, or a list of layers.
        num_classes: of the data.
        in_channels: of the images.
        origins: of the config, for messages.

    Raises:
        ConfigError: an argument is out of range, or the network takes images of other channels only.
    """
    origins = origins or {}
    if section.layers is not None:
        return nn.Sequential(*(_layer(step, i, origins) for i, step in enumerate(section.layers)))
    builder = MODELS.find(str(section.name))
    with _placed(("model",), origins):
        return builder(num_classes=num_classes, in_channels=in_channels, **section.arguments)


def build_loss(name: str, arguments: dict[str, Any]) -> nn.Module:
    """Return a loss; a list of class weights becomes a tensor."""
    arguments = dict(arguments)
    if arguments.get("weight") is not None:
        arguments["weight"] = tensor(arguments["weight"])
    return LOSSES.find(name)(**arguments)


def image_shape(dataset: Any) -> tuple[int, int, int]:
    """Return (c, h, w) of a data set's first image, as the network gets it."""
    image = dataset[0][0]
    return tuple(image.shape)


def _loader(config: Config, dataset: Any, *, shuffle: bool) -> DataLoader:
    return DataLoader(
        dataset,
        config.data.batch_size,
        shuffle=shuffle,
        num_workers=config.data.workers,
        persistent_workers=config.data.workers > 0,
        seed=config.seed,
        skip_damaged=config.data.on_error == "skip",
    )


def _layer(step: Step, index: int, origins: Origins) -> nn.Module:
    with _placed(("model", "layers", index), origins):
        return LAYERS.find(step.name)(**step.arguments)


@contextmanager
def _placed(path: KeyPath, origins: Origins) -> Iterator[None]:
    """Give an error of a builder the place of the section that asked for it."""
    try:
        yield
    except ConfigError as error:
        if error.place is not None:
            raise
        raise ConfigError(error.reason, place=place_of(path, origins), remedy=error.remedy) from error
    except TinytrainError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(str(error), place=place_of(path, origins)) from error
