"""Ranges and types: 8 bits become 0 to 1, more bits stay what they are, and normalisation refuses what it cannot do."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import tinytrain as tt
from tinytrain import transforms as T
from tinytrain.tensor import wrap
from tinytrain.transforms import functional as F

SIXTEEN = np.array([[0, 255, 256], [32768, 65534, 65535]], np.uint16)


def sixteen_bits(mode="I;16"):
    order = ">u2" if mode == "I;16B" else "<u2"
    return Image.frombytes(mode, (3, 2), SIXTEEN.astype(order).tobytes())


def test_to_tensor_scales_bytes_to_one_and_puts_channels_first():
    pixels = np.array([[[0, 51, 255], [1, 2, 3]]], np.uint8)
    tensor = F.to_tensor(Image.fromarray(pixels))
    assert tensor.dtype is tt.float32
    assert tensor.shape == (3, 1, 2)
    assert tensor.array[:, 0, 0].tolist() == [0.0, np.float32(0.2), 1.0]
    assert np.array_equal(F.to_tensor(pixels).array, tensor.array)


def test_to_tensor_gives_black_and_white_as_zero_and_one():
    assert F.to_tensor(Image.fromarray(np.array([[True, False]]))).array.tolist() == [[[1.0, 0.0]]]


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
@pytest.mark.parametrize("convert", [F.to_tensor, F.pil_to_tensor])
def test_sixteen_bits_keep_their_range(mode, convert):
    tensor = convert(sixteen_bits(mode))
    assert tensor.dtype is tt.int32
    assert np.array_equal(tensor.array[0], SIXTEEN)
    assert np.array_equal(F.to_tensor(SIXTEEN).array[0], SIXTEEN)


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
@pytest.mark.parametrize(
    "operation",
    [
        lambda img: F.resize(img, (40, 60)),
        lambda img: F.rotate(img, 20, "bilinear", fill=30000),
        lambda img: F.affine(img, 5, (1, 1), 1.1, 3, "bilinear", fill=30000),
        lambda img: F.perspective(img, [[0, 0], [29, 0], [29, 19], [0, 19]], [[1, 1], [28, 0], [29, 19], [0, 18]]),
        lambda img: F.gaussian_blur(img, 3),
    ],
    ids=["resize", "rotate", "affine", "perspective", "blur"],
)
def test_sixteen_bits_are_interpolated_by_value(mode, operation):
    ramp = (np.arange(600).reshape(20, 30) * 100).astype(np.uint16)  # Pillow itself would mix the bytes
    image = Image.frombytes(mode, (30, 20), ramp.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    wide = np.asarray(operation(image.convert("I")), np.int64)
    narrow = operation(image)
    assert narrow.mode == mode
    assert np.abs(wide - np.asarray(narrow, np.int64)).max() <= 1


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_grey_images_of_more_than_eight_bits_stay_as_they_are_in_grey(mode):
    image = Image.new(mode, (2, 2), 3000)
    assert F.rgb_to_grayscale(image) is image


def test_colour_operations_refuse_to_clip_sixteen_bits():
    with pytest.raises(ValueError, match="adjust_gamma takes images of 8 bits, got Pillow mode I;16"):
        F.adjust_gamma(sixteen_bits(), 0.5)


def test_modes_i_and_f_keep_their_values():
    assert F.to_tensor(Image.fromarray(np.array([[-5, 2**31 - 1]], np.int32))).array.tolist() == [[[-5, 2**31 - 1]]]
    assert F.to_tensor(Image.fromarray(np.array([[-0.5, 7.25]], np.float32))).array.tolist() == [[[-0.5, 7.25]]]


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"])
def test_an_image_survives_the_way_to_a_tensor_and_back(mode):
    size = len(Image.new(mode, (1, 1)).tobytes()) * 6
    image = Image.frombytes(mode, (3, 2), bytes(range(size)))
    back = T.ToPILImage(mode)(T.PILToTensor()(image))
    assert (back.mode, back.tobytes()) == (mode, image.tobytes())


def test_floats_become_bytes_by_cutting_and_are_clipped():
    image = F.to_pil_image(wrap(np.array([[0.0, 0.999, 1.0, 1.5, -0.2]], np.float32)))
    assert list(image.tobytes()) == [0, 254, 255, 255, 0]


def test_values_that_do_not_fit_sixteen_bits_are_refused():
    with pytest.raises(ValueError, match="mode I;16 holds 0 to 65535, got -1 to 0"):
        F.to_pil_image(np.array([[-1, 0]], np.int16))


@pytest.mark.parametrize(
    ("source", "dtype", "expected"),
    [
        (np.array([0, 128, 255], np.uint8), "float32", [0.0, np.float32(128) / np.float32(255), 1.0]),
        (np.array([0.0, 0.5, 1.0], np.float32), "uint8", [0, 127, 255]),
        (np.array([1, 255], np.uint8), "int16", [128, 255 * 128]),
        (np.array([32767, 127], np.int16), "uint8", [255, 0]),
        (np.array([0.25, 1.0], np.float64), "float32", [0.25, 1.0]),
    ],
)
def test_element_types_are_converted_from_full_range_to_full_range(source, dtype, expected):
    converted = T.ConvertImageDtype(dtype)(wrap(source.reshape(1, 1, -1)))
    assert converted.dtype.name == dtype
    assert converted.array.ravel().tolist() == expected


def test_a_float_that_cannot_hold_the_integers_is_refused():
    with pytest.raises(RuntimeError, match=r"The cast from torch.float32 to torch.int32 cannot be performed safely"):
        F.convert_image_dtype(wrap(np.zeros((1, 1, 1), np.float32)), tt.int32)


@pytest.mark.parametrize("order", ["C", "channels last"])
def test_normalize_subtracts_the_mean_and_divides_by_the_deviation(order):
    array = np.array([[[3.0]], [[5.0]]], np.float32)
    array = array if order == "C" else np.ascontiguousarray(array.transpose(1, 2, 0)).transpose(2, 0, 1)
    image = wrap(array)
    result = T.Normalize([1.0, 2.0], [2.0, 4.0])(image)
    assert result.array.ravel().tolist() == [1.0, 0.75]
    assert image.array.ravel().tolist() == [3.0, 5.0]


def test_normalize_in_place_changes_and_returns_the_tensor():
    image = wrap(np.array([[[3.0]]], np.float32))
    assert T.Normalize(1.0, 2.0, inplace=True)(image) is image
    assert image.array.item() == 1.0


def test_normalize_passes_gradients():
    image = wrap(np.ones((2, 1, 1), np.float32)).requires_grad_()
    F.normalize(image, [0.0], [2.0, 4.0]).backward(wrap(np.ones((2, 1, 1), np.float32)))
    assert image.grad.array.ravel().tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("image", "mean", "std", "error", "text"),
    [
        (Image.new("L", (1, 1)), 0.5, 0.5, TypeError, "ToTensor comes before Normalize"),
        (wrap(np.zeros((1, 1, 1), np.uint8)), 0.5, 0.5, TypeError, "Got torch.uint8. ToTensor or ConvertImageDtype"),
        (wrap(np.zeros((1, 1), np.float32)), 0.5, 0.5, ValueError, r"size \(..., C, H, W\)"),
        (wrap(np.zeros((3, 1, 1), np.float32)), 0.5, [1, 0, 1], ValueError, "std evaluated to zero"),
        (wrap(np.zeros((3, 1, 1), np.float32)), [1, 2], 1, RuntimeError, "`mean` has 2 values for .* 3 channels"),
        (wrap(np.zeros((1, 1, 1), np.float32)), 1, [1, 1, 1], RuntimeError, "`std` has 3 values for .* 1 channels"),
    ],
)
def test_normalize_refuses_what_it_cannot_do(image, mean, std, error, text):
    with pytest.raises(error, match=text):
        F.normalize(image, mean, std)


def test_composed_conversion_and_normalisation_equal_the_steps_one_by_one():
    image = Image.frombytes("RGB", (4, 3), bytes(range(36)))
    steps = T.ToTensor(), T.Normalize([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    assert np.array_equal(T.Compose(steps)(image).array, steps[1](steps[0](image)).array)


def test_composed_normalisation_of_a_tensor_leaves_it_alone():
    image = wrap(np.ones((3, 2, 2), np.float32))
    T.Compose([T.Normalize(0.5, 0.5)])(image)
    assert (image.array == 1).all()


def test_reversed_channels_are_blue_green_red():
    image = tt.tensor([[[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]]])
    assert T.ReverseChannels()(image).tolist() == [[[5.0, 6.0]], [[3.0, 4.0]], [[1.0, 2.0]]]
    assert image.tolist() == [[[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]]]


def test_caffes_preprocessing_can_be_said_in_a_config():
    caffe = T.build_pipeline(
        [
            "ToTensor",
            "ReverseChannels",
            {"Normalize": {"mean": [104 / 255, 117 / 255, 123 / 255], "std": [1 / 255, 1 / 255, 1 / 255]}},
        ]
    )
    found = caffe(Image.new("RGB", (1, 1), (10, 20, 30)))
    np.testing.assert_allclose(found.numpy().ravel(), [30 - 104, 20 - 117, 10 - 123], atol=1e-3)
