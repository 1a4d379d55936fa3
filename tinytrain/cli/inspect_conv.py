"""`tinytrain inspect-conv`: what a convolution costs, and what its depthwise-separable replacement would."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinytrain.cli.output import JsonOption, check_picture, print_json, print_table, save_picture
from tinytrain.errors import UsageError

if TYPE_CHECKING:
    from tinytrain.inspection.convolution import Convolution
    from tinytrain.inspection.timing import Peak, Timing

LENGTHS = "lengths are given as N or as HEIGHTxWIDTH"


def inspect_conv(
    subject: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CONFIG|RUN|MODEL]", help="A whole network instead; KEY=VALUE may follow a config."),
    ] = None,
    in_channels: Annotated[int | None, typer.Option(help="Channels of the input.  [default: 512]")] = None,
    out_channels: Annotated[int | None, typer.Option(help="Channels of the output.  [default: 512]")] = None,
    kernel: Annotated[str | None, typer.Option(metavar="K", help="Pixels, as 3 or 3x5.  [default: 3]")] = None,
    size: Annotated[str | None, typer.Option(metavar="HxW", help="Pixels of the input.  [default: 14x14]")] = None,
    stride: Annotated[str | None, typer.Option(metavar="S", help="Pixels.  [default: 1]")] = None,
    padding: Annotated[
        str | None,
        typer.Option(metavar="P|same|valid", help="Pixels on each side.  [default: 0; 1 where no option is given]"),
    ] = None,
    dilation: Annotated[str | None, typer.Option(metavar="D", help="Pixels between taps.  [default: 1]")] = None,
    groups: Annotated[int | None, typer.Option(help="Parts of the channels.  [default: 1]")] = None,
    bias: Annotated[bool | None, typer.Option("--bias/--no-bias", help="Whether there is one.  [default: yes]")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Also time both builds on this device.")] = False,
    batch: Annotated[int | None, typer.Option(min=1, help="Images in a batch that is timed.  [default: 16]")] = None,
    device: Annotated[
        str | None, typer.Option(metavar="auto|cpu|cuda|cuda:N", help="Where to time.  [default: auto]")
    ] = None,
    image: Annotated[Path | None, typer.Option(metavar="FILE", help="A photo for the filters to work on.")] = None,
    layer: Annotated[
        str | None, typer.Option(help="Which convolution of a network to draw.  [default: the first]")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw filters, and with --image their feature maps.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show what a convolution costs beside its depthwise-separable replacement.

    Without a network and options: the layer that the MobileNets paper takes as its example (table 3).
    """
    for option, drawn in (("--image", image), ("--layer", layer)):
        if drawn is not None and output is None:
            raise UsageError(f"{option} needs a file to draw to", remedy="Name it with --output grid.png")
    if layer is not None and not subject:
        raise UsageError("--layer names a convolution of a network, and no network is named")
    for option, timed in (("--batch", batch), ("--device", device)):
        if timed is not None and not measure:
            raise UsageError(f"{option} is for timing, and nothing is timed", remedy="Add --measure")
    batch, device = batch or 16, device or "auto"
    if output is not None:
        check_picture(output)
    if subject:
        for name, value in (
            ("--out-channels", out_channels),
            ("--kernel", kernel),
            ("--stride", stride),
            ("--padding", padding),
            ("--dilation", dilation),
            ("--groups", groups),
            ("--bias/--no-bias", bias),
        ):
            if value is not None:
                raise UsageError(f"{name} describes one convolution, {subject[0]!r} names a whole network")
        from tinytrain.cli.inspect_network import inspect_network

        where = device if measure else None
        shape = (None if size is None else _lengths("--size", size), in_channels)
        inspect_network(subject, *shape, device=where, batch=batch, image=image, layer=layer, output=output, json=json)
        return
    given = (in_channels, out_channels, kernel, size, stride, padding, dilation, groups, bias)
    if image is not None:
        in_channels = 3 if in_channels is None else in_channels
        size = _size_of(image) if size is None else size
    convolution = _convolution(
        in_channels=512 if in_channels is None else in_channels,
        out_channels=512 if out_channels is None else out_channels,
        kernel_size=_lengths("--kernel", kernel or "3"),
        size=_lengths("--size", size or "14x14"),
        stride=_lengths("--stride", stride or "1"),
        padding=_padding(padding, is_bare=all(each is None for each in given)),
        dilation=_lengths("--dilation", dilation or "1"),
        groups=1 if groups is None else groups,
        bias=bias is not False,
    )
    report = _measured(convolution, device, batch) if measure else None
    if output is not None:
        _draw(convolution, image, output)
    if json:
        print_json(_document(convolution, report))
        return
    _print(convolution)
    if report is not None:
        _print_measured(convolution, *report)
    if output is not None:
        typer.echo(f"\n{output}: {'filters and feature maps' if image else 'filters'}, random from seed 0")


