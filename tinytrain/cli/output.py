"""What commands share: their common arguments, and how they print a document or lines for people."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file, as in configs/digits.yaml.")]
OverridesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Values instead of the config's, as in train.epochs=5."),
]
DeviceOption = Annotated[
    str | None, typer.Option(metavar="auto|cpu|cuda|cuda:N", help="Where to compute, instead of the config's.")
]
RunDirOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder for the results, instead of runs/<name>.")
]
ResumeOption = Annotated[
    bool | None,
    typer.Option(
        "--resume/--no-resume",
        help="Go on with the latest run, or begin a new one. By default a run that was interrupted goes on.",
        show_default=False,
    ),
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Go on with the latest run though the config is another one.")
]
SourceArgument = Annotated[Path, typer.Argument(metavar="RUN|WEIGHTS", help="A run folder or a weights file.")]
SourceConfigOption = Annotated[
    Path | None, typer.Option(metavar="CONFIG", help="Network and data, for weights from elsewhere.")
]
MappingOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="YAML: names in the weights file to names in the network.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, nothing else there.")]


def all_overrides(overrides: list[str] | None, device: str | None) -> list[str]:
    """Return the overrides of a command line; `--device` is one that comes last."""
    return [*(overrides or []), *([] if device is None else [f"device={device}"])]


def print_json(document: Any) -> None:
    """Print a document on stdout."""
    import json

    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    # Names of files that are not UTF-8 become escapes, which JSON reads back.
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")


def print_table(
    rows: Sequence[Sequence[str]], *, indent: int = 0, right: Collection[int] = (), file: TextIO | None = None
) -> None:
    """Print rows with aligned columns; the last column may be any length.

    Args:
        rows: of equally many cells.
        indent: spaces before each.
        right: columns, counted from 0, that are aligned to the right, as numbers are.
        file: where to; None: stdout.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        (file or sys.stdout).write((" " * indent + "  ".join(cells)).rstrip() + "\n")
