"""The handwritten digits that come with tinytrain."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinytrain.datasets.idx import read_images, read_labels
from tinytrain.datasets.vision import ArrayDataset
from tinytrain.tensor import wrap

_FOLDER = Path(__file__).parent
_BRIGHTEST = 16  # of the values in the file
_TEST_EVERY = 5


class Digits(ArrayDataset):
    """1,797 handwritten digits, 8 by 8 grey (Alpaydin and Kaynak, 1998; see ATTRIBUTION.md beside this file).

    The file's values v from 0 to 16 become the grey levels round(255 v / 16). The split is fixed: of each class, in
    the file's order, every fifth image is a test image, which makes 1,442 training and 355 test images with the same
    proportions of classes.

    Args:
        root: accepted for uniformity with other sets; the images come with the package.
        train: the training images, else the test images.
        transform: takes and returns the image, a Pillow image of mode L.
        target_transform: takes and returns the label.
        download: accepted for uniformity; nothing is downloaded.

    Attributes:
        data: (n, 8, 8) uint8 tensor.
        targets: (n,) int64 tensor.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ):
        self.train = train
        images = read_images(_FOLDER / "digits-images-idx3-ubyte.gz").astype(np.uint16)
        labels = read_labels(_FOLDER / "digits-labels-idx1-ubyte.gz", num_classes=10)
        levels = ((images * 255 + _BRIGHTEST // 2) // _BRIGHTEST).astype(np.uint8)
        rows = _is_test(labels) != train
        classes = [str(digit) for digit in range(10)]
        super().__init__(wrap(levels[rows]), wrap(labels[rows]), classes, None, transform, target_transform)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


def _is_test(labels: np.ndarray) -> np.ndarray:
    """Mark every fifth of each label's occurrences."""
    is_test = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        is_test[np.flatnonzero(labels == label)[_TEST_EVERY - 1 :: _TEST_EVERY]] = True
    return is_test
