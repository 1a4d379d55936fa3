"""What groups, dilation, padding and stride of a convolution do, drawn with characters."""

from __future__ import annotations

from tinytrain.inspection.convolution import Convolution, by

MAX_WIDTH = 60
MAX_CHANNELS = 16
MAX_KERNEL = 15


def draw_convolution(c: Convolution) -> list[str]:
    """Return lines of text that explain a convolution: its kernel, its steps along a row, its groups."""
    return [*_kernel(c), "", *_row(c), "", *_groups(c)]


def _kernel(c: Convolution) -> list[str]:
    """Return the pixels that one output pixel sees: taps are full, gaps of the dilation empty."""
    height, width = c.receptive_field
    title = f"kernel {by(c.kernel_size)}"
    if c.dilation != (1, 1):
        title += (
            f" with dilation {by(c.dilation)}: {c.kernel_size[0] * c.kernel_size[1]} taps over {height}x{width} pixels"
        )
    else:
        title += f": an output pixel sees {height}x{width} pixels"
    if max(height, width) > MAX_KERNEL:
        return [title]
    rows = [
        " ".join("■" if y % c.dilation[0] == 0 and x % c.dilation[1] == 0 else "·" for x in range(width))
        for y in range(height)
    ]
    return [title, *(f"  {row}" for row in rows)]


def _row(c: Convolution) -> list[str]:
    """Return a row of the padded image with the places of the first windows below it, one a line."""
    before, total, n = c.padding_before[1], c.total_padding[1], c.size[1]
    after = total - before
    outputs, stride, dilation, kernel = c.output[2], c.stride[1], c.dilation[1], c.kernel_size[1]
    mode = c.padding if isinstance(c.padding, str) else "padding"
    title = f"a row of {n} pixels, {mode} {before} + {after}, stride {stride}: {outputs} outputs"
    pixels = "░" * before + "▓" * n + "░" * after
    unused = len(pixels) - ((outputs - 1) * stride + c.receptive_field[1])
    shown = [0, 1, 2] if outputs > 4 else list(range(outputs))
    lines = ["".join("■" if i % dilation == 0 else "·" for i in range(dilation * (kernel - 1) + 1))]
    lines = [" " * (position * stride) + lines[0] for position in shown]
    drawn = [_cut(pixels), *(_cut(line) for line in lines if len(line) <= MAX_WIDTH)]
    if outputs > 4:
        drawn.append("…")
    if unused:
        which = "the last pixel of the row is" if unused == 1 else f"the last {unused} pixels of the row are"
        drawn.append(f"{which} seen by no window")
    return [title, *(f"  {line}" for line in drawn)]


def _cut(line: str) -> str:
    return line if len(line) <= MAX_WIDTH else line[: MAX_WIDTH - 1] + "…"


def _groups(c: Convolution) -> list[str]:
    """Return which input channels feed which output channels: a full block of a table for each group."""
    g = c.groups
    if g == 1:
        return [f"groups 1: each of the {c.out_channels} output channels is made of all {c.in_channels} input channels"]
    inputs, outputs = c.in_channels // g, c.out_channels // g
    title = f"groups {g}: {_channels(outputs, 'output')} {'is' if outputs == 1 else 'are'} made of "
    title += f"{_channels(inputs, 'input')}, and of no other"
    if c.is_depthwise():
        title += " (depthwise)"
    lines = [f"in {_span(i, inputs)} → out {_span(i, outputs)}" for i in range(min(g, 4))]
    if g > 4:
        lines += ["…", f"in {_span(g - 1, inputs)} → out {_span(g - 1, outputs)}"]
    drawn = [title, *(f"  {line}" for line in lines)]
    if max(c.in_channels, c.out_channels) <= MAX_CHANNELS:
        drawn.append("  outputs down, inputs across:")
        drawn += [
            "  " + " ".join("■" if i // inputs == o // outputs else "·" for i in range(c.in_channels))
            for o in range(c.out_channels)
        ]
    return drawn


def _channels(count: int, which: str) -> str:
    return (
        f"each {which} channel"
        if count == 1 and which == "output"
        else (f"one {which} channel" if count == 1 else f"{count} {which} channels")
    )


def _span(group: int, size: int) -> str:
    first = group * size
    return str(first) if size == 1 else f"{first}-{first + size - 1}"
