"""Automatic augmentation against torchvision's: the same operations, strengths and policies."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tinytrain import transforms as ours
from tinytrain.tensor import wrap
from tinytrain.transforms.operations import Strengths, apply_operation, strength_table
from tinytrain.transforms.policies import POLICIES

from .oracle import torch

autoaugment = pytest.importorskip("torchvision.transforms.autoaugment")

WIDTH, HEIGHT = 45, 37
TABLES = {
    "AutoAugment": lambda: (
        strength_table(10, translate=(150 / 331 * WIDTH, 150 / 331 * HEIGHT)) | {"Invert": Strengths()}
    ),
    "RandAugment": lambda: (
        {"Identity": Strengths()} | strength_table(31, translate=(150 / 331 * WIDTH, 150 / 331 * HEIGHT))
    ),
    "TrivialAugmentWide": lambda: (
        {"Identity": Strengths()}
        | strength_table(31, translate=(32, 32), shear=0.99, rotate=135, change=0.99, bits=(8, 6))
    ),
    "AugMix": lambda: strength_table(10, translate=(WIDTH / 3, HEIGHT / 3), bits=(4, 4)),
}


@pytest.mark.parametrize("name", TABLES)
def test_strengths_are_the_same(name):
    bins = {"AutoAugment": 10, "AugMix": 10}.get(name, 31)
    size = () if name == "TrivialAugmentWide" else ((HEIGHT, WIDTH),)
    theirs = getattr(autoaugment, name)()._augmentation_space(bins, *size)
    table = TABLES[name]()
    assert table.keys() == theirs.keys()
    for operation, (values, signed) in theirs.items():
        assert table[operation].signed == signed
        if values.ndim == 0:
            assert table[operation].values is None
        else:
            assert np.allclose(table[operation].values, values.numpy(), atol=1e-5)


def test_policies_are_the_same():
    for policy, pairs in POLICIES.items():
        assert list(pairs) == autoaugment.AutoAugment(autoaugment.AutoAugmentPolicy(policy.value)).policies


STRENGTHS = [
    (name, s) for name, kind in TABLES["AutoAugment"]().items() for s in ([0.0] if kind.values is None else kind.values)
]


@pytest.mark.parametrize("interpolation", ["NEAREST", "BILINEAR"])
@pytest.mark.parametrize("fill", [None, [10.0, 200.0, 30.0]], ids=str)
def test_operations_are_the_same(interpolation, fill):
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    mode, their_mode = ours.InterpolationMode[interpolation], autoaugment.InterpolationMode[interpolation]
    for name, strength in STRENGTHS:
        strength = float(strength)
        theirs = autoaugment._apply_op(image, name, strength, their_mode, fill)
        assert np.array_equal(np.asarray(apply_operation(image, name, strength, mode, fill)), np.asarray(theirs)), name
        theirs = autoaugment._apply_op(torch.from_numpy(planes), name, strength, their_mode, fill).numpy()
        mine = apply_operation(wrap(planes), name, strength, mode, fill).array
        wrong = np.abs(mine.astype(np.int16) - theirs) > 1
        assert wrong.mean() <= (2e-3 if interpolation == "NEAREST" else 0), (name, strength, wrong.mean())
