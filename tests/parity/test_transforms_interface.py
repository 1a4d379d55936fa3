"""Names, arguments, defaults, texts and refusals of the transforms against torchvision's."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
from PIL import Image

from tinytrain import transforms as ours
from tinytrain.tensor import wrap

from .oracle import torch

theirs = pytest.importorskip("torchvision.transforms")
theirs_functional = pytest.importorskip("torchvision.transforms.functional")

NOT_COMPARED = ("MixUp", "CutMix", "ReverseChannels", "AlternatingFlip")  # only in torchvision's v2, and ours alone
CLASSES = [name for name in ours.__all__ if name[0].isupper() and not name.isupper() and name not in NOT_COMPARED]
FUNCTIONS = [name for name in ours.functional.__all__ if name != "InterpolationMode"]


def plain(value):
    """Return a default so that the two libraries' can be compared: enums by value, sequences as tuples."""
    if type(value).__name__ in ("InterpolationMode", "AutoAugmentPolicy", "dtype"):
        return str(getattr(value, "value", value))
    return tuple(value) if isinstance(value, (list, tuple)) else value


def parameters(function):
    """Return (name, default) of a function's parameters."""
    return [(name, plain(each.default)) for name, each in inspect.signature(function).parameters.items()]


@pytest.mark.parametrize("name", CLASSES)
def test_transforms_have_the_same_arguments_and_defaults(name):
    if name in ("InterpolationMode", "AutoAugmentPolicy"):
        assert [each.value for each in getattr(ours, name)] == [each.value for each in getattr(theirs, name)]
    else:
        assert parameters(getattr(ours, name)) == parameters(getattr(theirs, name))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_the_same_arguments_and_defaults(name):
    assert parameters(getattr(ours.functional, name)) == parameters(getattr(theirs_functional, name))


@pytest.mark.parametrize("name", [name for name in CLASSES if hasattr(getattr(theirs, name), "get_params")])
def test_get_params_has_the_same_arguments(name):
    assert parameters(getattr(ours, name).get_params) == parameters(getattr(theirs, name).get_params)


SHOWN = [
    ("Resize", (20,), {}),
    ("Resize", ([20, 30],), {"interpolation": 3, "antialias": None}),
    ("CenterCrop", (7,), {}),
    ("CenterCrop", ((7, 8),), {}),
    ("Pad", (3,), {}),
    ("Pad", ((1, 2),), {"fill": (1, 2, 3), "padding_mode": "edge"}),
    ("RandomCrop", (5,), {"padding": 2}),
    ("RandomCrop", ((5, 6),), {}),
    ("RandomResizedCrop", (9,), {"scale": (0.12345, 1.0), "interpolation": 0}),
    ("FiveCrop", (3,), {}),
    ("TenCrop", (3,), {"vertical_flip": True}),
    ("RandomHorizontalFlip", (), {}),
    ("RandomVerticalFlip", (0.3,), {}),
    ("Normalize", ([0.1], (0.2,)), {}),
    ("ToTensor", (), {}),
    ("PILToTensor", (), {}),
    ("ToPILImage", (), {}),
    ("ToPILImage", ("RGB",), {}),
    ("ColorJitter", (), {}),
    ("ColorJitter", (0.5, (0.2, 0.9), 2, 0.1), {}),
    ("Grayscale", (3,), {}),
    ("RandomGrayscale", (), {}),
    ("RandomRotation", (30,), {}),
    ("RandomRotation", ((-5, 60),), {"center": (1, 2), "expand": True, "fill": 7}),
    ("RandomAffine", (10,), {}),
    (
        "RandomAffine",
        (10, (0.1, 0.2), (0.5, 2), (1, 2, 3, 4)),
        {"interpolation": 2, "fill": 3, "center": (0, 0)},
    ),
    ("RandomPerspective", (), {}),
    ("GaussianBlur", (3,), {}),
    ("GaussianBlur", ((3, 5), 0.5), {}),
    ("RandomErasing", (), {}),
    ("RandomErasing", (1, (0.1, 0.2)), {"value": "random"}),
    ("RandomInvert", (), {}),
    ("RandomPosterize", (3,), {}),
    ("RandomSolarize", (3,), {}),
    ("RandomAdjustSharpness", (3,), {}),
    ("RandomAutocontrast", (), {}),
    ("RandomEqualize", (0.1,), {}),
    ("AutoAugment", (), {}),
    ("RandAugment", (), {}),
    ("TrivialAugmentWide", (), {"fill": 3}),
    ("AugMix", (), {}),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), SHOWN, ids=str)