def _convolution(**arguments: Any) -> Convolution:
    from tinytrain.inspection.convolution import Convolution

    try:
        return Convolution(**arguments)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _lengths(option: str, text: str) -> tuple[int, int]:
    """Return (height, width) of `3` or `3x5`."""
    match = re.fullmatch(r"(\d{1,9})(?:[x,](\d{1,9}))?", text.lower())
    if match is None:
        raise UsageError(f"{option}: {LENGTHS}, got {text!r}", remedy="As in 3 or 3x5")
    return int(match[1]), int(match[2] or match[1])


def _size_of(image: Path) -> str:
    from tinytrain.datasets import read_image

    photo = read_image(image)
    return f"{photo.height}x{photo.width}"


def _padding(text: str | None, *, is_bare: bool) -> tuple[int, int] | str:
    if text in ("same", "valid"):
        return text
    if text is None:
        return (1, 1) if is_bare else (0, 0)
    return _lengths("--padding", text)


def _separable_document(convolution: Convolution) -> dict[str, Any]:
    from tinytrain.inspection.convolution import Cost

    return Cost.of(*convolution.separable()).document()


def _document(c: Convolution, report: tuple[Timing, Timing, Peak] | None) -> dict[str, Any]:
    from tinytrain.inspection.convolution import Cost

    document = {
        **Cost.of(c).document(),
        "receptive_field": list(c.receptive_field),
        "separable": _separable_document(c),
    }
    if report is not None:
        standard, separable, peak = report
        document["measured"] = {
            "batch": standard.batch,
            "forward_ms": 1e3 * standard.forward,
            "backward_ms": 1e3 * standard.backward,
            "peak_gflops": peak.flops / 1e9,
            "peak_gbytes": peak.bytes / 1e9,
        }
        document["separable"]["measured"] = {
            "batch": separable.batch,
            "forward_ms": 1e3 * separable.forward,
            "backward_ms": 1e3 * separable.backward,
        }
    return document


def _print(c: Convolution) -> None:
    from tinytrain.inspection.convolution import Cost, by
    from tinytrain.report.conv_drawing import draw_convolution

    depthwise, pointwise = c.separable()
    own, pair = Cost.of(c), Cost.of(depthwise, pointwise)
    typer.echo(f"input {by(c.input)}, kernel {by(c.kernel_size)}, output {by(c.output)}\n")
    for axis, name in enumerate(("height", "width")):
        n, p, d, k, s = c.size[axis], c.total_padding[axis], c.dilation[axis], c.kernel_size[axis], c.stride[axis]
        typer.echo(
            f"  {name:<6} floor(({n} + {p} - {d}*({k} - 1) - 1) / {s}) + 1 = {c.output[1 + axis]}"
            f"{'  (input + padding - dilation*(kernel - 1) - 1) / stride' if axis == 0 else ''}"
        )
    typer.echo("")
    for line in draw_convolution(c):
        typer.echo(f"  {line}".rstrip())
    typer.echo("")
    rows = [
        ("", "this", "depthwise + pointwise", "ratio"),
        ("parameters", *_both(own.params, pair.params)),
        ("multiply-adds", *_both(own.macs, pair.macs)),
        ("FLOPs (2 a multiply-add)", *_both(own.flops, pair.flops)),
        ("bytes moved (float32)", *_both(own.bytes, pair.bytes)),
        ("FLOPs a byte", f"{own.intensity:.1f}", f"{pair.intensity:.1f}", f"{pair.intensity / own.intensity:.3f}"),
    ]
    print_table(rows, indent=2, right=(1, 2, 3))
    parts = f"{depthwise.params:,} parameters and {depthwise.macs:,} multiply-adds"
    typer.echo(f"\n  depthwise: a {by(c.kernel_size)} filter for each of {c.in_channels} channels: {parts}")
    parts = f"{pointwise.params:,} parameters and {pointwise.macs:,} multiply-adds"
    typer.echo(f"  pointwise: 1x1, {c.in_channels} to {c.out_channels} channels: {parts}")
    g, k = c.groups, c.kernel_size[0] * c.kernel_size[1]
    formula = f"1/N + 1/k² = 1/{c.out_channels} + 1/{k}" if g == 1 else f"g/N + g/k² = {g}/{c.out_channels} + {g}/{k}"
    typer.echo(f"  multiply-adds, pair to this: {formula} = {g / c.out_channels + g / k:.4f}")
    typer.echo("  all for one image; bytes: input, weights and output once each; biases count as parameters only")


