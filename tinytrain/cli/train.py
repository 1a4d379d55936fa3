"""`tinytrain train`: an experiment from a config, into a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinytrain.cli.output import ConfigArgument, JsonOption, OverridesArgument, print_json


def train(
    config: ConfigArgument,
    overrides: OverridesArgument = None,
    device: Annotated[
        str | None, typer.Option(metavar="auto|cpu|cuda|cuda:N", help="Where to compute, instead of the config's.")
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the results, instead of runs/<name>.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")] = False,
    json: JsonOption = False,
) -> None:
    """Train the model of a config; the results go to runs/<name>."""
    from tinytrain.config import load_config

    chosen = [] if device is None else [f"device={device}"]
    experiment_config = load_config(config, [*(overrides or []), *chosen])

    from tinytrain.cli.pictures import draw_run, draw_train_batch
    from tinytrain.cli.progress import Screen
    from tinytrain.config.build import build_experiment
    from tinytrain.config.runs import find_run
    from tinytrain.training import RunFolder
    from tinytrain.training import train as run_training

    experiment = build_experiment(experiment_config)
    folder = find_run(experiment_config, run_dir) if resume else RunFolder.create(experiment.name, run_dir)
    draw_train_batch(experiment, folder)
    with Screen() as screen:
        result = run_training(experiment, folder, events=screen, resume=resume)
    draw_run(experiment, result)
    if json:
        print_json({"run": str(folder.path), **result.summary})
        return
    if result.test is not None:
        typer.echo(f"test accuracy {result.test.top1:.4f} ({result.test.count} images)")
    typer.echo(f"results in {folder.path}")
