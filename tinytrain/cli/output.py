"""What commands share: their common arguments, and how they print a document or lines for people."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from tinytrain.errors import StorageError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

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
LogOption = Annotated[
    list[str] | None,
    typer.Option(
        "--log",
        metavar="tensorboard|mlflow|wandb",
        help="Also write the numbers of every epoch for another program; may be repeated.",
    ),
]
SourceArgument = Annotated[Path, typer.Argument(metavar="RUN|WEIGHTS", help="A run folder or a weights file.")]
SourceConfigOption = Annotated[
    Path | None, typer.Option(metavar="CONFIG", help="Network and data, for weights from elsewhere.")
]
MappingOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="YAML: names in the weights file to names in the network.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, nothing else there.")]

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
"""The endings that a picture's file may have."""


def all_overrides(overrides: list[str] | None, device: str | None) -> list[str]:
    """Return the overrides of a command line; `--device` is one that comes last."""
    return [*(overrides or []), *([] if device is None else [f"device={device}"])]


def print_json(document: Any) -> None:
    """Print a document on stdout; numbers that JSON has not, infinite ones and those that are none, become null."""
    import json

    text = json.dumps(_finite(document), indent=2, ensure_ascii=False, allow_nan=False)
    # Names of files that are not UTF-8 become escapes, which JSON reads back.
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")


def _finite(value: Any) -> Any:
    """Return plain values with None in place of floats that are not finite."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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


def check_picture(output: Path) -> None:
    """Refuse a picture's file that could not be written, before any work is done for it.

    Raises:
        UsageError: it has another ending than pictures have.
        StorageError: its folder is not there, or it is a folder itself.
    """
    if output.suffix.lower() not in PICTURES:
        raise UsageError(
            f"a picture cannot be written as {output.suffix or 'a file without an ending'}",
            place=output,
            remedy=f"Use one of {', '.join(PICTURES)}",
        )
    check_output(output)


def check_output(output: Path) -> None:
    """Refuse a file whose folder is not there, or that is a folder itself, before any work is done for it."""
    if not output.parent.is_dir():
        raise StorageError("there is no such folder", place=output.parent, remedy="Make it first")
    if output.is_dir():
        raise StorageError("this is a folder", place=output, remedy="Name a file")


def save_picture(picture: Image, output: Path) -> None:
    """Write a picture whole, in the format of its file's ending."""
    from tinytrain.training import RunFolder

    with RunFolder(output.parent).replacing(output.name) as path:
        picture.save(path)
