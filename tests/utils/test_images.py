"""Grids of images and the files they are written to."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tinytrain.tensor import wrap
from tinytrain.utils import make_grid, save_image


def dots(*values):
    """Return images of one pixel and three channels."""
    return wrap(np.repeat(np.array(values, np.float32).reshape(-1, 1, 1, 1), 3, axis=1))


def test_images_go_row_by_row_with_a_border_around_each():
    grid = make_grid(dots(1, 2, 3), nrow=2, padding=1, pad_value=9)
    assert grid.array[0].tolist() == [
        [9, 9, 9, 9, 9],
        [9, 1, 9, 2, 9],
        [9, 9, 9, 9, 9],
        [9, 3, 9, 9, 9],
        [9, 9, 9, 9, 9],
    ]


def test_one_image_gets_no_border_and_grey_becomes_three_channels():
    assert make_grid(wrap(np.ones((1, 4, 5), np.float32))).shape == (3, 4, 5)
    assert make_grid(wrap(np.ones((4, 5), np.float32))).shape == (3, 4, 5)
    assert make_grid(wrap(np.ones((1, 1, 4, 5), np.float32))).shape == (3, 4, 5)


def test_values_are_scaled_over_all_images_or_each():
    images = wrap(np.array([[0, 2], [2, 4]], np.float32).reshape(2, 1, 1, 2))
    together = make_grid(images, padding=0, normalize=True)
    apart = make_grid(images, padding=0, normalize=True, scale_each=True)
    within = make_grid(images, padding=0, normalize=True, value_range=(1, 3))
    assert together.array[0].tolist() == [[0, 0.5, 0.5, 1]]
    assert apart.array[0].tolist() == [[0, 1, 0, 1]]
    assert within.array[0].tolist() == [[0, 0.5, 0.5, 1]]


def test_the_images_themselves_are_left_alone():
    images = dots(0, 5)
    make_grid(images, normalize=True)
    make_grid(dots(3)).array[...] = 0
    assert images.array[:, 0, 0, 0].tolist() == [0, 5]


def test_saved_values_are_rounded_and_clipped():
    file = io.BytesIO()
    save_image(dots(-1.0, 0.5, 0.998, 2.0), file, format="png", padding=0)
    # 0.5 * 255 + 0.5 = 128.0 and 0.998 * 255 + 0.5 = 254.99
    assert np.asarray(Image.open(file))[0, :, 0].tolist() == [0, 128, 254, 255]


def test_the_format_follows_the_path(tmp_path):
    save_image(dots(0, 1), tmp_path / "grid.png")
    assert Image.open(tmp_path / "grid.png").format == "PNG"


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: make_grid(np.ones((3, 2, 2))), "tensor or list of tensors expected, got"),
        (lambda: make_grid([np.ones((3, 2, 2))]), "got a list containing"),
        (lambda: make_grid(dots(1, 2), normalize=True, value_range=[0, 1]), "value_range has to be a tuple"),
        (lambda: save_image(wrap(np.ones((3, 2, 2), np.uint8)), io.BytesIO(), format="png"), "save_image takes floats"),
        (lambda: make_grid(wrap(np.ones((3, 2, 2), np.uint8)), normalize=True), "normalize=True takes floats"),
    ],
)
def test_what_is_no_picture_is_refused(call, text):
    with pytest.raises(TypeError, match=text):
        call()
