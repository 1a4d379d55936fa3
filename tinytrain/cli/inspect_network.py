"""`tinytrain inspect-conv` of a whole network: a layer at a time, standard and separable build side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tinytrain.cli.output import print_json, print_table, save_picture
from tinytrain.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from tinytrain.config.network import Network
    from tinytrain.inspection.convolution import Convolution
    from tinytrain.inspection.timing import Timing
    from tinytrain.inspection.twins import Block

DOMINANT = 5
"""So many of the costliest layers are named."""


@dataclass(frozen=True)
class _Pace:
    """How long a block takes in both builds; the same timing twice where it has no twin."""

    standard: Timing
    separable: Timing


def inspect_network(
    subject: Sequence[str],
    size: tuple[int, int] | None,
    in_channels: int | None,
    *,
    device: str | None,
    batch: int,
    image: Path | None,
    layer: str | None,
    output: Path | None,
    json: bool,
) -> None:
    """Print what each layer of a network costs, and draw one of its convolutions where `output` is given."""
    from tinytrain.config.network import open_network
    from tinytrain.inspection import count_parameters
    from tinytrain.inspection.twins import blocks_of

    network = open_network(subject[0], subject[1:], size=size, in_channels=in_channels)
    blocks = blocks_of(network.model, network.input_shape)
    paces = {} if device is None else _measure(blocks, device, batch)
    if output is not None:
        _draw(network, layer, image, output)
    params = count_parameters(network.model)
    if json:
        print_json(_document(network, blocks, paces, params))
        return
    _print(network, blocks, paces, params)
    if output is not None:
        typer.echo(f"\n{output}: {'filters and feature maps' if image else 'filters'}")


def _measure(blocks: Sequence[Block], device: str, batch: int) -> dict[int, _Pace]:
    """Return how long the convolutions of each block take; equal ones are timed once."""
    from tinytrain.device import require
    from tinytrain.inspection.timing import measure

    where = require(device)
    known: dict[tuple[Convolution, ...], Timing] = {}

    def timed(convolutions: tuple[Convolution, ...]) -> Timing:
        if convolutions not in known:
            known[convolutions] = measure(*convolutions, batch=batch, device=where, seconds=0.1)
        return known[convolutions]

    paces = {}
    for i, block in enumerate(blocks):
        if block.convolutions:
            own = timed(block.convolutions)
            other = timed(block.twin) if block.twin else own
            paces[i] = _Pace(other, own) if block.kind == "separable" else _Pace(own, other)
    return paces


def _document(network: Network, blocks: Sequence[Block], paces: dict[int, _Pace], params: int) -> dict[str, Any]:
    from tinytrain.inspection import layer_costs

    layers = layer_costs(network.model, network.input_shape)
    document: dict[str, Any] = {
        "network": network.name,
        "input": list(network.input_shape),
        "layers": [vars(layer) for layer in layers],
        "params": params,
        "macs": sum(layer.macs for layer in layers),
        "blocks": [],
    }
    for build in ("standard", "separable"):
        pairs = [getattr(block, build) for block in blocks]
        document[build] = {"params": sum(p for p, _ in pairs), "macs": sum(m for _, m in pairs)}
    for i, block in enumerate(blocks):
        row: dict[str, Any] = {"layers": list(block.names), "kind": block.kind, "output": list(block.output)}
        for build in ("standard", "separable"):
            row[build] = dict(zip(("params", "macs"), getattr(block, build), strict=True))
            if i in paces:
                timing = getattr(paces[i], build)
                row[build] |= {"forward_ms": 1e3 * timing.forward, "backward_ms": 1e3 * timing.backward}
        document["blocks"].append(row)
    return document


def _print(network: Network, blocks: Sequence[Block], paces: dict[int, _Pace], params: int) -> None:
    from tinytrain.inspection.convolution import by

    macs = sum(block.own[1] for block in blocks)
    typer.echo(f"{network.name}, images {by(network.input_shape)}: {params:,} parameters, {macs:,} multiply-adds\n")
    heads = ["layer", "kind", "output", "parameters", "multiply-adds", "share", "standard", "separable"]
    if paces:
        heads += ["standard ms", "separable ms"]
    rows = [heads]
    for i, block in enumerate(blocks):
        own = block.own
        row = [_names(block.names), block.kind, by(block.output), f"{own[0]:,}", f"{own[1]:,}", f"{own[1] / macs:.1%}"]
        row += [f"{pair[1]:,}" for pair in (block.standard, block.separable)]
        if paces:
            row += _milliseconds(paces[i]) if i in paces else ["", ""]
        rows.append(row)
    total = [[sum(getattr(block, build)[j] for block in blocks) for build in ("standard", "separable")] for j in (0, 1)]
    last = ["all", "", "", f"{params:,}", f"{macs:,}", "", *(f"{each:,}" for each in total[1])]
    if paces:
        sums = [
            sum(getattr(pace, build).forward + getattr(pace, build).backward for pace in paces.values())
            for build in ("standard", "separable")
        ]
        last += [f"{1e3 * each:.1f}" for each in sums]
    rows.append(last)
    print_table(rows, indent=2, right=range(3, len(heads)))
    typer.echo(
        "\n  `standard` and `separable`: multiply-adds of the layer in either build; equal where there is no twin"
    )
    if paces:
        typer.echo(
            f"  ms: forward + backward of its convolutions, batch of {next(iter(paces.values())).standard.batch}"
        )
    typer.echo(
        f"  the whole network, standard: {total[0][0]:,} parameters, {total[1][0]:,} multiply-adds; "
        f"separable: {total[0][1]:,} and {total[1][1]:,}"
    )
    idle = params - sum(block.own[0] for block in blocks)
    if idle > 0:
        typer.echo(f"  {idle:,} parameters lie outside these layers, as in heads that only training uses")
    costly = sorted(blocks, key=lambda block: -block.own[1])[:DOMINANT]
    named = ", ".join(f"{_names(block.names)} ({block.own[1] / macs:.0%})" for block in costly)
    typer.echo(f"  most multiply-adds: {named}")


def _names(names: Sequence[str]) -> str:
    """Return the names of a block's layers, what they share said once: `features.1.0 + 3`."""
    if len(names) == 1:
        return names[0]
    first, second = names
    shared = 0
    for a, b in zip(first.split("."), second.split("."), strict=False):
        if a != b:
            break
        shared += 1
    return f"{first} + {'.'.join(second.split('.')[shared:])}"