def test_transforms_print_the_same(name, args, kwargs):
    assert repr(getattr(ours, name)(*args, **kwargs)) == repr(getattr(theirs, name)(*args, **kwargs))


@pytest.mark.parametrize("name", ["Compose", "RandomApply", "RandomChoice", "RandomOrder"])
def test_transforms_of_transforms_print_the_same(name):
    built = [
        repr(getattr(module, name)([module.ToTensor(), module.Normalize([0.5], [0.5])])) for module in (ours, theirs)
    ]
    assert built[0] == built[1]


REFUSED = [
    ("Resize", (8.5,), TypeError),
    ("Resize", ((1, 2, 3),), ValueError),
    ("CenterCrop", ((1, 2, 3),), ValueError),
    ("Pad", ("2",), TypeError),
    ("Pad", ((1, 2, 3),), ValueError),
    ("Pad", (1, "red"), TypeError),
    ("Pad", (1, 0, "mirror"), ValueError),
    ("RandomCrop", ((1, 2, 3),), ValueError),
    ("RandomResizedCrop", (8, 0.5), TypeError),
    ("RandomResizedCrop", (8, (0.5, 1), 1), TypeError),
    ("RandomRotation", (-3,), ValueError),
    ("RandomRotation", ((1, 2, 3),), ValueError),
    ("RandomRotation", (3, 0, False, 5), TypeError),
    ("RandomRotation", (3, 0, False, None, {}), TypeError),
    ("RandomAffine", (3, (0.5,)), ValueError),
    ("RandomAffine", (3, (0.5, 1.5)), ValueError),
    ("RandomAffine", (3, None, (0, 1)), ValueError),
    ("RandomAffine", (3, None, None, (1, 2, 3)), ValueError),
    ("RandomAffine", (3, None, None, -1), ValueError),
    ("RandomPerspective", (0.5, 0.5, 2, {}), TypeError),
    ("ColorJitter", (-1,), ValueError),
    ("ColorJitter", ("much",), TypeError),
    ("ColorJitter", ((0.5, 0.2),), ValueError),
    ("ColorJitter", (0, 0, 0, 0.6), ValueError),
    ("GaussianBlur", (2,), ValueError),
    ("GaussianBlur", ((1, 2, 3),), ValueError),
    ("GaussianBlur", (3, 0), ValueError),
    ("GaussianBlur", (3, (2, 1)), ValueError),
    ("GaussianBlur", (3, "wide"), ValueError),
    ("RandomErasing", (0.5, (0.02, 0.33), (0.3, 3.3), "black"), ValueError),
    ("RandomErasing", (0.5, (0.02, 0.33), (0.3, 3.3), {}), TypeError),
    ("RandomErasing", (1.5,), ValueError),
    ("RandomErasing", (0.5, (0.1, 1.3)), ValueError),
    ("RandomErasing", (0.5, 0.1), TypeError),
    ("RandomOrder", (3,), TypeError),
    ("RandomChoice", ([abs], 3), TypeError),
    ("Lambda", (3,), TypeError),
    ("AutoAugment", ("mnist",), ValueError),
    ("AugMix", (11,), ValueError),
]


@pytest.mark.parametrize(("name", "args", "error"), REFUSED, ids=str)
def test_unfit_arguments_are_refused_with_the_same_error(name, args, error):
    with pytest.raises(error) as theirs_raised:
        getattr(theirs, name)(*args)
    with pytest.raises(error) as ours_raised:
        getattr(ours, name)(*args)
    if name != "AutoAugment":
        assert str(ours_raised.value).split("<")[0] == str(theirs_raised.value).split("<")[0]


