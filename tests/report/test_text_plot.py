"""Curves in a terminal."""

from __future__ import annotations

from tinytrain.report.text_plot import sparkline, text_plot


def test_columns_are_as_high_as_their_values():
    assert text_plot([0.0, 0.25, 0.5, 1.0], height=2) == [
        "1 │   █",
        "0 │ ▄██",
    ]


def test_eighths_of_a_line_are_shown():
    assert text_plot([1, 2, 3, 8], height=1) == ["8 │▁▂▃█"]


def test_labels_stand_at_the_axis_and_at_the_largest_value():
    lines = text_plot([0.05, 0.025], height=3)
    assert [line.split("│")[0] for line in lines] == ["0.05 ", "     ", "   0 "]


def test_a_curve_of_zeros_is_flat():
    assert text_plot([0.0, 0.0], height=2) == ["1 │", "0 │"]


def test_a_sparkline_goes_from_the_smallest_value_to_the_largest():
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8]) == "▁▂▃▄▅▆▇█"
    assert sparkline([5.0, float("nan"), 1.0]) == "█▁"
    assert sparkline([3, 3]) == "▁▁"
    assert sparkline([]) == ""
    assert sparkline([0, 2, 8, 10, 4, 6], width=3) == "▁█▅"
