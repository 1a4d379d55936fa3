"""`make_grid` and `save_image` against torchvision's: equal to the bit."""

from __future__ import annotations

import io

import numpy as np
import pytest

from tinytrain.tensor import wrap
from tinytrain.utils import make_grid, save_image

from .oracle import torch

tv = pytest.importorskip("torchvision.utils")

OPTIONS = [
    {},
    {"nrow": 3},
    {"nrow": 1, "padding": 0},
    {"padding": 5, "pad_value": 0.7},
    {"normalize": True},
    {"normalize": True, "value_range": (-0.5, 1.25)},
    {"normalize": True, "scale_each": True},
    {"normalize": True, "scale_each": True, "value_range": (0.1, 0.3), "nrow": 4},
]
SHAPES = [(7, 5), (1, 7, 5), (3, 7, 5), (1, 3, 4, 6), (1, 1, 4, 6), (5, 1, 9, 2), (12, 3, 6, 6), (3, 2, 4, 5)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_make_grid_is_equal_to_the_bit(shape, options):
    array = np.random.default_rng(len(shape)).normal(0.4, 0.6, shape).astype(np.float32)
    ours, theirs = wrap(array), torch.from_numpy(array.copy())
    assert np.array_equal(make_grid(ours, **options).array, tv.make_grid(theirs, **options).numpy())


@pytest.mark.parametrize("shape", [(3, 8, 9), (6, 3, 8, 9), (4, 1, 5, 5)], ids=str)
def test_save_image_writes_the_same_bytes(shape):
    array = np.random.default_rng(1).uniform(-0.2, 1.2, shape).astype(np.float32)
    ours, theirs = wrap(array), torch.from_numpy(array.copy())
    files = io.BytesIO(), io.BytesIO()
    save_image(ours, files[0], format="png", nrow=4)
    tv.save_image(theirs, files[1], format="png", nrow=4)
    assert files[0].getvalue() == files[1].getvalue()


def test_lists_of_images_are_stacked():
    array = np.random.default_rng(2).uniform(size=(5, 3, 4, 4)).astype(np.float32)
    ours = make_grid([wrap(each) for each in array])
    theirs = tv.make_grid([torch.from_numpy(each) for each in array])
    assert np.array_equal(ours.array, theirs.numpy())
