"""`tinytrain sweep`: many runs of one config, and which of them was the best."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tinytrain.cli.output import ConfigArgument, DeviceOption, JsonOption, print_json, print_table

if TYPE_CHECKING:
    from tinytrain.sweep.plan import Plan
    from tinytrain.sweep.study import Row, SweepStudy
    from tinytrain.training import Experiment, RunResult

MAX_ROWS = 20
"""So many trials are printed; the page and `trials.csv` have all."""


def sweep(
    config: ConfigArgument,
    changes: Annotated[
        list[str],
        typer.Argument(metavar="KEY=V1,V2...", help="Values; or a range KEY=LOW..HIGH, KEY=LOW..HIGH:log."),
    ],
    search: Annotated[
        Literal["grid", "random", "tpe"] | None,
        typer.Option(help="Every combination, by chance, or suggested.  [default: grid; random for ranges]"),
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="How many, where it is no grid.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Repeat each with so many seeds.")] = 1,
    prune: Annotated[bool, typer.Option("--prune", help="Give up runs that are worse than most at an epoch.")] = False,
    sweep_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the sweep.  [default: runs/sweep-<name>]")
    ] = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Train a config with many values of its keys, and tell which were the best.

    The same command goes on with a sweep that was stopped, and takes part in one that is running, on this machine or
    another that sees the folder. Each trial is a run folder.
    """
    from tinytrain.cli.pictures import draw_run, draw_train_batch
    from tinytrain.cli.progress import Screen
    from tinytrain.config import load_config
    from tinytrain.config.schema import plain_values
    from tinytrain.sweep.plan import check_points, read_plan
    from tinytrain.sweep.runner import run_trials
    from tinytrain.sweep.study import SweepStudy

    loaded = load_config(config)
    plan = read_plan(loaded, changes, search=search, trials=trials, num_seeds=seeds, prune=prune)
    check_points(config, plan)
    common = load_config(config, plan.fixed)
    metric = common.train.best_metric
    folder = sweep_dir or Path("runs") / f"sweep-{common.name}"
    study = SweepStudy(folder, plan, plain_values(loaded), higher_is_better=metric != "loss")

    def finish(experiment: Experiment, result: RunResult) -> None:
        draw_train_batch(experiment, result.folder)
        draw_run(experiment, result)

    with Screen() as screen:
        run_trials(study, plan, config, device=device, screen=screen, finish=finish)
    options: dict[str, object] = {
        "--search": search,
        "--trials": trials,
        "--seeds": seeds if seeds > 1 else None,
        "--prune": prune or None,
        "--sweep-dir": sweep_dir,
        "--device": device,
    }
    _report(study, plan, common.name, _command(config, changes, options), metric)
    if json:
        print_json(_document(study, folder, metric))
        return
    rows = _ranked(study.rows(), metric)
    print_table([_header(plan, metric), *(_cells(plan, row) for row in rows[:MAX_ROWS])])
    if len(rows) > MAX_ROWS:
        typer.echo(f"and {len(rows) - MAX_ROWS} more in {folder / 'trials.csv'}")
    running = sum(row.state == "running" for row in rows)
    if running:
        typer.echo(f"{running} trial{'s are' if running > 1 else ' is'} being trained by another process")
    typer.echo(f"table and pictures in {folder}")


def _ranked(rows: list[Row], metric: str) -> list[Row]:
    """Return trials, the best first, those without a score last."""
    sign = 1 if metric == "loss" else -1
    return sorted(rows, key=lambda row: (row.value is None, sign * (row.value or 0), row.number))


def _header(plan: Plan, metric: str) -> list[str]:
    keys = [*plan.axes, *(["seed"] if len(plan.seeds) > 1 else [])]
    return ["trial", *keys, f"val {metric}", "test top-1", "best epoch", "seconds", "state"]


def _cells(plan: Plan, row: Row) -> list[str]:
    from tinytrain.config.origins import flow

    keys = [*plan.axes, *(["seed"] if len(plan.seeds) > 1 else [])]
    values = [row.point.get(key, "") for key in keys]
    tried = [f"{value:.4g}" if isinstance(value, float) else flow(value) for value in values]
    numbers = [row.value, row.result.get("test_top1"), row.result.get("best_epoch"), row.result.get("seconds")]
    forms = [".4f", ".4f", "d", ".1f"]
    cells = ["-" if n is None else format(n, form) for n, form in zip(numbers, forms, strict=True)]
    return [f"{row.number:04d}", *tried, *cells, row.result.get("error", row.state)]


def _document(study: SweepStudy, folder: Path, metric: str) -> dict[str, Any]:
    trials = [{**vars(row), "run": str(row.run)} for row in _ranked(study.rows(), metric)]
    return {"sweep": str(folder), "metric": metric, "trials": trials}


def _command(config: Path, changes: list[str], options: Mapping[str, object]) -> str:
    """Return the command line of a sweep, for a shell; options that are None were not given, True stands for itself."""
    words = ["tinytrain", "sweep", str(config), *changes]
    for option, value in options.items():
        if value is not None:
            words += [option] if value is True else [option, str(value)]
    return shlex.join(words)


def _report(study: SweepStudy, plan: Plan, name: str, command: str, metric: str) -> None:
    """Write `trials.csv`, `parallel.png` and `sweep.html`; other processes may do so at the same time."""
    from tinytrain.report.sweep_report import write_sweep
    from tinytrain.report.tables import rows_csv
    from tinytrain.sweep.plan import Range
    from tinytrain.training import RunFolder

    rows = _ranked(study.rows(), metric)
    complete = [row for row in rows if row.value is not None]
    keys = [*plan.axes, "seed"]
    table = [
        {
            "trial": row.number,
            "state": row.state,
            **{key: row.point.get(key) for key in keys},
            f"val_{metric}": row.value,
            **{key: row.result.get(key) for key in ("test_top1", "best_epoch", "params", "macs", "seconds", "error")},
            "run": row.run,
        }
        for row in rows
    ]
    with study.locked():
        RunFolder(study.folder).write_text("trials.csv", rows_csv(table))
        write_sweep(
            study.folder,
            title=f"Sweep of {name}",
            subtitle=f"{len(complete)} of {len(rows)} trials complete, {plan.search} search, by validation {metric}",
            header=_header(plan, metric),
            rows=[_cells(plan, row) for row in rows],
            seeds=_over_seeds(plan, complete, metric) if len(plan.seeds) > 1 else None,
            points=[row.point for row in complete],
            values=[row.value for row in complete if row.value is not None],
            metric=metric,
            log_keys=[key for key, axis in plan.axes.items() if isinstance(axis, Range) and axis.log],
            command=command,
        )


def _over_seeds(plan: Plan, complete: list[Row], metric: str) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the mean and the standard deviation of each point over its seeds."""
    from tinytrain.config.origins import flow

    groups: dict[tuple[str, ...], list[float]] = {}
    for row in complete:
        if row.value is not None:
            groups.setdefault(tuple(flow(row.point[key]) for key in plan.axes), []).append(row.value)
    ranked = sorted(groups.items(), key=lambda group: statistics.mean(group[1]), reverse=metric != "loss")
    return [*plan.axes, "seeds", f"val {metric}", "±"], [
        [
            *point,
            str(len(values)),
            f"{statistics.mean(values):.4f}",
            f"{statistics.stdev(values):.4f}" if len(values) > 1 else "-",
        ]
        for point, values in ranked
    ]
