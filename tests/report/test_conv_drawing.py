"""Small drawings show what groups, dilation, padding and stride do."""

from __future__ import annotations

from tinytrain.inspection.convolution import Convolution
from tinytrain.report.conv_drawing import draw_convolution


def test_a_drawing_shows_taps_windows_and_groups():
    c = Convolution(4, 2, (2, 3), (5, 8), stride=(1, 3), padding=(0, 1), dilation=(1, 2), groups=2)
    assert draw_convolution(c) == [
        "kernel 2x3 with dilation 1x2: 6 taps over 2x5 pixels",
        "  ■ · ■ · ■",
        "  ■ · ■ · ■",
        "",
        "a row of 8 pixels, padding 1 + 1, stride 3: 2 outputs",
        "  ░▓▓▓▓▓▓▓▓░",
        "  ■·■·■",
        "     ■·■·■",
        "  the last 2 pixels of the row are seen by no window",
        "",
        "groups 2: each output channel is made of 2 input channels, and of no other",
        "  in 0-1 → out 0",
        "  in 2-3 → out 1",
        "  outputs down, inputs across:",
        "  ■ ■ · ·",
        "  · · ■ ■",
    ]


def test_same_padding_of_an_even_kernel_puts_the_odd_pixel_behind():
    c = Convolution(1, 1, (4, 4), (6, 6), padding="same")
    assert "a row of 6 pixels, same 1 + 2, stride 1: 6 outputs" in draw_convolution(c)
    assert "  ░▓▓▓▓▓▓░░" in draw_convolution(c)


def test_large_ones_are_cut_short():
    lines = draw_convolution(Convolution(64, 64, (31, 31), (500, 500), groups=64))
    assert max(map(len, lines)) < 100
    assert "groups 64: each output channel is made of one input channel, and of no other (depthwise)" in lines
    assert "  in 63 → out 63" in lines
