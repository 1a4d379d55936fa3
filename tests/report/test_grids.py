"""Labelled grids: where images land, how they are scaled, and how normalisation is undone."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageColor

from tinytrain.report import grids
from tinytrain.report.grids import Tile, compared, draw_grid, judged, labelled, picture
from tinytrain.tensor import wrap
from tinytrain.transforms import Compose, Normalize, Pad, ToTensor


def plain(colour, size=(4, 4)):
    return Image.new("RGB", size, colour)


def test_tiles_go_row_by_row():
    sheet = draw_grid([Tile([plain(c)]) for c in ("red", "lime", "blue")], nrow=2, cell=8)
    step = 8 + grids.GAP
    assert sheet.size == (grids.GAP + 2 * step, grids.GAP + 2 * step)
    centres = [(14, 14), (14 + step, 14), (14, 14 + step)]
    assert [sheet.getpixel(centre) for centre in centres] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


def test_two_images_stand_side_by_side_with_words_below():
    sheet = draw_grid([compared(plain("red"), plain("blue"), "daisy")], cell=40)
    assert sheet.size == (2 * 40 + 2 + 2 * grids.GAP, 40 + grids.LINE_HEIGHT + 2 * grids.GAP)
    assert sheet.getpixel((30, 30)) == (255, 0, 0)
    assert sheet.getpixel((72, 30)) == (0, 0, 255)
    words = np.asarray(sheet)[50:, :82]
    assert (words < 100).any()


def test_small_images_are_enlarged_by_whole_factors_and_stay_sharp():
    image = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8))
    sheet = np.asarray(draw_grid([Tile([image.convert("RGB")])], cell=7))[
        grids.GAP : -grids.GAP, grids.GAP : -grids.GAP
    ]
    assert np.unique(sheet[:6, :6]).tolist() == [0, 255]
    assert sheet[6, 6].tolist() == list(ImageColor.getrgb(grids.CELL))  # 7 = 3 * 2 + 1


def test_large_images_are_shrunk_with_their_proportions():
    sheet = draw_grid([Tile([plain("red", (300, 100))])], cell=30)
    red = (np.asarray(sheet) == (255, 0, 0)).all(axis=2)
    assert (red.any(axis=0).sum(), red.any(axis=1).sum()) == (30, 10)


def test_long_names_stay_inside_their_tile():
    sheet = draw_grid([labelled(plain("red"), "a very long class name indeed"), labelled(plain("red"), "")], cell=50)
    gap = np.asarray(sheet)[60:, 60:70]
    assert (gap == 255).all()


def test_what_is_left_out_of_a_long_name_is_its_middle():
    names = ["photo_of_a_flower_one.jpg", "photo_of_a_flower_two.jpg"]
    first, second = (np.asarray(draw_grid([labelled(plain("red"), name)], cell=90)) for name in names)
    assert not np.array_equal(first, second)


def test_a_right_answer_is_green_and_a_wrong_one_red():
    right, wrong = judged(plain("red"), "rose", "rose", 0.9), judged(plain("red"), "rose", "tulip", 0.624)
    assert right.lines == [("rose", grids.INK), ("✓ rose, 90%", grids.RIGHT)]
    assert wrong.lines == [("rose", grids.INK), ("✗ tulip, 62%", grids.WRONG)]


def test_the_normalisation_of_a_pipeline_is_undone():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8))
    pipeline = Compose([Pad(0), Compose([ToTensor(), Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.4])])])
    assert np.array_equal(np.asarray(picture(pipeline(image), pipeline)), np.asarray(image))


def test_values_outside_zero_and_one_are_stretched():
    shown = picture(wrap(np.array([[[-1.0, 1.0, 3.0]]], np.float32)))
    assert np.asarray(shown)[0, :, 0].tolist() == [0, 128, 255]
    sixteen = picture(Image.fromarray(np.array([[1000, 3000]], np.uint16)))
    assert np.asarray(sixteen)[0, :, 0].tolist() == [0, 255]


def test_bytes_are_shown_as_they_are():
    assert np.asarray(picture(wrap(np.array([[[3, 200]]], np.uint8))))[0, :, 0].tolist() == [3, 200]


def test_a_grid_of_nothing_is_refused():
    with pytest.raises(ValueError, match="a grid needs tiles, got 0"):
        draw_grid([])
