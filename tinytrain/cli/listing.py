"""`tinytrain list`: the names that a config can use."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tinytrain.cli.output import JsonOption, print_json
from tinytrain.errors import UsageError, did_you_mean

KINDS = ("models", "layers", "datasets", "transforms", "optimizers", "schedules", "losses")


def list_(
    kind: Annotated[str, typer.Argument(metavar="|".join(KINDS), help="What to list.")],
    json: JsonOption = False,
) -> None:
    """Print the names that a config can use.

    With each come its arguments and what it is.
    """
    if kind not in KINDS:
        raise UsageError(f"{kind!r} cannot be listed{did_you_mean(kind, KINDS)}", remedy=f"Known: {', '.join(KINDS)}")
    entries = describe(kind)
    if json:
        print_json(entries)
        return
    for entry in entries:
        arguments = ", ".join(
            argument["name"] if argument["required"] else f"{argument['name']}={argument['default']}"
            for argument in entry["arguments"]
        )
        typer.echo(f"{entry['name']}({arguments})\n    {entry['summary']}")


def describe(kind: str) -> list[dict[str, Any]]:
    """Return the entries of a kind, sorted by name: name, summary, arguments with their defaults."""
    import inspect

    from tinytrain.config.components import config_parameters, is_plain
    from tinytrain.config.tables import TABLES

    table = TABLES[kind]
    entries = []
    for name, builder in sorted(table.registry.items()):
        parameters = [p for p in config_parameters(builder) if p.name not in table.supplied]
        arguments = [
            {
                "name": p.name,
                "required": p.default is p.empty,
                "default": p.default if p.default is not p.empty and is_plain(p.default) else None,
            }
            for p in parameters
        ]
        summary = (inspect.getdoc(builder) or "").partition("\n\n")[0].replace("\n", " ")
        entries.append({"name": name, "summary": summary, "arguments": arguments})
    return entries
