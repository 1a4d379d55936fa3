"""`tinytrain finetune`: an experiment that begins with weights from elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

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
    print_table,
)
from tinytrain.cli.train import choose_folder, run_in_folder

if TYPE_CHECKING:
    from tinytrain.weights import Matching, Row


def finetune(
    config: ConfigArgument,
    overrides: OverridesArgument = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="FILE|RUN|pretrained", help="Weights to begin with, instead of finetune.weights."),
    ] = None,
    device: DeviceOption = None,
    run_dir: RunDirOption = None,
    resume: ResumeOption = None,
    force: ForceOption = False,
    log: LogOption = None,
    json: JsonOption = False,
) -> None:
    """Train the model of a config from weights trained elsewhere; the results go to runs/<name>."""
    from tinytrain.config import load_config

    loaded = load_config(config, all_overrides(overrides, device))

    from tinytrain.training.writers import check_writers

    check_writers(log or [])

    from tinytrain.config.finetune import build_finetuning
    from tinytrain.training.run_folder import FINETUNED

    finetuning = build_finetuning(loaded, weights)
    place = choose_folder(finetuning.config, run_dir, resume, force, finetuned=True)
    print(f"{finetuning.source}: {finetuning.matching.summary()}", file=sys.stderr)
    print_table(list(table_of(finetuning.matching)), indent=2, file=sys.stderr)
    for warning in finetuning.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    run_in_folder(finetuning.experiment, place, log=log, json=json, files={FINETUNED: finetuning.report()})


def table_of(matching: Matching) -> Iterator[tuple[str, str, str]]:
    """Yield (status, tensors, reason) of what became of the weights; many of a kind in a part share a row."""

    def kind(row: Row) -> tuple[str, str, str]:
        return row.status, (row.name or row.source or "").partition(".")[0], row.reason

    for (status, part, reason), group in groupby(matching.rows, key=kind):
        rows = list(group)
        name = rows[0].name or rows[0].source or ""
        yield status, name if len(rows) == 1 else f"{part} ({len(rows)} tensors)", reason
