"""The samples of a split can be traced to their data set, however deep a subset they are in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinytrain.datasets import ArrayDataset, ImageFolder
from tinytrain.datasets.samples import identity_of, labels_of, sample_name, transform_of, untransformed
from tinytrain.ops.creation import tensor
from tinytrain.transforms import ToTensor
from tinytrain.utils.data import Subset

LABELS = [2, 0, 1, 1]


@pytest.fixture(params=["list", "tensor"])
def nested(request: pytest.FixtureRequest) -> Subset:
    """Return samples 3 and 1 of four grey images whose only pixel is their number, as a subset of a subset."""
    images = np.arange(4, dtype=np.uint8).reshape(4, 1, 1)
    labels = LABELS if request.param == "list" else tensor(LABELS)
    return Subset(Subset(ArrayDataset(images, labels, "abc", transform=ToTensor()), [1, 2, 3]), [2, 0])


def test_samples_can_be_had_as_they_are_read(nested: Subset):
    plain = untransformed(nested)
    assert [(np.asarray(image).item(), label) for image, label in (plain[0], plain[1])] == [(3, 1), (1, 0)]
    assert tuple(nested[0][0].shape) == (1, 1, 1)  # the split itself keeps its transform


def test_labels_are_those_of_the_subset(nested: Subset):
    assert labels_of(nested).tolist() == [1, 0]
    assert labels_of(nested).dtype == np.int64


def test_the_transform_is_that_of_the_set_below(nested: Subset):
    assert isinstance(transform_of(nested), ToTensor)


def test_images_in_memory_are_called_by_their_number_in_the_set(nested: Subset):
    assert [sample_name(nested, i) for i in range(2)] == ["number 3", "number 1"]


def test_images_in_memory_are_known_by_their_pixels(nested: Subset):
    images = np.arange(4, dtype=np.uint8).reshape(4, 1, 1)
    again = ArrayDataset(images[[3, 1]], [1, 0], "abc")
    assert identity_of(nested) == identity_of(again)
    others = [images[[1, 3]], images[[3]], images[[3, 1]].reshape(1, 2, 1), images[[3, 2]]]
    assert len({identity_of(ArrayDataset(each, [0] * len(each), "abc")) for each in [*others, images[[3, 1]]]}) == 5


def test_files_are_called_by_their_path_below_the_root(tmp_path: Path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (1, 1)).save(tmp_path / name / "0.png")
    assert sample_name(Subset(ImageFolder(tmp_path), [1]), 0) == str(Path("dog", "0.png"))
