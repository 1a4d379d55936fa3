"""`tinytrain verify-resume`: does a killed run of a config come to the bits of one that was not?"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tinytrain.cli.output import (
    ConfigArgument,
    DeviceOption,
    JsonOption,
    OverridesArgument,
    all_overrides,
    print_json,
)
from tinytrain.errors import WeightsError


def verify_resume(
    config: ConfigArgument,
    overrides: OverridesArgument = None,
    steps: Annotated[int, typer.Option(metavar="N", help="Steps to learn, with and without the kill.")] = 20,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Kill a training of a config, resume it, and compare every bit with one that was not killed.

    Nothing is kept. The exit code is 0 where they are the same, 3 where they are not.
    """
    from tinytrain.config import load_config

    loaded = load_config(config, all_overrides(overrides, device))

    from tinytrain.config.verification import verify_resume as verify

    found = verify(loaded, steps, say=lambda text: print(text, file=sys.stderr))
    if json:
        print_json(found.document())
    else:
        before, after = found.workers
        typer.echo(f"{found.steps} steps straight through, weights {found.weights_sha256[:16]}")
        typer.echo(
            f"{found.steps} steps, killed after step {found.killed_after} with {before} workers, resumed after step "
            f"{found.resumed_after} with {after} workers: {'another result' if found.differences else 'the same bits'}"
        )
    if found.differences:
        shown = ", ".join(found.differences[:5]) + (" ..." if len(found.differences) > 5 else "")
        raise WeightsError(f"the two runs differ in {shown}", place=config)
