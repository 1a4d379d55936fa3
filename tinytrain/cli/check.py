"""`tinytrain check`: what a config would train on, and how; nothing is written."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from tinytrain.cli.output import ConfigArgument, JsonOption, OverridesArgument, print_json, print_table
from tinytrain.errors import DataError

if TYPE_CHECKING:
    from rich.progress import TaskID

    from tinytrain.config.findings import Check, Plan

MAX_LINES = 40
"""So many notes, and so many problems, are printed."""


def check(config: ConfigArgument, overrides: OverridesArgument = None, json: JsonOption = False) -> None:
    """Look at a config, its data and its cost without training.

    Nothing is written or downloaded. The exit code is 0 where it can train, 3 where the data keep it from that.
    """
    from tinytrain.config import load_config

    loaded = load_config(config, overrides or [])

    from tinytrain.config.check import check_config

    with _Progress() as progress:
        found = check_config(loaded, watch=progress.update)
    if json:
        print_json(found.document())
    else:
        _print(found)
    if found.problems:
        place = loaded.data.root or loaded.data.dataset
        several = len(found.problems) > 1
        raise DataError(
            f"{len(found.problems)} problem{'s' if several else ''} to mend before it can train",
            place=place,
            remedy="The report lists what is wrong under `problems`",
        )


def _print(found: Check) -> None:
    typer.echo("config")
    for line in found.config.to_yaml().splitlines():
        typer.echo(f"  {line}")
    if found.surveys:
        typer.echo("\ndata")
        _print_data(found)
    if found.plan is not None:
        typer.echo("\nplan")
        _print_plan(found.plan)
    for heading, lines in (("notes", found.notes), ("problems", found.problems)):
        if lines:
            typer.echo(f"\n{heading}")
            for line in lines[:MAX_LINES]:
                typer.echo(f"  {line}")
            if len(lines) > MAX_LINES:
                typer.echo(f"  and {len(lines) - MAX_LINES:,} more, which --json lists")
    if not found.problems:
        typer.echo("\nready to train")


def _print_data(found: Check) -> None:
    from tinytrain.config.findings import extent

    splits, surveys = list(found.surveys), found.surveys.values()
    counts = [survey.per_class(len(found.classes)) for survey in surveys]
    rows = [[name, *(f"{column[i]:,}" for column in counts)] for i, name in enumerate(found.classes)]
    total = ["all", *(f"{len(survey.labels):,}" for survey in surveys)]
    print_table([["class", *splits], *rows, total], indent=2, right=range(1, 1 + len(splits)))
    typer.echo("")
    rows = []
    for axis, what in enumerate(("width", "height")):
        extents = [extent(survey, axis) for survey in surveys]
        rows.append([what, *("-" if e is None else _range(e) for e in extents)])
    rows.append(
        ["modes", *(", ".join(f"{mode}: {n:,}" for mode, n in survey.modes.most_common()) for survey in surveys)]
    )
    print_table([["pixels", *splits], *rows], indent=2)
    moments = found.surveys["train"].moments
    if moments is not None:
        typer.echo("")
        lines = [["training pixels", "mean", "std"], ["measured", _numbers(moments.mean), _numbers(moments.std)]]
        lines.append(["Normalize", *(("-", "-") if found.normalize is None else map(_numbers, found.normalize))])
        print_table(lines, indent=2)


def _print_plan(plan: Plan) -> None:
    from tinytrain.report.text_plot import text_plot

    rows = [
        [layer.name, layer.kind, "x".join(map(str, layer.output)), f"{layer.params:,}", f"{layer.macs:,}"]
        for layer in plan.layers
    ]
    total = ["all", "", "", f"{plan.params:,}", f"{plan.macs:,}"]
    print_table([["layer", "kind", "output", "parameters", "multiply-adds"], *rows, total], indent=2, right=(3, 4))
    parts = ", ".join(f"{name} {_bytes(size)}" for name, size in plan.memory.items() if name != "total")
    seconds = plan.epoch_seconds
    typer.echo(f"\n  input   {'x'.join(map(str, plan.input_shape))} on {plan.device}")
    typer.echo(f"  memory  about {_bytes(plan.memory['total'])}: {parts}")
    typer.echo(
        f"  time    about {_time(seconds)} an epoch of {plan.steps:,} steps, {_time(seconds * plan.epochs)} in all"
    )
    typer.echo(f"\n  learning rate over {plan.epochs} epoch{'s' * (plan.epochs > 1)}")
    for line in text_plot([rate for _, rate in plan.learning_rates]):
        typer.echo(f"  {line}")


def _range(extent: dict[str, int]) -> str:
    low, middle, high = extent.values()
    return str(low) if low == high else f"{low} to {high} (median {middle})"


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def _bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class _Progress:
    """A bar on a terminal while images are looked at; silent elsewhere."""

    def __enter__(self) -> _Progress:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(file=sys.stderr)
        self._bar = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def update(self, split: str, done: int, total: int) -> None:
        """Move the bar of a split."""
        if split not in self._tasks:
            self._tasks[split] = self._bar.add_task(f"looking at {split}", total=total)
        self._bar.update(self._tasks[split], completed=done)