def _both(own: int, pair: int) -> tuple[str, str, str]:
    return f"{own:,}", f"{pair:,}", f"{pair / own:.3f}"


def _measured(c: Convolution, device: str, batch: int) -> tuple[Timing, Timing, Peak]:
    from tinytrain.device import require
    from tinytrain.inspection.timing import measure, measure_peak

    where = require(device)
    return (
        measure(c, batch=batch, device=where),
        measure(*c.separable(), batch=batch, device=where),
        measure_peak(where),
    )


def _print_measured(c: Convolution, own: Timing, pair: Timing, peak: Peak) -> None:
    from tinytrain.inspection.convolution import Cost

    typer.echo(f"\n  measured, medians, batch of {own.batch}")
    rows: list[tuple[str, ...]] = [("", "this", "depthwise + pointwise", "ratio", "machine's peak")]
    costs = (Cost.of(c), Cost.of(*c.separable()))
    for name in ("forward", "backward"):
        a, b = getattr(own, name), getattr(pair, name)
        rows.append((f"{name} ms", f"{1e3 * a:.2f}", f"{1e3 * b:.2f}", f"{b / a:.3f}", ""))
    for unit, best, amounts in (
        ("GFLOP/s", peak.flops, [cost.flops for cost in costs]),
        ("GB/s", peak.bytes, [cost.bytes for cost in costs]),
    ):
        rates = [own.batch * amount / each.forward for amount, each in zip(amounts, (own, pair), strict=True)]
        cells = [f"{rate / 1e9:.1f} ({rate / best:.0%})" for rate in rates]
        rows.append((f"forward {unit}", *cells, "", f"{best / 1e9:.1f}"))
    print_table(rows, indent=2, right=(1, 2, 3, 4))
    if own.batch * costs[0].flops / own.forward > peak.flops:
        typer.echo(
            "  above 100 %: counted are the definition's multiply-adds, of which Winograd's algorithm spares most"
        )
    fewer, faster = costs[0].macs / costs[1].macs, own.forward / pair.forward
    typer.echo(
        f"\n  {fewer:.1f} times fewer multiply-adds, {faster:.1f} times as fast forward: the pair does "
        f"{costs[1].intensity:.0f} FLOPs for each byte that it moves, this one {costs[0].intensity:.0f}; "
        f"below about {peak.flops / peak.bytes:.0f} the machine waits for memory"
    )


def _draw(c: Convolution, image: Path | None, output: Path) -> None:
    """Draw random filters and, with a photo, what they make of it."""
    from tinytrain.generator import manual_seed
    from tinytrain.report.feature_maps import channel_tiles, feature_maps, layer_title
    from tinytrain.report.grids import draw_grid

    manual_seed(0)
    layer, maps, shown = c.layer(), None, None
    if image is not None:
        from tinytrain.datasets import read_image
        from tinytrain.transforms import ToTensor

        if c.in_channels not in (1, 3):
            raise UsageError(f"a photo has 1 or 3 channels, the convolution takes {c.in_channels}")
        shown = read_image(image, "L" if c.in_channels == 1 else "RGB")
        maps = feature_maps(layer, layer, ToTensor()(shown))
    tiles = channel_tiles(layer, maps, image=shown)
    save_picture(draw_grid(tiles, nrow=6, title=layer_title("random filters", layer)), output)
