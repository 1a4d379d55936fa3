"""What pixel values become, with values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tinytrain import transforms as T
from tinytrain.tensor import wrap
from tinytrain.transforms import functional as F
from tinytrain.transforms.operations import apply_operation, strength_table
from tinytrain.transforms.policies import POLICIES


def image(*pixels, dtype=np.uint8):
    """Return an image (3, 1, n) of RGB pixels, or (1, 1, n) of grey ones."""
    array = np.array(pixels, dtype)
    return wrap((array[:, None] if array.ndim == 1 else array).T[:, None])


def pixels(img):
    return img.array[:, 0].T.tolist()


def test_brightness_multiplies_and_clips():
    assert pixels(F.adjust_brightness(image([10, 100, 200]), 1.5)) == [[15, 150, 255]]


def test_contrast_moves_away_from_the_mean_grey():
    assert pixels(F.adjust_contrast(image(100, 200), 0.5)) == [[125], [175]]
    assert pixels(F.adjust_contrast(image(100, 200), 0.0)) == [[150], [150]]


def test_saturation_moves_away_from_grey():
    grey = int(0.2989 * 200 + 0.587 * 100 + 0.114 * 50)
    assert pixels(F.adjust_saturation(image([200, 100, 50]), 0.0)) == [[grey] * 3]
    assert pixels(F.adjust_saturation(image([200, 100, 50]), 1.0)) == [[200, 100, 50]]


def test_hue_turns_the_colour_circle_by_thirds():
    red = image([1.0, 0.0, 0.0], dtype=np.float32)
    assert np.allclose(pixels(F.adjust_hue(red, 1 / 3)), [[0, 1, 0]], atol=1e-5)
    assert np.allclose(pixels(F.adjust_hue(red, -1 / 3)), [[0, 0, 1]], atol=1e-5)


def test_grey_images_have_no_hue():
    grey = image(1, 2)
    assert F.adjust_hue(grey, 0.3) is grey


def test_gamma_is_a_power_of_values_from_zero_to_one():
    assert np.allclose(pixels(F.adjust_gamma(image(0.25, 1.0, dtype=np.float32), 0.5, 1.2)), [[0.6], [1.0]])


def test_grey_weighs_the_channels():
    assert pixels(F.rgb_to_grayscale(image([255, 0, 0], [0, 255, 0], [0, 0, 255]))) == [[76], [149], [29]]
    assert pixels(F.rgb_to_grayscale(image([0, 255, 0]), 3)) == [[149, 149, 149]]


def test_one_grey_channel_becomes_three():
    assert pixels(F.rgb_to_grayscale(image(7), 3)) == [[7, 7, 7]]


def test_invert_solarize_and_posterize():
    assert pixels(F.invert(image(0, 100))) == [[255], [155]]
    assert pixels(F.invert(image(0.25, dtype=np.float32))) == [[0.75]]
    assert pixels(F.solarize(image(99, 100), 100)) == [[99], [155]]
    assert pixels(F.posterize(image(255, 100), 2)) == [[192], [64]]
    assert pixels(F.posterize(image(255), 0)) == [[0]]


def test_autocontrast_stretches_to_the_full_range_and_leaves_flat_channels():
    assert pixels(F.autocontrast(image([50, 9, 0], [60, 9, 255], [70, 9, 0]))) == [
        [0, 9, 0],
        [127, 9, 255],
        [255, 9, 0],
    ]


def test_equalize_spreads_a_histogram_as_pillow_does():
    array = np.random.default_rng(0).normal(90, 12, (40, 50)).clip(0, 255).astype(np.uint8)
    assert np.array_equal(F.equalize(wrap(array[None])).array[0], np.asarray(F.equalize(Image.fromarray(array))))


def test_sharpness_zero_is_the_weighted_mean_of_the_neighbours():
    array = np.zeros((1, 3, 3), np.uint8)
    array[0, 1, 1] = 130  # 5 / 13 of it stay
    assert F.adjust_sharpness(wrap(array), 0.0).array[0].tolist() == [[0, 0, 0], [0, 50, 0], [0, 0, 0]]


def test_blur_spreads_a_point_by_the_gaussian_and_mirrors_the_border():
    array = np.zeros((1, 5, 5), np.float32)
    array[0, 2, 2] = 1
    weights = np.exp(-0.5 * np.array([-1, 0, 1]) ** 2)
    expected = np.zeros((5, 5))
    expected[1:4, 1:4] = np.outer(weights, weights) / weights.sum() ** 2
    assert np.allclose(F.gaussian_blur(wrap(array), 3, 1.0).array[0], expected, atol=1e-6)
    flat = wrap(np.full((1, 4, 4), 77, np.uint8))
    assert np.array_equal(F.gaussian_blur(flat, 7, 2.0).array, flat.array)


def test_erase_overwrites_a_box_and_in_place_on_request():
    img = wrap(np.zeros((2, 3, 3), np.float32))
    erased = F.erase(img, 1, 0, 2, 1, np.array([1.0, 2.0]).reshape(2, 1, 1))
    assert erased.array[1].tolist() == [[0, 0, 0], [2, 0, 0], [2, 0, 0]]
    assert img.array.sum() == 0
    assert F.erase(img, 0, 0, 1, 1, 5.0, inplace=True) is img
    assert img.array[:, 0, 0].tolist() == [5.0, 5.0]


@pytest.mark.parametrize(
    ("name", "strength", "expected"),
    [
        ("Identity", 0.0, [[10, 20, 30]]),
        ("Brightness", 0.5, [[15, 30, 45]]),
        ("Invert", 0.0, [[245, 235, 225]]),
        ("Solarize", 25.0, [[10, 20, 225]]),
        ("Posterize", 4.0, [[0, 16, 16]]),
    ],
)
def test_automatic_operations_are_the_named_ones(name, strength, expected):
    mode = T.InterpolationMode.NEAREST
    assert pixels(apply_operation(image([10, 20, 30]), name, strength, mode, None)) == expected


def test_an_unknown_operation_is_refused():
    with pytest.raises(ValueError, match="The provided operator Melt is not recognized"):
        apply_operation(image(1), "Melt", 0.0, T.InterpolationMode.NEAREST, None)


def test_strengths_go_from_none_to_the_strongest():
    table = strength_table(31, translate=(100.0, 50.0))
    assert table["Rotate"].values[[0, 9, 30]].tolist() == pytest.approx([0.0, 9.0, 30.0])
    assert table["TranslateY"].values[30] == 50.0
    assert table["Solarize"].values[[0, 30]].tolist() == [255.0, 0.0]
    assert table["Posterize"].values[[0, 9, 30]].tolist() == [8.0, 7.0, 4.0]
    assert table["Equalize"].values is None


def test_rand_augment_refuses_a_magnitude_without_a_bin():
    with pytest.raises(ValueError, match=r"`magnitude` \(=31\) must be one of 31 bins"):
        T.RandAugment(magnitude=31)


def test_every_policy_is_25_pairs_of_known_operations():
    known = {*strength_table(10, translate=(1.0, 1.0)), "Invert"}
    for policy in POLICIES.values():
        assert len(policy) == 25
        assert {name for pair in policy for name, _, _ in pair} <= known
