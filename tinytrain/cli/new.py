"""`tinytrain new`: a commented config to begin with, for data that it looks at."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tinytrain.cli.output import check_output
from tinytrain.errors import UsageError


def new(
    data: Annotated[str, typer.Argument(metavar="FOLDER|DATASET", help="Folder with train/, or a public data set.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="The config to write; - prints it.")] = Path(
        "config.yaml"
    ),
    name: Annotated[str | None, typer.Option(help="Name of the runs.  [default: the folder's]")] = None,
) -> None:
    """Write a config for images: sizes, classes, a network and a batch size that fit them."""
    if str(output) != "-":
        if output.suffix not in (".yaml", ".yml"):
            raise UsageError("a config ends in .yaml", place=output)
        if output.exists():
            raise UsageError("the file exists already", place=output, remedy="Name another one with --output")
        check_output(output)

    from tinytrain.config.starter import look_at, starter
    from tinytrain.training import RunFolder

    look = look_at(data)
    text = starter(look, name)
    if str(output) == "-":
        sys.stdout.write(text)
        return
    RunFolder(output.parent).write_text(output.name, text)
    typer.echo(look.words)
    typer.echo(f"{output} written; tinytrain check {output} says what would run, tinytrain train {output} trains")
