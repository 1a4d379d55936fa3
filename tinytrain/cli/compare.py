"""`tinytrain compare`: runs side by side, with pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tinytrain.cli.output import JsonOption, print_json, print_table
from tinytrain.errors import UsageError

if TYPE_CHECKING:
    from tinytrain.config.comparison import Comparison, Entry
    from tinytrain.report.comparison_report import ComparisonReport

HEADER = (
    "run",
    "top-1 %",
    "95 % interval",
    "parameters",
    "multiply-adds",
    "ms an image",
    "images/s",
    "memory MB",
    "file MB",
    "training s",
)


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Run folders, two at least.")],
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for page and pictures.  [default: runs/comparison]")
    ] = None,
    split: Annotated[Literal["val", "test"], typer.Option(help="Images to judge the runs by.")] = "test",
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the data, instead of the runs'.")] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda|cuda:N", help="Where to judge and measure.")] = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Images in a batch for images/s.")] = 64,
    measure: Annotated[bool, typer.Option("--measure/--no-measure", help="Measure the speed of each.")] = True,
    json: JsonOption = False,
) -> None:
    """Compare runs: accuracy with its confidence interval, size, speed, and whether the difference is chance.

    Each run's best weights are judged again by the same images. Pictures and a page go to a new folder.
    """
    if len(runs) < 2:
        raise UsageError("there is one run to compare", remedy="Name two at least")

    from tinytrain.config.comparison import compare_runs
    from tinytrain.report.comparison_report import write_comparison
    from tinytrain.training import RunFolder

    found = compare_runs(
        runs, split=split, data_root=None if data is None else str(data), device=device, batch=batch, measure=measure
    )
    folder = RunFolder.create("comparison", output)
    report = _report(found, runs)
    write_comparison(folder.path, report)
    folder.write_json("comparison.json", found.document())
    if json:
        print_json({"output": str(folder.path), **found.document()})
        return
    print_table([report.header, *report.table], right=range(1, len(HEADER)))
    if report.tests is not None:
        typer.echo("")
        print_table([report.tests[0], *report.tests[1]], right=range(1, len(report.tests[0]) - 1))
    typer.echo("\nconfigs")
    print_table([report.differing[0], *report.differing[1]], indent=2)
    for line in (*report.seeds, *(f"note: {note}" for note in report.notes)):
        typer.echo(line)
    typer.echo(f"\npage and pictures in {folder.path}")


def _report(found: Comparison, runs: list[Path]) -> ComparisonReport:
    from tinytrain.config.origins import flow
    from tinytrain.report.comparison_report import ComparisonReport

    names = [entry.name for entry in found.entries]
    tests = None
    if found.differences:
        header = ("second less first", "difference", "95 % interval", "only first right", "only second right", "p", "")
        rows = [
            (
                f"{b} − {a}",
                f"{100 * d.difference:+.2f} %",
                f"{100 * d.low:+.2f} to {100 * d.high:+.2f}",
                str(d.first_only),
                str(d.second_only),
                _p_value(d.p_value),
                "more than chance" if d.p_value < 0.05 else "may be chance",
            )
            for (a, b), d in found.differences.items()
        ]
        tests = (header, rows)
    counts = {entry.count for entry in found.entries}
    same_images = f"{found.entries[0].count} images" if len(counts) == 1 and counts != {0} else "images"
    return ComparisonReport(
        runs=[vars(entry) for entry in found.entries],
        header=HEADER,
        table=[_row(entry) for entry in found.entries],
        tests=tests,
        differing=(
            ("key", *names),
            [(key, *map(flow, values)) for key, values in found.differing.items()] or [("nothing", *[""] * len(names))],
        ),
        seeds=[
            f"{', '.join(group)}: top-1 {100 * mean:.2f} % ± {100 * std:.2f} over {len(group)} seeds"
            for group, mean, std in found.groups
        ],
        notes=found.notes,
        subtitle=f"{same_images} of the {found.split} split, on {found.device}; images/s in batches of {found.batch}; "
        "memory: weights and the largest activations of one image, an estimate",
        command=f"tinytrain compare {' '.join(map(str, runs))}",
    )


def _row(entry: Entry) -> tuple[str, ...]:
    return (
        entry.name,
        _number(entry.top1, ".2f", 100),
        "-" if entry.interval is None else f"{100 * entry.interval[0]:.2f} to {100 * entry.interval[1]:.2f}",
        f"{entry.params:,}",
        f"{entry.macs:,}",
        _number(entry.latency, ".3f", 1e3),
        _number(entry.images_per_second, ",.0f"),
        f"{entry.memory / 1e6:.2f}",
        f"{entry.disk / 1e6:.2f}",
        _number(entry.train_seconds, ".1f"),
    )


def _number(value: Any, form: str, factor: float = 1) -> str:
    return "-" if value is None else format(factor * value, form)


def _p_value(p: float) -> str:
    return f"{p:.1e}" if p < 0.001 else f"{p:.3f}"