COLOUR = Image.new("RGB", (9, 7))
CALLS = [
    ("to_tensor", ("no image",), TypeError),
    ("to_tensor", (np.zeros(3),), ValueError),
    ("pil_to_tensor", (np.zeros((3, 3)),), TypeError),
    ("to_pil_image", (COLOUR,), TypeError),
    ("to_pil_image", (np.zeros((2, 2, 5), np.uint8),), ValueError),
    ("to_pil_image", (np.zeros((2, 2, 3), np.uint8), "L"), ValueError),
    ("to_pil_image", (np.zeros((2, 2), np.int64),), TypeError),
    ("to_pil_image", (np.zeros((2, 2), np.uint8), "F"), ValueError),
    ("normalize", (COLOUR, [0.5], [0.5]), TypeError),
    ("convert_image_dtype", (COLOUR,), TypeError),
    ("erase", (COLOUR, 0, 0, 1, 1, 0), TypeError),
    ("resize", (COLOUR, (1, 2, 3)), ValueError),
    ("resize", (COLOUR, (4, 5), 2, 8), ValueError),
    ("resize", (COLOUR, 8, 2, 8), ValueError),
    ("resize", (COLOUR, 8, None), TypeError),
    ("five_crop", (COLOUR, 8), ValueError),
    ("ten_crop", (COLOUR, (1, 2, 3)), ValueError),
    ("pad", (COLOUR, (1, 2, 3)), ValueError),
    ("pad", (COLOUR, 1, (1, 2)), ValueError),
    ("rotate", (COLOUR, "10"), TypeError),
    ("affine", (COLOUR, 0, 3, 1, 0), TypeError),
    ("affine", (COLOUR, 0, (1, 2, 3), 1, 0), ValueError),
    ("affine", (COLOUR, 0, (1, 2), 0, 0), ValueError),
    ("affine", (COLOUR, 0, (1, 2), 1, (1, 2, 3)), ValueError),
    ("affine", (COLOUR, 0, (1, 2), 1, "much"), TypeError),
    ("perspective", (COLOUR, [[0, 0]], [[0, 0]]), ValueError),
    ("adjust_hue", (COLOUR, 0.6), ValueError),
    ("adjust_gamma", (COLOUR, -1), ValueError),
    ("gaussian_blur", (COLOUR, 2), ValueError),
    ("gaussian_blur", (COLOUR, "3"), TypeError),
    ("gaussian_blur", (COLOUR, 3, -1), ValueError),
    ("posterize", (COLOUR, 9), ValueError),
    ("to_grayscale", (np.zeros(3),), TypeError),
    ("rgb_to_grayscale", (COLOUR, 2), ValueError),
]


@pytest.mark.parametrize(("name", "args", "error"), CALLS, ids=str)
def test_unfit_calls_are_refused_with_the_same_error(name, args, error):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for functional in (theirs_functional, ours.functional):
            with pytest.raises(error):
                getattr(functional, name)(*args)


TENSOR_CALLS = [
    ("normalize", np.zeros((3, 2, 2), np.uint8), ([0.5], [0.5]), TypeError),
    ("normalize", np.zeros((2, 2), np.float32), ([0.5], [0.5]), ValueError),
    ("normalize", np.zeros((3, 2, 2), np.float32), ([0.5], [0.0]), ValueError),
    ("normalize", np.zeros((3, 2, 2), np.float32), ([0.5, 0.5], [1.0]), RuntimeError),
    ("normalize", np.zeros((1, 2, 2), np.float32), ([0.5] * 3, [1.0]), RuntimeError),
    ("hflip", np.zeros(3, np.float32), (), TypeError),
    ("rgb_to_grayscale", np.zeros((2, 4, 4), np.float32), (), TypeError),
    ("rotate", np.zeros((3, 4, 4), np.float32), (10, 3), ValueError),
    ("rotate", np.zeros((3, 4, 4), np.float32), (10, 0, False, None, [1.0, 2.0]), ValueError),
    ("adjust_brightness", np.zeros((3, 4, 4), np.float32), (-1,), ValueError),
    ("adjust_sharpness", np.zeros((3, 4, 4), np.float32), (-1,), ValueError),
    ("posterize", np.zeros((3, 4, 4), np.float32), (4,), TypeError),
    ("equalize", np.zeros((3, 4, 4), np.float32), (), TypeError),
    ("solarize", np.zeros((3, 4, 4), np.float32), (2.0,), TypeError),
]


@pytest.mark.parametrize(("name", "array", "args", "error"), TENSOR_CALLS, ids=str)
def test_unfit_tensors_are_refused_with_the_same_error(name, array, args, error):
    with pytest.raises(error):
        getattr(theirs_functional, name)(torch.from_numpy(array), *args)
    with pytest.raises(error):
        getattr(ours.functional, name)(wrap(array), *args)
