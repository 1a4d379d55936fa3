"""Draws the pictures of docs/convolution.md: python docs/draw_pictures.py"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tinytrain.inspection.convolution import Convolution, Cost

IMAGES = Path(__file__).parent / "images"
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"


def draw_kinds() -> None:
    """Draw which input channels feed which output channels: standard, depthwise, pointwise."""
    figure = Figure(figsize=(10.5, 3.6), dpi=120, layout="constrained")
    kinds = [
        ("standard: 3x3, 4 to 6", [Convolution(4, 6, (3, 3), (8, 8), padding=(1, 1), bias=False)], 6),
        ("depthwise: 3x3, groups 4", [Convolution(4, 4, (3, 3), (8, 8), padding=(1, 1), groups=4, bias=False)], 4),
        ("pointwise: 1x1, 4 to 6", [Convolution(4, 6, (1, 1), (8, 8), bias=False)], 6),
    ]
    for axis, (title, convolutions, outputs) in zip(figure.subplots(1, 3), kinds, strict=True):
        c = convolutions[0]
        per_group = (c.in_channels // c.groups, outputs // c.groups)
        for i in range(c.in_channels):
            for o in range(outputs):
                if i // per_group[0] == o // per_group[1]:
                    axis.plot([0, 1], [_height(i, 4), _height(o, outputs)], color=GREY, lw=0.8, zorder=1)
        for x, count, colour in ((0, 4, BLUE), (1, outputs, ORANGE)):
            for i in range(count):
                axis.scatter([x], [_height(i, count)], s=260, color=colour, marker="s", zorder=2)
        side = c.kernel_size[0]
        for y in range(side):
            for x in range(side):
                axis.add_patch(Rectangle((0.44 + 0.05 * x, 1.06 + 0.05 * y), 0.045, 0.045, color=GREEN))
        cost = Cost.of(*convolutions)
        axis.set_title(title, size=11)
        axis.text(0.5, -0.16, f"{cost.params} weights, {cost.macs:,} multiply-adds on 8x8 pixels", ha="center", size=9)
        axis.set(xlim=(-0.15, 1.15), ylim=(-0.22, 1.25))
        axis.axis("off")
    figure.savefig(IMAGES / "convolution-kinds.png")


def draw_windows() -> None:
    """Draw where the windows of a 3x3 kernel lie on 5x5 pixels: padding, stride, dilation."""
    figure = Figure(figsize=(10.5, 3.2), dpi=120, layout="constrained")
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("padding valid", {"padding": "valid"}),
        ("padding same", {"padding": "same"}),
        ("stride 2, padding 1", {"stride": (2, 2), "padding": (1, 1)}),
        ("dilation 2, padding 2", {"dilation": (2, 2), "padding": (2, 2)}),
    ]
    for axis, (title, options) in zip(figure.subplots(1, 4), kinds, strict=True):
        c = Convolution(1, 1, (3, 3), (5, 5), **options)
        before, side = c.padding_before[0], c.padded[0]
        for y in range(side):
            for x in range(side):
                inside = before <= x < before + 5 and before <= y < before + 5
                axis.add_patch(Rectangle((x, y), 1, 1, fc="#dbe9f4" if inside else "#f4f4f4", ec="white", lw=1.5))
        for window, colour in ((0, ORANGE), (1, GREEN)):
            left = window * c.stride[1]
            for y in range(3):
                for x in range(3):
                    place = (left + x * c.dilation[1] + 0.18 + 0.08 * window, y * c.dilation[0] + 0.18 + 0.08 * window)
                    axis.add_patch(Rectangle(place, 0.56, 0.56, fill=False, ec=colour, lw=1.8))
        axis.set_title(f"{title}\n5x5 to {c.output[1]}x{c.output[2]}", size=10)
        axis.set(xlim=(-0.2, side + 0.2), ylim=(side + 0.2, -0.2), aspect="equal")
        axis.axis("off")
    figure.savefig(IMAGES / "convolution-windows.png")


def _height(i: int, count: int) -> float:
    return 1 - (i + 0.5) / count


if __name__ == "__main__":
    draw_kinds()
    draw_windows()
