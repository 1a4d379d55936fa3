"""What training by a config would work with, and whether it can: looked at without writing anything."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from tinytrain.config.build import build_experiment, load_data, pipeline_of
from tinytrain.config.findings import Check, Plan
from tinytrain.config.finetune import build_finetuning, source_of, weights_asked_for, with_preprocessing
from tinytrain.config.schema import Config
from tinytrain.datasets.catalog import SPLITS, Splits
from tinytrain.errors import DataError, WeightsError
from tinytrain.inspection.class_folders import named, survey_folders
from tinytrain.inspection.cost import layer_costs
from tinytrain.inspection.duplicates import find_copies
from tinytrain.inspection.split_survey import SplitSurvey, survey_split
from tinytrain.training.precision import LOWER
from tinytrain.training.preflight import PLACEHOLDERS
from tinytrain.training.rehearsal import estimate_memory, learning_rates, rehearse, waits_for_plateau
from tinytrain.transforms import Compose, Normalize

IMBALANCE = 10
"""A class with so many times the images of another one is worth a note."""


def check_config(config: Config, *, watch: Callable[[str, int, int], None] = lambda split, done, total: None) -> Check:
    """Look at the data of a config and try a few steps, without writing or downloading anything.

    A config that says which weights to begin with is looked at as `tinytrain finetune` would train it.

    Args:
        config: resolved.
        watch: told of each split how many of its images were looked at.

    Raises:
        ConfigError: a value does not go with another one, or with the data.
        DeviceError: the device is not there.
    """
    check = Check(config)
    weights = weights_asked_for(config)
    if weights is not None:
        try:
            source = source_of(config, weights, download=False)
        except WeightsError as error:
            check.problems.append(str(error))
            if config.finetune.download:
                check.notes.append("finetune.download is true: finetune gets public weights; check never does")
            return check
        config, _ = with_preprocessing(config, source)
        check.config = config
    still = {"data": {"download": False, "workers": 0}, "finetune": {"download": False}}
    quiet = config.model_copy(update={k: getattr(config, k).model_copy(update=v) for k, v in still.items()})
    root = None if config.data.root is None else Path(config.data.root).expanduser()
    if config.data.dataset == "image_folder" and root is not None and root.is_dir():
        folders = survey_folders(root, SPLITS)
        check.problems += folders.problems
        check.notes += folders.notes
    try:
        splits = load_data(quiet)
    except DataError as error:
        if not check.problems:
            check.problems.append(str(error))
        if config.data.download:
            check.notes.append("data.download is true: train gets public data that are missing; check never does")
        return check
    _survey(check, splits, watch)
    if not check.problems:
        try:
            check.plan = _plan(quiet, config.data.workers, check)
        except (DataError, WeightsError) as error:
            check.problems.append(str(error))
    return check


def _survey(check: Check, splits: Splits, watch: Callable[[str, int, int], None]) -> None:
    """Look at the images of every split and judge what was seen."""
    check.classes = splits.classes
    until_normalize, check.normalize = _before_normalize(pipeline_of(check.config, "eval"))
    for split in SPLITS:
        dataset = getattr(splits, split)
        if dataset is None:
            continue
        check.surveys[split] = survey_split(
            dataset,
            seed=check.config.seed,
            measured_through=until_normalize if split == "train" else None,
            watch=functools.partial(watch, split),
        )
    check.copies = find_copies(check.surveys)
    for split, survey in check.surveys.items():
        _judge_split(check, split, survey)
    _judge_classes(check)
    _judge_copies(check)
    missing = [split for split in ("val", "test") if split not in check.surveys]
    if missing:
        check.notes.append(f"there is no {' and no '.join(missing)} split")


def _before_normalize(pipeline: Compose) -> tuple[Compose, tuple[list[float], list[float]] | None]:
    """Return the steps of a pipeline before it normalises, and with which mean and std it does."""
    for i, step in enumerate(pipeline.transforms):
        if isinstance(step, Normalize):
            return Compose(pipeline.transforms[:i]), (list(step.mean), list(step.std))
    return pipeline, None


def _judge_split(check: Check, split: str, survey: SplitSurvey) -> None:
    name_of_steps = f"transforms.{'train' if split == 'train' else 'eval'}"
    if not survey.names:
        check.problems.append(f"{split}: there is no image")
    if survey.damaged:
        skips = check.config.data.on_error == "skip" and len(survey.damaged) < len(survey.names)
        found = check.notes if skips else check.problems
        found += [f"{split}: {name}: {reason}{' (skipped)' if skips else ''}" for name, reason in survey.damaged]
    check.notes += [f"{split}: {name}: {oddity}" for name, oddity in survey.odd]
    if survey.unfit is not None:
        name, reason = survey.unfit
        check.problems.append(f"{split}: {name_of_steps} cannot take {name}: {reason}")
    if len(survey.shapes) > 1:
        shown = named([f"{'x'.join(map(str, shape))} ({name})" for shape, name in survey.shapes.items()])
        check.problems.append(
            f"{split}: {name_of_steps} give images of different sizes, which make no batch: {shown}. "
            "Add Resize and CenterCrop, or RandomResizedCrop"
        )


def _judge_classes(check: Check) -> None:
    counts = check.surveys["train"].per_class(len(check.classes))
    empty = [n for n, count in zip(check.classes, counts, strict=True) if count == 0 and n not in PLACEHOLDERS]
    if empty:
        check.problems.append(f"train: there is no image of {named(empty)}")
    present = [count for count in counts if count]
    if present and max(present) >= IMBALANCE * min(present):
        least, most = (check.classes[counts.index(extreme(present))] for extreme in (min, max))
        check.notes.append(f"train: {least} has {min(present):,} images, {most} has {max(present):,}")


def _judge_copies(check: Check) -> None:
    """Note what copies spoil: scores where they are in two splits, learning where they stand for two classes."""
    for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
        if shared := [c for c in check.copies if a in c.splits and b in c.splits]:
            one, other = (next(f"{s} {name}" for s, name, _ in shared[0].places if s == split) for split in (a, b))
            check.notes.append(
                f"{a} and {b} share {_images(len(shared))}, so that scores look too good: {one} = {other}"
            )
    if within := [c for c in check.copies if len(c.splits) == 1]:
        (split, one, _), (_, other, _) = within[0].places[:2]
        check.notes.append(f"{_images(len(within))} there more than once in one split: {split} {one} = {other}")
    if twofold := [c for c in check.copies if c.is_contradictory]:
        by_label = {label: name for _, name, label in reversed(twofold[0].places)}
        example = " and ".join(f"{by_label[label]} is {check.classes[label]}" for label in sorted(by_label))
        check.notes.append(f"{_images(len(twofold))} there under different classes: {example}")


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"


def _plan(quiet: Config, workers: int, check: Check) -> Plan:
    """Build everything once more, try it, and let it go."""
    if weights_asked_for(quiet) is None:
        experiment = build_experiment(quiet)
    else:
        finetuning = build_finetuning(quiet)
        experiment = finetuning.experiment
        check.notes += [f"{finetuning.source}: {finetuning.matching.summary()}", *finetuning.warnings]
    pace = rehearse(experiment)
    if waits_for_plateau(experiment):
        check.notes.append("the schedule waits for the validation loss to stop falling; its drops are not foreseen")
    if experiment.precision in LOWER and experiment.device.type == "cpu":
        check.notes.append(
            f"train.precision: {experiment.precision} is slower than fp32 on a CPU, which computes in float32 "
            "and rounds"
        )
    return Plan(
        device=str(experiment.device),
        input_shape=experiment.input_shape,
        layers=layer_costs(experiment.model, experiment.input_shape),
        steps=len(experiment.train),
        epochs=experiment.epochs,
        memory=estimate_memory(experiment),
        epoch_seconds=pace.epoch_seconds(len(experiment.train), workers),
        learning_rates=learning_rates(experiment),
    )
