"""`tinytrain train`: an experiment from a config, into a run folder."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinytrain.cli.output import (
    ConfigArgument,
    DeviceOption,
    ForceOption,
    JsonOption,
    LogOption,
    OverridesArgument,
    ResumeOption,
    RunDirOption,
    all_overrides,
    print_json,
)
from tinytrain.errors import UsageError

if TYPE_CHECKING:
    from tinytrain.config import Config
    from tinytrain.training import Experiment, RunFolder


def train(
    config: ConfigArgument,
    overrides: OverridesArgument = None,
    device: DeviceOption = None,
    run_dir: RunDirOption = None,
    resume: ResumeOption = None,
    force: ForceOption = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Time the layers first: a table, and a trace in the run folder.")
    ] = False,
    log: LogOption = None,
    json: JsonOption = False,
) -> None:
    """Train the model of a config; the results go to runs/<name>."""
    from tinytrain.config import load_config

    experiment_config = load_config(config, all_overrides(overrides, device))

    from tinytrain.config.build import build_experiment, refuse_pretrained

    refuse_pretrained(experiment_config, "train", config)

    from tinytrain.training.writers import check_writers

    check_writers(log or [])
    experiment = build_experiment(experiment_config)
    place = choose_folder(experiment_config, run_dir, resume, force, finetuned=False)
    more: dict[str, Any] = {}
    if profile:
        from tinytrain.cli.profiling import profile_in_folder

        more["profile"] = profile_in_folder(experiment, place.folder).to_json()
        experiment = build_experiment(experiment_config)  # anew, for the timed steps have changed the first
    run_in_folder(experiment, place, log=log, json=json, more=more)


@dataclass(frozen=True)
class Place:
    """Where a training's results go.

    Attributes:
        folder: of the run.
        is_new: whether the run begins there.
        force: whether it goes on with another config.
    """

    folder: RunFolder
    is_new: bool
    force: bool = False


def choose_folder(config: Config, run_dir: Path | None, resume: bool | None, force: bool, *, finetuned: bool) -> Place:
    """Return the folder of the run to go on with, or a new one, and say what people should know.

    Args:
        config: of the training.
        run_dir: the folder that was asked for.
        resume: what was asked for; None: go on with a run that was interrupted, if its config is this one.
        force: go on whatever the config is.
        finetuned: whether the command is `finetune`.
    """
    from tinytrain.config.resumption import find_interrupted, find_run
    from tinytrain.training import RunFolder

    found, notes = None, list[str]()
    if resume or force:
        if resume is False:
            raise UsageError("--force goes on with a run, --no-resume begins a new one", remedy="Keep one of the two")
        found = find_run(config, run_dir, finetuned=finetuned, force=force)
    elif resume is None:
        found, notes = find_interrupted(config, run_dir, finetuned=finetuned)
    for note in [*notes, *(found.notes if found else [])]:
        print(note, file=sys.stderr)
    if found is None:
        return Place(RunFolder.create(config.name, run_dir), is_new=True)
    return Place(found.folder, is_new=False, force=found.force)


def run_in_folder(
    experiment: Experiment,
    place: Place,
    *,
    log: Sequence[str] | None,
    json: bool,
    files: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Train, draw what came of it, and print the test accuracy and the folder.

    Args:
        experiment: what is trained.
        place: where the results go.
        log: names of writers that are told what happens.
        json: print one JSON document on stdout, nothing else there.
        files: JSON documents to begin a run's folder with, by name.
        more: what the JSON on stdout holds beside the summary.
    """
    from tinytrain.cli.pictures import draw_run, draw_train_batch
    from tinytrain.cli.progress import Screen
    from tinytrain.training import train as run_training
    from tinytrain.training.writers import Several, open_writers

    folder = place.folder
    with folder.locked():
        if place.is_new:
            for name, document in (files or {}).items():
                folder.write_json(name, document)
            folder.write_text("config.yaml", experiment.config_yaml)
        if not (folder.path / "train_batch.png").exists():
            draw_train_batch(experiment, folder)
        with Screen() as screen, open_writers(log or [], experiment.config_yaml) as writers:
            events = Several([screen, *writers])
            result = run_training(experiment, folder, events=events, resume=not place.is_new, force=place.force)
        draw_run(experiment, result)
    if json:
        print_json({"run": str(folder.path), **result.summary, **(more or {})})
        return
    for split, scores in (("test", result.test), ("validation", result.val)):
        if scores is not None:
            typer.echo(f"{split} accuracy {scores.top1:.4f} ({scores.count} images)")
            break
    typer.echo(f"results in {folder.path}")
