"""A config to the things that it describes, each built once."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from typing import Any, Literal

from tinytrain import nn
from tinytrain.config.layers import build_layers
from tinytrain.config.losses import build_loss, check_scores, try_loss, with_class_weights
from tinytrain.config.origins import Origins, place_of
from tinytrain.config.problems import blamed, placed
from tinytrain.config.residence import Residence
from tinytrain.config.schema import Config, ModelSection, plain_values
from tinytrain.datasets.catalog import SPLITS, Splits, load_splits, reads_files
from tinytrain.datasets.samples import labels_of, retransformed
from tinytrain.device import device as Device
from tinytrain.device import require
from tinytrain.errors import ConfigError, DataError, UsageError
from tinytrain.generator import manual_seed
from tinytrain.inspection import run_once
from tinytrain.models import MODELS
from tinytrain.optim import OPTIMIZERS, Optimizer
from tinytrain.optim.schedules import SCHEDULES, Schedule
from tinytrain.training.ema import WeightAverage
from tinytrain.training.experiment import Experiment
from tinytrain.training.mixing import MixingCollate
from tinytrain.training.parameter_groups import RateScale, parameter_groups
from tinytrain.training.precision import LOWER, build_scaler
from tinytrain.training.preflight import check_batches
from tinytrain.training.selection import EarlyStopping
from tinytrain.training.views import Augmentation, Views
from tinytrain.training.whitening import whiten
from tinytrain.transforms import Compose, build_pipeline
from tinytrain.utils.data import DataLoader, Subset


def build_experiment(config: Config) -> Experiment:
    """Build data, model, loss, optimizer and schedule, ready to train.

    Args:
        config: resolved.

    Raises:
        ConfigError: a value does not go with another one, or with the data.
        DeviceError: the device is not there.
        DataError: the data are missing or damaged, or a class has no image.
    """
    experiment = assemble_experiment(config)
    check_experiment(experiment, config)
    return experiment


def check_experiment(experiment: Experiment, config: Config) -> None:
    """Make sure that nothing is to be seen that would stop a training later on.

    Raises:
        ConfigError: a batch cannot be learned from, or there is none; or the network cannot take an image.
        DataError: a class has no image.
    """
    with placed(("model",), config.origins):
        outputs = run_once(experiment.model, experiment.input_shape)
    with placed(("train", "loss"), config.origins):
        check_scores(experiment.loss, outputs)
    for loader in (experiment.val, experiment.test):
        if loader is not None:
            with placed(("transforms", "eval"), config.origins):
                shape = image_shape(loader.dataset)
            with placed(("transforms",), config.origins):
                _check_eval_shape(experiment, shape)
    try:
        with placed(("data", "batch_size"), config.origins):
            check_batches(experiment)
    except DataError as error:
        raise DataError(error.reason, place=config.data.root or config.data.dataset, remedy=error.remedy) from error


def refuse_pretrained(config: Config, command: str, place: str | os.PathLike[str]) -> None:
    """Make sure that a config does not ask for weights that a command will not load.

    Raises:
        UsageError: it has model.pretrained=true.
    """
    if config.model.pretrained:
        raise UsageError(
            f"`{command}` begins with random weights, the config has model.pretrained=true",
            place=place,
            remedy="Use tinytrain finetune, which says what it takes over",
        )


def assemble_experiment(config: Config, splits: Splits | None = None) -> Experiment:
    """Build an experiment without looking whether it can run; as `build_experiment`.

    Args:
        config: resolved.
        splits: the data, with their transforms; None: those of the config.
    """
    origins = config.origins
    with placed(("device",), origins):
        device = require(config.device)
    check_precision(config, device)
    if splits is None:
        splits = load_data(config)
    train, val, test = build_loaders(config, splits)
    with placed(("transforms", "train"), origins):
        input_shape = image_shape(splits.train)

    manual_seed(config.seed)
    model = build_model(config.model, num_classes=len(splits.classes), input_shape=input_shape, origins=origins)
    set_first_filters(config, model, splits.train)
    model.to(device)
    with placed(("train", "loss"), origins):
        weighted = with_class_weights(config.train.loss.arguments, labels_of(splits.train), len(splits.classes))
        loss = build_loss(config.train.loss.name, weighted)
        try_loss(loss, len(splits.classes), mixes=isinstance(train.collate_fn, MixingCollate))
        loss.to(device)
    optimizer = build_optimizer(config, model)
    stopping = config.train.early_stopping
    if stopping is not None and val is None:
        raise ConfigError(
            "early stopping needs a validation set, and there is none",
            place=place_of(("train", "early_stopping"), origins),
            remedy="Set data.val_fraction above 0",
        )
    return Experiment(
        name=config.name,
        seed=config.seed,
        device=device,
        model=model,
        train=train,
        val=val,
        test=test,
        class_names=splits.classes,
        input_shape=input_shape,
        loss=loss,
        optimizer=optimizer,
        schedule=build_schedule(config, optimizer, num_batches=len(train)),
        epochs=config.train.epochs,
        precision=config.train.precision,
        scaler=build_scaler(config.train.precision, device),
        clip_grad_norm=config.train.clip_grad_norm,
        clip_grad_value=config.train.clip_grad_value,
        accumulate_steps=config.train.accumulate_steps,
        best_metric=config.train.best_metric,
        early_stopping=None if stopping is None else EarlyStopping(stopping.patience, stopping.metric),
        average=None if config.train.ema_decay is None else WeightAverage(model, config.train.ema_decay),
        log_every=config.train.log_every,
        checkpoint_steps=config.train.checkpoint.every_steps,
        checkpoint_minutes=config.train.checkpoint.every_minutes,
        cuda_graph=config.train.cuda_graph == "auto",
        config_yaml=config.to_yaml(),
        bundle={
            "model": plain_values(config.model),
            "eval_transforms": plain_values(config.transforms)["eval"],
            "extra": {
                "data": plain_values(config.data),
                "seed": config.seed,
                "loss": {"name": config.train.loss.name, **weighted},
            },
        },
    )


def _check_eval_shape(experiment: Experiment, shape: tuple[int, int, int]) -> None:
    """Make sure that the network takes evaluation images, which may be of another size than those it learns from.

    Raises:
        ConfigError: it does not.
    """
    if shape == experiment.input_shape:
        return
    try:
        run_once(experiment.model, shape)
    except (ValueError, RuntimeError) as error:
        evaluated, learned = ("x".join(map(str, each)) for each in (shape, experiment.input_shape))
        raise ConfigError(
            f"the images of `eval` are {evaluated} and those of `train` {learned}, and the network does not take both "
            f"({error})",
            remedy="Let both end with the same channels and size",
        ) from error


def check_precision(config: Config, device: Device) -> None:
    """Make sure that a device computes in the precision asked for.

    Raises:
        ConfigError: it does not, or a package for it is missing.
    """
    precision, place = config.train.precision, place_of(("train", "precision"), config.origins)
    if precision == "tf32" and device.type == "cpu":
        raise ConfigError(
            "tf32 is a mode of NVIDIA GPUs, and the device is cpu", place=place, remedy="Use fp32, or device: cuda"
        )
    if precision in LOWER:
        try:
            _ = LOWER[precision].numpy
        except UsageError as error:
            raise ConfigError(error.reason, place=place, remedy=error.remedy) from error


def load_data(config: Config, *, augmentation: Augmentation | None = None, needed: Collection[str] = SPLITS) -> Splits:
    """Return the data of a config in its splits, with their transforms.

    Args:
        config: resolved.
        needed: the splits to load, as of `load_splits`.
        augmentation: evaluation images come in these views, (v, c, h, w); None: as they are.

    Raises:
        ConfigError: the transforms cannot work in their order, or an option does not fit the data set.
        DataError: the data are missing or damaged.
    """
    data = config.data
    transforms = {name: pipeline_of(config, name) for name in ("train", "eval")}
    eval_transform: Callable[[Any], Any] = transforms["eval"]
    if augmentation is not None:
        with placed(("transforms", "eval"), config.origins):
            eval_transform = Views(transforms["eval"], augmentation)
    reading = _reading(config)
    section = ("data", "options") if data.keep_classes is None else ("data", "keep_classes")
    with placed(section, config.origins) if data.keep_classes is not None or data.options else nullcontext():
        return load_splits(
            data.dataset,
            data.root,
            train_transform=transforms["train"],
            eval_transform=eval_transform,
            val_fraction=data.val_fraction,
            seed=config.seed,
            download=data.download,
            keep_classes=data.keep_classes,
            needed=needed,
            **{**data.options, **reading},
        )


def pipeline_of(config: Config, name: Literal["train", "eval"]) -> Compose:
    """Return a config's transforms of the images to learn from, or of the others.

    Raises:
        ConfigError: they cannot work in their order, or an argument is out of range.
    """
    steps = [{step.name: step.arguments} for step in getattr(config.transforms, name)]
    return build_pipeline(steps, place=lambda path, reason: blamed(("transforms", name, *path), config.origins, reason))


def _reading(config: Config) -> dict[str, Any]:
    """Return how image files are read, where the config says so."""
    data = config.data
    given = {key: getattr(data, key) for key in ("cache", "shortest_edge") if getattr(data, key) is not None}
    for key in given:
        if not reads_files(data.dataset):
            raise ConfigError(
                f"`{key}` is for images in files of their own; those of {data.dataset} lie in memory",
                place=place_of(("data", key), config.origins),
            )
    return given


def build_loaders(config: Config, splits: Splits) -> tuple[DataLoader, DataLoader | None, DataLoader | None]:
    """Return the loaders of train, val and test; None where there is no such split."""
    section = config.train
    mixing = None
    if section.mixup_alpha is not None or section.cutmix_alpha is not None:
        mixing = MixingCollate(len(splits.classes), mixup_alpha=section.mixup_alpha, cutmix_alpha=section.cutmix_alpha)
    residence = Residence(config, require(config.device))
    train = build_loader(
        config, splits.train, shuffle=True, drop_last=config.data.drop_last, collate_fn=mixing, residence=residence
    )
    val, test = (
        None if part is None else build_loader(config, part, shuffle=False, residence=residence)
        for part in (splits.val, splits.test)
    )
    return train, val, test


def build_loader(
    config: Config,
    dataset: Any,
    *,
    shuffle: bool,
    drop_last: bool = False,
    collate_fn: Callable[[Any], Any] | None = None,
    residence: Residence | None = None,
) -> DataLoader:
    """Return the loader of one split.

    Args:
        config: resolved.
        dataset: with its transform.
        shuffle: whether the order is another one in every epoch.
        drop_last: whether a shorter last batch is left out.
        collate_fn: makes a batch of samples; None: stacks them.
        residence: of the whole config, which must be kept to; None: a split by itself, which stays on the device if it
            can.
    """
    placed_set = (residence or Residence(config, require(config.device))).place(dataset, must=residence is not None)
    workers = config.data.workers if placed_set is None else 0
    return DataLoader(
        dataset if placed_set is None else placed_set,
        config.data.batch_size,
        shuffle=shuffle,
        drop_last=drop_last,
        num_workers=workers,
        collate_fn=collate_fn,
        persistent_workers=workers > 0,
        seed=config.seed,
        skip_damaged=config.data.on_error == "skip",
    )


def build_model(
    section: ModelSection, *, num_classes: int, input_shape: Sequence[int], origins: Origins | None = None
) -> nn.Module:
    """Return the network of a config, with fresh weights.

    Args:
        section: a name with arguments, or a list of layers.
        num_classes: of the data.
        input_shape: (c, h, w) of an image.
        origins: of the config, for messages.

    Raises:
        ConfigError: an argument is out of range, the network takes images of other channels only, or it is too large
            for the memory.
    """
    origins = origins or {}
    with placed(("model",), origins):
        if section.layers is not None:
            return build_layers(section.layers, num_classes=num_classes, input_shape=input_shape, origins=origins)
        builder = MODELS.find(str(section.name))
        return builder(num_classes=num_classes, in_channels=input_shape[0], **section.arguments)


def set_first_filters(config: Config, model: nn.Module, train: Any) -> None:
    """Set the filters of the layer that `train.whitening` names, if it names one.

    Args:
        config: resolved.
        model: on the CPU; changed in place.
        train: the training images.
    """
    section = config.train.whitening
    if section is None:
        return
    plain = retransformed(train, pipeline_of(config, "eval"))
    count = min(section.images, len(plain))
    part: Subset[Any] = Subset(plain, [i * len(plain) // count for i in range(count)])
    loader = DataLoader(part, config.data.batch_size, skip_damaged=config.data.on_error == "skip")
    with placed(("train", "whitening"), config.origins):
        whiten(model, section.layer, (images for images, _ in loader), eps=section.eps)


def build_optimizer(config: Config, model: nn.Module) -> Optimizer:
    """Return the optimizer of a config, with its groups of parameters."""
    section = config.train.optimizer
    with placed(("train", "optimizer"), config.origins):
        groups = parameter_groups(
            model,
            section.arguments["lr"],
            scales=[RateScale(group.lr_scale, group.prefix or "", group.suffix or "") for group in section.groups],
            layer_decay=section.layer_decay,
            decay_norm_and_bias=section.decay_norm_and_bias,
        )
        return OPTIMIZERS[section.name](groups, **section.arguments)


def build_schedule(config: Config, optimizer: Optimizer, *, num_batches: int) -> Schedule:
    """Return the schedule of a config.

    Args:
        config: resolved.
        optimizer: whose learning rates it changes.
        num_batches: in an epoch.
    """
    section, steps = config.train.schedule, -(-num_batches // config.train.accumulate_steps)
    with placed(("train", "schedule"), config.origins):
        scheduler = SCHEDULES[section.name](optimizer, config.train.epochs, steps, **section.arguments)
    return Schedule(scheduler, warmup_steps=round(section.warmup_epochs * steps))


def image_shape(dataset: Any) -> tuple[int, int, int]:
    """Return (c, h, w) of a data set's first image that can be read, as the network gets it.

    Raises:
        DataError: there is none.
        ConfigError: its transforms do not make it float32, which networks compute with.
    """
    first_error = DataError("there is no image to train on")
    for i in range(len(dataset)):
        try:
            image = dataset[i][0]
        except DataError as error:  # the loader stops at it or skips it, as the config says
            first_error = error if i == 0 else first_error
            continue
        if image.dtype.name != "float32":
            raise ConfigError(
                f"the images come out as {image.dtype.name}, and networks take float32",
                remedy="Use ToTensor, or end with {ConvertImageDtype: {dtype: float32}}",
            )
        return tuple(image.shape)
    raise first_error
