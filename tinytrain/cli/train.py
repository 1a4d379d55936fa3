"""`tinytrain train`: an experiment from a config, into a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinytrain.cli.output import (
    ConfigArgument,
    DeviceOption,
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
    from tinytrain.training import Experiment, RunFolder


def train(
    config: ConfigArgument,
    overrides: OverridesArgument = None,
    device: DeviceOption = None,
    run_dir: RunDirOption = None,
    resume: ResumeOption = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Time the layers first: a table, and a trace in the run folder.")
    ] = False,
    log: LogOption = None,
    json: JsonOption = False,
) -> None:
    """Train the model of a config; the results go to runs/<name>."""
    from tinytrain.config import load_config

    experiment_config = load_config(config, all_overrides(overrides, device))
    if experiment_config.model.pretrained:
        raise UsageError(
            "`train` begins with random weights, the config has model.pretrained=true",
            place=config,
            remedy="Use tinytrain finetune, which says what it takes over",
        )

    from tinytrain.training.writers import check_writers

    check_writers(log or [])

    from tinytrain.config.build import build_experiment
    from tinytrain.config.runs import find_run
    from tinytrain.training import RunFolder

    experiment = build_experiment(experiment_config)
    folder = find_run(experiment_config, run_dir) if resume else RunFolder.create(experiment.name, run_dir)
    more: dict[str, Any] = {}
    if profile:
        from tinytrain.cli.profiling import profile_in_folder

        more["profile"] = profile_in_folder(experiment, folder).to_json()
        experiment = build_experiment(experiment_config)  # anew, for the timed steps have changed the first
    run_in_folder(experiment, folder, resume=resume, log=log, json=json, more=more)


def run_in_folder(
    experiment: Experiment,
    folder: RunFolder,
    *,
    resume: bool,
    log: Sequence[str] | None,
    json: bool,
    more: dict[str, Any] | None = None,
) -> None:
    """Train, draw what came of it, and print the test accuracy and the folder.

    Args:
        experiment: what is trained.
        folder: of the run.
        resume: go on with it.
        log: names of writers that are told what happens.
        json: print the summary as JSON.
        more: what the JSON holds beside it.
    """
    from tinytrain.cli.pictures import draw_run, draw_train_batch
    from tinytrain.cli.progress import Screen
    from tinytrain.training import train as run_training
    from tinytrain.training.writers import Several, open_writers

    draw_train_batch(experiment, folder)
    with Screen() as screen, open_writers(log or [], experiment.config_yaml) as writers:
        result = run_training(experiment, folder, events=Several([screen, *writers]), resume=resume)
    draw_run(experiment, result)
    if json:
        print_json({"run": str(folder.path), **result.summary, **(more or {})})
        return
    for split, scores in (("test", result.test), ("validation", result.val)):
        if scores is not None:
            typer.echo(f"{split} accuracy {scores.top1:.4f} ({scores.count} images)")
            break
    typer.echo(f"results in {folder.path}")
