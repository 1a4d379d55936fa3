"""`tinytrain selfcheck`: a training step of one's own network on one's own machine, held to the definition."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tinytrain.cli.output import (
    ConfigArgument,
    DeviceOption,
    JsonOption,
    OverridesArgument,
    all_overrides,
    print_json,
    print_table,
)
from tinytrain.errors import DisagreementError

if TYPE_CHECKING:
    from tinytrain.config.selfcheck import SelfCheck
    from tinytrain.training.selfcheck import Deviation

MAX_ROWS = 20
"""So many rows of a table are printed beside those beyond their bounds."""

TITLES = {
    "gradient": "gradients of the parameters",
    "statistic": "statistics that the step changed",
    "update": "the optimizer's update of the parameters",
}


def selfcheck(
    config: ConfigArgument,
    overrides: OverridesArgument = None,
    device: DeviceOption = None,
    precision: Annotated[
        str | None, typer.Option(metavar="fp32|tf32|bf16|fp16", help="Number format, instead of the config's.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", min=2, help="Images; by default the config's, at most 16.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compare a training step on this machine with the same by definition in float64.

    Output, loss, every gradient, every statistic and every update are compared. Nothing is written or downloaded. The
    exit code is 0 where they agree within what rounding explains, 3 where they do not.
    """
    from tinytrain.config import load_config

    given = [*(overrides or []), *([] if precision is None else [f"train.precision={precision}"])]
    loaded = load_config(config, all_overrides(given, device))

    from tinytrain.config.selfcheck import selfcheck as check

    found = check(loaded, batch_size=batch_size, watch=_tell)
    if json:
        print_json(found.document())
    else:
        _print(found)
    if found.beyond:
        worst = found.beyond[0]
        raise DisagreementError(
            f"{len(found.beyond)} of {len(found.deviations)} tensors are further from the definition than rounding "
            f"explains, the worst {_named(worst)}",
            place=config,
            remedy="TINYTRAIN_KERNELS=reference computes by the definition until the kernel is mended",
        )


def _tell(doing: str) -> None:
    """Say on a terminal what takes its time."""
    if sys.stderr.isatty():
        typer.echo(f"{doing} ...", err=True)


def _print(found: SelfCheck) -> None:
    shape = "x".join(map(str, found.input_shape))
    typer.echo(f"device     {found.device}, {found.precision}")
    for number, each in enumerate(found.kernels):
        typer.echo(f"{'' if number else 'kernels':<9}  {each['set']}: {each['reason']}")
    typer.echo(f"batch      {found.batch_size} images {shape}, {found.classes} classes: {found.data}")
    typer.echo("against    the reference kernels on the CPU in float64")
    typer.echo("")
    whole = [each for each in found.deviations if not each.name]
    print_table([("", "error", "bound", ""), *(_row(each, each.kind) for each in whole)], right=(1, 2))
    for kind, title in TITLES.items():
        rows = [each for each in found.deviations if each.kind == kind]
        if rows:
            _print_kind(title, rows)
    typer.echo("")
    if found.vague:
        typer.echo(
            f"note: of {len(found.vague)} tensors nothing can be said: rounding alone may change them altogether in "
            f"{found.precision}{'' if found.precision == 'fp32' else ', and hardly in fp32'}"
        )
    if not found.beyond:
        worst = found.deviations[0]
        typer.echo(
            f"{found.device} agrees with the definition: all {len(found.deviations)} tensors are within their bounds; "
            f"the nearest to one is {_named(worst)}, at {worst.of_bound:.0%} of it"
        )


def _print_kind(title: str, rows: list[Deviation]) -> None:
    shown = [each for number, each in enumerate(rows) if number < MAX_ROWS or not each.is_within]
    typer.echo(f"\n{title}, the worst first")
    print_table([("", "error", "bound", ""), *(_row(each, _label(each)) for each in shown)], indent=2, right=(1, 2))
    if len(shown) < len(rows):
        typer.echo(f"  and {len(rows) - len(shown)} more within their bounds, which --json lists")


def _row(each: Deviation, label: str) -> tuple[str, str, str, str]:
    return label, f"{each.error:.1e}", f"{each.bound:.1e}", "" if each.is_within else "BEYOND"


def _label(each: Deviation) -> str:
    return f"{each.name} ({each.layer})"


def _named(each: Deviation) -> str:
    if not each.name:
        return f"the {each.kind}"
    return f"the {each.kind} of {_label(each)}"
