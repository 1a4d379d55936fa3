"""Image sets that are a pair of IDX files, wherever they lie under their root."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinytrain.cache import cache_folder
from tinytrain.datasets.download import Resource, fetch
from tinytrain.datasets.idx import read_images, read_labels
from tinytrain.datasets.vision import ArrayDataset
from tinytrain.errors import DataError
from tinytrain.tensor import wrap

_SUFFIXES = ("", ".gz", ".xz")


class IDX(ArrayDataset):
    """A set of your own in MNIST's files: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-...`.

    They may be compressed (`.gz`, `.xz`), and lie in `root`, in `root/raw`, or as torchvision puts them in
    `root/<name of the class>/raw`. Subclasses say what their files are called and where they come from.

    Args:
        root: folder of the data; None: the user's cache.
        train: the training images, else the test images.
        transform: takes and returns the image, a Pillow image of mode L.
        target_transform: takes and returns the label.
        download: get the files that are missing, into `raw_folder`.
        classes: names of the labels; None: `0`, `1`, ... to the largest label.

    Attributes:
        data: (n, h, w) uint8 tensor.
        targets: (n,) int64 tensor.

    Raises:
        DataError: a file is missing, damaged, or does not go with the other one.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
        *,
        classes: Sequence[str] | None = None,
    ):
        self.train = train
        self.root: str = str(cache_folder("datasets") if root is None else Path(root).expanduser())
        images_file, labels_file = self._locate(self._files(), download)
        images = read_images(images_file)
        labels = self._read_labels(labels_file, None if classes is None else len(classes))
        if len(images) != len(labels):
            raise DataError(f"{len(labels)} labels for the {len(images)} images of {images_file}", place=labels_file)
        if classes is None:
            classes = [str(label) for label in range(labels.max(initial=-1) + 1)]
        rows = self._rows()
        super().__init__(wrap(images[rows]), wrap(labels[rows]), classes, self.root, transform, target_transform)

    @property
    def raw_folder(self) -> str:
        """Where `download` puts the files."""
        return os.path.join(self.root, type(self).__name__, "raw")

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"

    def _files(self) -> tuple[str, str]:
        """Return the names of the files of images and labels, uncompressed."""
        part = "train" if self.train else "t10k"
        return f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"

    def _read_labels(self, path: Path, num_classes: int | None) -> np.ndarray:
        return read_labels(path, num_classes)

    def _rows(self) -> slice:
        """Return which rows of the files this set is."""
        return slice(None)

    def _resource(self, name: str) -> Resource | None:
        """Return where a file can be got, given its uncompressed name."""
        return None

    def _locate(self, names: Sequence[str], download: bool) -> list[Path]:
        """Return the files' paths, all of them from the folder that holds most of them."""
        folders = [Path(self.raw_folder), Path(self.raw_folder).parent, Path(self.root, "raw"), Path(self.root)]
        found = [[_existing(folder / name) for name in names] for folder in folders]
        paths = max(found, key=lambda paths: len(names) - paths.count(None))
        folder = folders[found.index(paths)] if any(paths) else Path(self.root)
        resources = [self._resource(name) for name in names]
        if download:
            paths = [
                path or (fetch(resource, Path(self.raw_folder)) if resource else None)
                for path, resource in zip(paths, resources, strict=True)
            ]
        missing = [name for name, path in zip(names, paths, strict=True) if path is None]
        if missing:
            wanted = [resource for resource, path in zip(resources, paths, strict=True) if path is None]
            urls = {resource.urls[0] for resource in wanted if resource is not None}
            them = "it" if len(urls) == 1 else "them"
            raise DataError(
                f"{type(self).__name__} is not complete: {' and '.join(missing)} (or .gz) not found",
                place=folder,
                remedy=f"Get {them} from {' and '.join(sorted(urls))}, or ask for a download (download: true)"
                if urls
                else None,
            )
        return [path for path in paths if path is not None]


def _existing(path: Path) -> Path | None:
    return next((file for file in (path.with_name(path.name + end) for end in _SUFFIXES) if file.is_file()), None)
