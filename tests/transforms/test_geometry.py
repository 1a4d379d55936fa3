"""Where pixels go: sizes, offsets, borders and boxes, with values counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tinytrain import transforms as T
from tinytrain.random_streams import sample_stream
from tinytrain.tensor import wrap
from tinytrain.transforms import functional as F


def counted(height, width):
    """Return an image (1, h, w) whose values are 0, 1, 2 ... row by row."""
    return wrap(np.arange(height * width, dtype=np.uint8).reshape(1, height, width))


def picture(height, width, mode="L"):
    return F.to_pil_image(counted(height, width)).convert(mode)


def values(img):
    return np.asarray(img.array[0] if hasattr(img, "array") else img).tolist()


@pytest.mark.parametrize(
    ("size", "height", "width", "expected"),
    [
        (10, 20, 30, (10, 15)),
        (10, 30, 20, (15, 10)),
        (7, 10, 15, (7, 10)),  # 7 * 15 / 10 = 10.5, cut to 10
        ([7], 15, 10, (10, 7)),
        ((4, 9), 15, 10, (4, 9)),
        (1, 1, 300, (1, 300)),
    ],
)
def test_resize_makes_the_shorter_edge_the_size_and_cuts_the_longer(size, height, width, expected):
    image = Image.new("RGB", (width, height))
    assert F.resize(image, size).size[::-1] == expected
    assert F.resize(F.pil_to_tensor(image), size).shape[-2:] == expected


def test_resize_holds_the_longer_edge_to_max_size():
    assert F.resize(Image.new("L", (400, 100)), 50, max_size=100).size == (100, 25)


def test_resize_to_the_same_size_returns_the_image_itself():
    image = picture(4, 4)
    assert F.resize(image, (4, 4)) is image


def test_resize_refuses_a_size_without_pixels():
    with pytest.raises(ValueError, match=r"resize of 300x1 .* to 100x0 leaves no pixels"):
        F.resize(picture(300, 1), (100, 0))


@pytest.mark.parametrize("mode", ["box", "bilinear", "hamming", "bicubic", "lanczos"])
def test_every_filter_on_a_tensor_is_pillows(mode):
    image = Image.fromarray(np.random.default_rng(0).normal(size=(31, 40)).astype(np.float32))
    for size in ((12, 17), (55, 90), (1, 1)):
        resized = F.resize(F.pil_to_tensor(image), size, mode).array[0]
        assert np.allclose(resized, np.asarray(F.resize(image, size, mode)), atol=1e-5)


def test_a_mode_may_be_named_by_its_value_or_pillows_number():
    assert T.Resize(3, "nearest-exact").interpolation is T.InterpolationMode.NEAREST_EXACT
    assert T.Resize(3, 1).interpolation is T.InterpolationMode.LANCZOS
    with pytest.raises(ValueError, match=r"interpolation should be one of nearest, .*; got 'cubic'"):
        T.Resize(3, "cubic")


def test_center_crop_offsets_round_half_to_even():
    # (5 - 2) / 2 = 1.5 -> 2 rows down; (4 - 3) / 2 = 0.5 -> 0 columns in
    expected = [[8, 9, 10], [12, 13, 14]]
    assert values(F.center_crop(counted(5, 4), (2, 3))) == expected
    assert values(F.center_crop(picture(5, 4), (2, 3))) == expected


def test_a_larger_center_crop_pads_less_on_the_left_and_top():
    expected = [[0, 0, 0, 0, 0], [0, 1, 2, 0, 0], [0, 3, 4, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    image = wrap(np.array([[[1, 2], [3, 4]]], np.uint8))
    assert values(F.center_crop(image, 5)) == expected
    assert values(F.center_crop(F.to_pil_image(image), 5)) == expected


def test_a_crop_that_leaves_the_image_is_filled_with_zeros():
    expected = [[0, 0, 0], [0, 0, 1], [0, 3, 4]]
    assert values(F.crop(counted(3, 3), -1, -1, 3, 3)) == expected
    assert values(F.crop(picture(3, 3), -1, -1, 3, 3)) == expected
    assert values(F.crop(counted(3, 3), 0, -9, 2, 2)) == [[0, 0], [0, 0]]


def test_five_crop_goes_round_the_corners_and_ends_in_the_centre():
    corners = [values(each) for each in T.FiveCrop(1)(counted(3, 3))]
    assert corners == [[[0]], [[2]], [[6]], [[8]], [[4]]]


def test_ten_crop_adds_the_crops_of_the_mirrored_image():
    assert [values(each)[0][0] for each in T.TenCrop(1)(counted(3, 3))] == [0, 2, 6, 8, 4, 2, 0, 8, 6, 4]
    upside_down = T.TenCrop(1, vertical_flip=True)(counted(3, 3))
    assert [values(each)[0][0] for each in upside_down] == [0, 2, 6, 8, 4, 6, 8, 0, 2, 4]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("constant", [9, 9, 0, 1, 2, 9, 9]),
        ("edge", [0, 0, 0, 1, 2, 2, 2]),
        ("reflect", [2, 1, 0, 1, 2, 1, 0]),
        ("symmetric", [1, 0, 0, 1, 2, 2, 1]),
    ],
)
def test_borders_repeat_and_mirror(mode, expected):
    assert values(F.pad(counted(1, 3), (2, 0), 9, mode)) == [expected]
    assert values(F.pad(picture(1, 3), (2, 0), 9, mode)) == [expected]


def test_four_paddings_are_left_top_right_bottom_and_negative_ones_cut():
    assert values(F.pad(counted(2, 2), (1, 0, -1, 1), 7)) == [[7, 0], [7, 2], [7, 7]]
    assert values(F.pad(picture(2, 2), (1, 0, -1, 1), 7, "edge")) == [[0, 0], [2, 2], [2, 2]]


def test_a_border_may_have_one_value_a_channel():
    padded = F.pad(wrap(np.zeros((3, 1, 1), np.uint8)), 1, (1, 2, 3))
    assert padded.array[:, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("mode", ["P", "LA", "CMYK", "YCbCr", "I;16", "1"])
@pytest.mark.parametrize("padding_mode", ["constant", "reflect"])
def test_a_border_keeps_the_mode_of_a_pillow_image(mode, padding_mode):
    image = Image.new(mode, (5, 4))
    padded = F.pad(image, 2, padding_mode=padding_mode)
    assert (padded.mode, padded.size) == (mode, (9, 8))


def test_flips_mirror_columns_and_rows():
    assert values(F.hflip(counted(2, 2))) == values(F.hflip(picture(2, 2))) == [[1, 0], [3, 2]]
    assert values(F.vflip(counted(2, 2))) == values(F.vflip(picture(2, 2))) == [[2, 3], [0, 1]]


def test_a_quarter_turn_goes_counter_clockwise():
    assert values(F.rotate(counted(2, 2), 90)) == values(F.rotate(picture(2, 2), 90)) == [[1, 3], [0, 2]]


def test_operations_leave_their_input_alone():
    image = counted(3, 3)
    F.hflip(image).array[...] = 0
    F.crop(image, 0, 0, 2, 2).array[...] = 0
    F.pad(image, 1).array[...] = 0
    assert values(image) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_random_crops_reach_every_corner_and_no_further():
    crop = T.RandomCrop(2)
    seen = set()
    for index in range(200):
        with sample_stream(0, 0, index):
            seen.add(values(crop(counted(4, 4)))[0][0])
    assert seen == {0, 1, 2, 4, 5, 6, 8, 9, 10}


def test_a_random_crop_larger_than_the_image_is_refused_unless_padded():
    with pytest.raises(ValueError, match=r"Required crop size \(5, 5\) is larger than input image size \(4, 4\)"):
        T.RandomCrop(5)(counted(4, 4))
    assert T.RandomCrop(5, pad_if_needed=True)(counted(4, 4)).shape == (1, 5, 5)


def test_random_resized_crop_draws_areas_and_ratios_within_their_ranges():
    for index in range(100):
        with sample_stream(1, 0, index):
            top, left, h, w = T.RandomResizedCrop.get_params(Image.new("L", (300, 200)), (0.2, 0.5), (0.5, 2.0))
        assert 0.19 < h * w / 60000 < 0.51
        assert 0.49 < w / h < 2.04
        assert 0 <= top <= 200 - h
        assert 0 <= left <= 300 - w


def test_random_resized_crop_falls_back_to_the_middle_of_a_narrow_image():
    # 100 x 3 can hold no box of half its area with sides nearer than 3:4: the largest is 3 x 4 in the middle
    box = T.RandomResizedCrop.get_params(Image.new("L", (3, 100)), (0.5, 1.0), (0.75, 4 / 3))
    assert box == (48, 0, 4, 3)


def test_a_transform_refuses_to_lose_a_gradient():
    image = wrap(np.zeros((1, 2, 2), np.float32)).requires_grad_()
    with pytest.raises(NotImplementedError, match=r"not differentiable here: pass img\.detach"):
        F.hflip(image)
