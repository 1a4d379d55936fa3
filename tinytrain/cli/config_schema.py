"""`tinytrain config-schema`: the config's keys, for editors and for people."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tinytrain.cli.output import print_json


def config_schema(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a page for people instead.")] = False,
) -> None:
    """Print the JSON Schema of a config, with which editors complete and check it."""
    from tinytrain.config import json_schema

    if markdown:
        sys.stdout.write(json_schema.reference())
    else:
        print_json(json_schema.config_schema())
