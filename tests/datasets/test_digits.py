"""The bundled digits: the known set, a fixed split."""

from pathlib import Path

import numpy as np

import tinytrain.datasets.digits
from tinytrain.datasets import Digits


def test_the_split_is_fixed_and_stratified():
    train, test = Digits(), Digits(train=False)
    assert (len(train), len(test)) == (1442, 355)
    per_class = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # scikit-learn's description of the set
    assert np.bincount(test.targets.numpy()).tolist() == [count // 5 for count in per_class]
    assert (np.bincount(train.targets.numpy()) + np.bincount(test.targets.numpy())).tolist() == per_class


def test_the_first_image_is_the_well_known_zero_in_grey_levels():
    rows = [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0]]  # sklearn.datasets.load_digits().images[0][:2]
    image, label = Digits()[0]
    assert (image.mode, image.size, label) == ("L", (8, 8), 0)
    assert np.asarray(image)[:2].tolist() == [[round(255 * v / 16) for v in row] for row in rows]


def test_the_authors_are_named_beside_the_files():
    text = Path(tinytrain.datasets.digits.__file__).with_name("ATTRIBUTION.md").read_text(encoding="utf-8")
    assert all(words in text for words in ("Alpaydin", "Kaynak", "CC BY 4.0", "UCI"))