def _milliseconds(pace: _Pace) -> list[str]:
    return [f"{1e3 * (timing.forward + timing.backward):.2f}" for timing in (pace.standard, pace.separable)]


def _draw(network: Network, name: str | None, image: Path | None, output: Path) -> None:
    """Draw the filters of a convolution and, with a photo, what the network makes of it there."""
    from tinytrain.report.feature_maps import channel_tiles, feature_maps, find_convolutions, layer_title
    from tinytrain.report.grids import draw_grid

    convolutions = find_convolutions(network.model)
    if not convolutions:
        raise UsageError("the network has no convolution to draw", place=network.name)
    if name is None:
        name = next(iter(convolutions))
    elif name not in convolutions:
        known = ", ".join(convolutions)
        raise UsageError(
            f"--layer: {network.name} has no convolution {name!r}{did_you_mean(name, convolutions)}",
            remedy=f"Known: {known}",
        )
    layer, maps, shown = convolutions[name], None, None
    if image is not None:
        from tinytrain.datasets import read_image
        from tinytrain.transforms import Compose, Resize, ToTensor

        transform = network.transform or Compose([Resize(list(network.input_shape[1:])), ToTensor()])
        shown = transform(read_image(image, "L" if network.input_shape[0] == 1 else "RGB"))
        maps = feature_maps(network.model, layer, shown)
    tiles = channel_tiles(layer, maps, image=shown, transform=network.transform)
    state = "trained" if network.is_trained else "random"
    save_picture(draw_grid(tiles, nrow=6, title=layer_title(f"{network.name}, {state}, {name}", layer)), output)
