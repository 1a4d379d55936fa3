"""Conversions between images, tensors and element types against torchvision's: equal to the bit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image

import tinytrain as tt
from tinytrain.tensor import wrap
from tinytrain.transforms import functional as ours

from .oracle import torch

theirs = pytest.importorskip("torchvision.transforms.functional")

RNG = np.random.default_rng(0)
DTYPES = ("uint8", "int8", "int16", "int32", "int64", "float32", "float64")
MODES = ("1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F")


def image_of(mode):
    if mode == "1":
        return Image.fromarray(RNG.integers(0, 2, (13, 17)).astype(bool))
    size = len(Image.new(mode, (1, 1)).tobytes()) * 13 * 17
    return Image.frombytes(mode, (17, 13), RNG.integers(0, 64, size, dtype=np.uint8).tobytes())


@pytest.mark.parametrize("name", ["to_tensor", "pil_to_tensor"])
@pytest.mark.parametrize("mode", MODES)
def test_images_become_the_same_tensors(name, mode):
    image = image_of(mode)
    mine, other = getattr(ours, name)(image).array, getattr(theirs, name)(image).numpy()
    assert mine.dtype == other.dtype
    assert np.array_equal(mine, other)


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 3)], ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
def test_arrays_become_the_same_tensors(shape, dtype):
    array = RNG.integers(0, 120, shape).astype(dtype)
    mine, other = ours.to_tensor(array).array, theirs.to_tensor(array).numpy()
    assert mine.dtype == other.dtype
    assert np.array_equal(mine, other)


@pytest.mark.parametrize(("source", "target"), itertools.product(DTYPES, DTYPES))
def test_element_types_are_converted_alike(source, target):
    if source.startswith("float"):
        array = RNG.uniform(0, 1, (3, 9, 9)).astype(source)
    else:
        array = RNG.integers(0, np.iinfo(source).max, (3, 9, 9), dtype=source, endpoint=True)
    calls = [
        lambda: ours.convert_image_dtype(wrap(array), getattr(tt, target)).array,
        lambda: theirs.convert_image_dtype(torch.from_numpy(array), getattr(torch, target)).numpy(),
    ]
    if (source, target) in (("float32", "int32"), ("float32", "int64"), ("float64", "int64")):
        for call in calls:
            with pytest.raises(RuntimeError, match="cannot be performed safely"):
                call()
    else:
        mine, other = (call() for call in calls)
        assert mine.dtype == other.dtype
        assert np.array_equal(mine, other)


@pytest.mark.parametrize(
    ("channels", "mode"),
    [(1, None), (1, "L"), (2, None), (3, None), (3, "YCbCr"), (3, "HSV"), (4, None), (4, "CMYK"), (4, "RGBX")],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_tensors_become_the_same_images(channels, mode, dtype):
    array = RNG.integers(0, 256, (channels, 7, 8), dtype=np.uint8)
    array = array if dtype == "uint8" else array.astype(np.float32) / 255
    mine, other = ours.to_pil_image(wrap(array), mode), theirs.to_pil_image(torch.from_numpy(array), mode)
    assert (mine.mode, mine.size, mine.tobytes()) == (other.mode, other.size, other.tobytes())


@pytest.mark.parametrize(("dtype", "mode"), [("int16", "I;16"), ("int32", "I"), ("float32", "F")])
def test_one_channel_of_more_bits_becomes_the_same_image(dtype, mode):
    array = RNG.integers(0, 30000, (1, 7, 8)).astype(dtype)
    asked = "F" if mode == "F" else None
    mine, other = ours.to_pil_image(wrap(array), asked), theirs.to_pil_image(torch.from_numpy(array), asked)
    assert (mine.mode, mine.tobytes()) == (mode, other.tobytes())


@pytest.mark.parametrize("shape", [(1, 5, 6), (3, 5, 6), (2, 3, 5, 6)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_normalisation_is_equal_to_the_bit(shape, dtype, per_channel):
    array = RNG.uniform(0, 1, shape).astype(dtype)
    count = shape[-3] if per_channel else 1
    mean, std = RNG.uniform(0, 1, count).tolist(), RNG.uniform(0.1, 1, count).tolist()
    other = theirs.normalize(torch.from_numpy(array), mean, std).numpy()
    channels_last = np.ascontiguousarray(np.moveaxis(array, -3, -1))
    assert np.array_equal(ours.normalize(wrap(array), mean, std).array, other)
    assert np.array_equal(ours.normalize(wrap(np.moveaxis(channels_last, -1, -3)), mean, std).array, other)
