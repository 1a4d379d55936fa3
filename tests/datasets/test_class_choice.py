"""A data set reduced to some of its classes."""

from __future__ import annotations

import numpy as np
import pytest

from tinytrain.datasets import Digits
from tinytrain.datasets.catalog import load_splits
from tinytrain.datasets.class_choice import ClassChoice
from tinytrain.errors import ConfigError
from tinytrain.transforms import ToTensor


def test_the_classes_are_numbered_in_the_order_of_their_names():
    whole = Digits()
    chosen = ClassChoice(whole, ["7", "3"])
    rows = np.flatnonzero(np.isin(whole.targets.numpy(), [3, 7]))
    assert len(chosen) == len(rows)
    assert chosen.targets == [{7: 0, 3: 1}[whole[int(row)][1]] for row in rows]
    image, label = chosen[5]
    assert label == chosen.targets[5]
    assert np.array_equal(np.asarray(image), np.asarray(whole[int(rows[5])][0]))


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
    ],
)
def test_classes_that_are_not_there_are_refused(classes: list[str], message: str):
    with pytest.raises(ConfigError) as caught:
        load_splits("digits", keep_classes=classes)
    assert str(caught.value).startswith(message)
