"""A data set reduced to some of its classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinytrain.datasets import Digits, ImageFolder
from tinytrain.datasets.catalog import load_splits
from tinytrain.datasets.class_choice import reduce_to_classes
from tinytrain.errors import ConfigError
from tinytrain.transforms import ToTensor


def test_the_classes_are_numbered_in_the_order_of_their_names():
    whole = Digits()
    chosen = reduce_to_classes(whole, ["7", "3"])
    rows = np.flatnonzero(np.isin(whole.targets.numpy(), [3, 7]))
    assert len(chosen) == len(rows)
    assert chosen.targets.tolist() == [{7: 0, 3: 1}[whole[int(row)][1]] for row in rows]
    image, label = chosen[5]
    assert label == chosen.targets[5].item()
    assert np.array_equal(np.asarray(image), np.asarray(whole[int(rows[5])][0]))


def test_a_folder_keeps_the_files_of_its_classes(tmp_path: Path):
    for name in ("elm", "fir", "oak"):
        (tmp_path / name).mkdir()
        Image.new("L", (2, 2)).save(tmp_path / name / "a.png")
    chosen = reduce_to_classes(ImageFolder(tmp_path), ["oak", "elm"])
    assert chosen.samples == [(str(tmp_path / "elm" / "a.png"), 1), (str(tmp_path / "oak" / "a.png"), 0)]
    assert chosen.imgs == chosen.samples
    assert chosen.targets == [1, 0]
    assert chosen.class_to_idx == {"oak": 0, "elm": 1}
    assert chosen[1][1] == 0


def test_every_split_has_the_classes_and_its_transform():
    splits = load_splits("digits", train_transform=ToTensor(), eval_transform=ToTensor(), keep_classes=["1", "0"])
    assert splits.classes == ["1", "0"]
    for part in (splits.train, splits.val, splits.test):
        image, label = part[0]
        assert image.shape == (1, 8, 8)
        assert label in (0, 1)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["1", "ten"], "there is no class 'ten'. Known: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        (["1", "1"], "a class is named twi"),
        (["1"], "two classes are needed to tell apart, got 1. Known: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        ([], "two classes are needed to tell apart, got 0. Known: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        (["x"], "there is no class 'x'. Known: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
    ],
)
def test_classes_that_are_not_there_are_refused(classes: list[str], message: str):
    with pytest.raises(ConfigError) as caught:
        load_splits("digits", keep_classes=classes)
    assert str(caught.value).startswith(message)
