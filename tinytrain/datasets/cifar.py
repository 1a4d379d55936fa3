"""CIFAR-10 and CIFAR-100, from their Python pickles or their binary files, unpacked or not.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tinytrain.cache import cache_folder
from tinytrain.datasets.archive import read_members
from tinytrain.datasets.data_pickle import read_pickle
from tinytrain.datasets.download import Resource, fetch
from tinytrain.datasets.idx import check_labels
from tinytrain.datasets.vision import ArrayDataset
from tinytrain.errors import DataError

_PIXELS = 3 * 32 * 32
_MAX_BYTES = 1 << 28  # of one file; the largest has 0.16e9


@dataclass(frozen=True)
class Layout:
    """How one of the two sets is stored.

    Args:
        folder: that the archive unpacks to.
        train, test: names of the files.
        meta: name of the file with the names of the classes.
    """

    folder: str
    train: Sequence[str]
    test: Sequence[str]
    meta: str

    def files(self, train: bool) -> list[str]:
        """Return the names of the files of a split, the names of the classes last."""
        return [*(self.train if train else self.test), self.meta]


@dataclass(frozen=True)
class Found:
    """The files that are there.

    Args:
        place: their folder or archive.
        layout: which of the two forms they have.
        contents: of each file.
    """

    place: Path
    layout: Layout
    contents: dict[str, bytes]


class CIFAR10(ArrayDataset):
    """60,000 colour photos of 32 by 32 pixels in 10 classes.

    The files, Python pickles or the binary form, may lie in `root/cifar-10-batches-py`, `root/cifar-10-batches-bin`
    or `root` itself; or in their archive in `root`, or `root` may be the archive. Archives are read without being
    unpacked, pickles without being executed.

    Args:
        root: folder or archive of the data; None: the user's cache.
        train: the 50,000 training images, else the 10,000 test images.
        transform: takes and returns the image, a Pillow image of mode RGB.
        target_transform: takes and returns the label.
        download: get the archive of pickles where files are missing.
        allow_partial: take the image files that are there where others are missing.

    Attributes:
        data: (n, 32, 32, 3) uint8 array.
        targets: list of n labels.

    Raises:
        DataError: a file is missing or damaged, or holds something else.
    """

    python = Layout("cifar-10-batches-py", [f"data_batch_{i}" for i in range(1, 6)], ["test_batch"], "batches.meta")
    binary = Layout(
        "cifar-10-batches-bin",
        [f"data_batch_{i}.bin" for i in range(1, 6)],
        ["test_batch.bin"],
        "batches.meta.txt",
    )
    resource = Resource(
        "cifar-10-python.tar.gz",
        "c58f30108f718f92721af3b95e74349a",
        ["https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"],
    )
    archives: ClassVar[Sequence[str]] = ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz")
    labels_key: ClassVar[str] = "labels"
    names_key: ClassVar[str] = "label_names"
    labels_a_record: ClassVar[int] = 1  # of the binary form; the last one is ours
    num_classes: ClassVar[int] = 10

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
        *,
        allow_partial: bool = False,
    ):
        self.train = train
        base = cache_folder("datasets") if root is None else Path(root).expanduser()
        found = self._find(base, train)
        missing = [name for name in found.layout.files(train) if name not in found.contents]
        if missing and download:
            found = self._in_archive(fetch(self.resource, base), train)
            missing = [name for name in found.layout.files(train) if name not in found.contents]
        *names, meta = found.layout.files(train)
        present = [name for name in names if name in found.contents]
        if missing and not (allow_partial and present and meta not in missing):
            raise DataError(
                f"{type(self).__name__} is not complete: {', '.join(missing)} not found",
                place=found.place,
                remedy=f"Get {self.resource.urls[0]}, or ask for a download (download: true)"
                + (f", or allow a partial set: there is {', '.join(present)}" if present else ""),
            )
        read = self._read_pickle if found.layout is self.python else self._read_records
        batches = [read(found.contents[name], found.place / name) for name in present]
        data = np.concatenate([images for images, _ in batches]).reshape(-1, 3, 32, 32)
        targets = np.concatenate([labels for _, labels in batches]).tolist()
        classes = self._read_names(found, meta)
        data = np.ascontiguousarray(data.transpose(0, 2, 3, 1))
        super().__init__(data, targets, classes, base, transform, target_transform)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"

    def _find(self, base: Path, train: bool) -> Found:
        """Return the largest part of the set that lies in one folder, else what an archive holds."""
        if base.is_file():
            return self._in_archive(base, train)
        candidates = [
            (folder, layout) for layout in (self.python, self.binary) for folder in (base / layout.folder, base)
        ]
        folder, layout = max(
            candidates, key=lambda each: sum((each[0] / name).is_file() for name in each[1].files(train))
        )
        paths = [folder / name for name in layout.files(train) if (folder / name).is_file()]
        if paths:
            return Found(folder, layout, {path.name: _read_file(path) for path in paths})
        archive = next((base / name for name in self.archives if (base / name).is_file()), None)
        return Found(base, layout, {}) if archive is None else self._in_archive(archive, train)

    def _in_archive(self, archive: Path, train: bool) -> Found:
        names = {*self.python.files(train), *self.binary.files(train)}
        contents = read_members(archive, names, _MAX_BYTES)
        layout = self.binary if contents.keys() & set(self.binary.files(train)) else self.python
        return Found(archive, layout, contents)

    def _read_pickle(self, content: bytes, place: Path) -> tuple[np.ndarray, np.ndarray]:
        entry = read_pickle(content, place)
        images, labels = (entry.get("data"), entry.get(self.labels_key)) if isinstance(entry, dict) else (None, None)
        if not (
            isinstance(images, np.ndarray)
            and images.dtype == np.uint8
            and images.shape[1:] == (_PIXELS,)
            and isinstance(labels, list)
            and all(type(label) is int and label.bit_length() < 64 for label in labels)
        ):
            raise DataError(
                f"not a batch of {type(self).__name__}: no `data` (n, {_PIXELS}) with its labels", place=place
            )
        return self._checked(images, np.array(labels, dtype=np.int64), place)

    def _read_records(self, content: bytes, place: Path) -> tuple[np.ndarray, np.ndarray]:
        size = self.labels_a_record + _PIXELS
        if not content or len(content) % size:
            raise DataError(f"{len(content)} bytes are no whole number of records of {size} bytes", place=place)
        records = np.frombuffer(content, np.uint8).reshape(-1, size)
        labels = records[:, self.labels_a_record - 1].astype(np.int64)
        return self._checked(records[:, self.labels_a_record :], labels, place)

    def _checked(self, images: np.ndarray, labels: np.ndarray, place: Path) -> tuple[np.ndarray, np.ndarray]:
        if len(images) != len(labels):
            raise DataError(f"there are {len(labels)} labels for {len(images)} images", place=place)
        check_labels(labels, self.num_classes, place)
        return images, labels

    def _read_names(self, found: Found, meta: str) -> list[str]:
        place = found.place / meta
        if found.layout is self.python:
            entry = read_pickle(found.contents[meta], place)
            names = entry.get(self.names_key) if isinstance(entry, dict) else None
        else:
            names = found.contents[meta].decode("latin-1").split()
        if not (
            isinstance(names, list) and len(names) == self.num_classes and all(isinstance(name, str) for name in names)
        ):
            raise DataError(f"it does not name {self.num_classes} classes", place=place)
        return names


class CIFAR100(CIFAR10):
    """60,000 colour photos of 32 by 32 pixels in 100 classes; the 20 coarse classes are not read. See `CIFAR10`."""

    python = Layout("cifar-100-python", ["train"], ["test"], "meta")
    binary = Layout("cifar-100-binary", ["train.bin"], ["test.bin"], "fine_label_names.txt")
    resource = Resource(
        "cifar-100-python.tar.gz",
        "eb9058c3a382ffc7106e4002c42a8d85",
        ["https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"],
    )
    archives = ("cifar-100-python.tar.gz", "cifar-100-binary.tar.gz")
    labels_key = "fine_labels"
    names_key = "fine_label_names"
    labels_a_record = 2
    num_classes = 100


def _read_file(path: Path) -> bytes:
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise DataError(f"has {size} bytes; at most {_MAX_BYTES} are expected", place=path)
    return path.read_bytes()
