"""What commands share: their common arguments, and how they print a document or lines for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file, as in configs/digits.yaml.")]
OverridesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Values instead of the config's, as in train.epochs=5."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, nothing else there.")]


def print_json(document: Any) -> None:
    """Print a document on stdout."""
    import json

    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def print_table(rows: Sequence[Sequence[str]], *, indent: int = 0) -> None:
    """Print rows on stdout with aligned columns; the last column may be any length."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row[:-1], widths, strict=False)]
        sys.stdout.write((" " * indent + "  ".join([*cells, row[-1]])).rstrip() + "\n")
