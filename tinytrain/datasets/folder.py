"""Sets whose folders are classes, by torchvision's rules."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tinytrain.datasets.image_reading import pil_loader
from tinytrain.datasets.vision import FileDataset
from tinytrain.errors import DataError

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

PathLike = str | os.PathLike[str]


class FolderError(DataError, FileNotFoundError):
    """A folder of classes is missing or has nothing in it. Also a FileNotFoundError, as in torchvision."""


def has_file_allowed_extension(filename: str, extensions: str | Sequence[str]) -> bool:
    """Return whether a name ends with one of the extensions, which are in lower case; the name may be in any."""
    return filename.lower().endswith(extensions if isinstance(extensions, str) else tuple(extensions))


def is_image_file(filename: str) -> bool:
    """Return whether a name ends with one of `IMG_EXTENSIONS`."""
    return has_file_allowed_extension(filename, IMG_EXTENSIONS)


def find_classes(directory: PathLike) -> tuple[list[str], dict[str, int]]:
    """Return the names of the folders in a directory, sorted as text, and the index of each.

    Hidden folders, whose names begin with a dot, are no classes (torchvision takes them; they are what editors and
    notebooks leave behind).

    Raises:
        FolderError: there is no such directory, or no folder in it.
    """
    if not os.path.isdir(directory):
        raise FolderError("there is no such folder", place=directory)
    with os.scandir(directory) as entries:
        classes = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise FolderError("there is no folder in it; each class is a folder of images", place=directory)
    return classes, {name: index for index, name in enumerate(classes)}


def make_dataset(
    directory: PathLike,
    class_to_idx: dict[str, int] | None = None,
    extensions: str | Sequence[str] | None = None,
    is_valid_file: Callable[[str], bool] | None = None,
    allow_empty: bool = False,
) -> list[tuple[str, int]]:
    """List the files below the folders of the classes, sorted by class, folder and name.

    Args:
        directory: holds a folder for each class.
        class_to_idx: the classes, by default those of `find_classes`.
        extensions: lower-case ends of the names of files to take; or:
        is_valid_file: says whether to take a file, given its path.
        allow_empty: accept classes without files.

    Returns:
        (path, class index) of every file; hidden files are left out.

    Raises:
        ValueError: there are no classes, or not exactly one of `extensions` and `is_valid_file` is given.
        FolderError: a class has no valid file.
    """
    directory = os.path.expanduser(directory)
    if class_to_idx is None:
        class_to_idx = find_classes(directory)[1]
    if not class_to_idx:
        raise ValueError("'class_to_index' must have at least one entry to collect any samples.")
    if (extensions is None) == (is_valid_file is None):
        raise ValueError("Both extensions and is_valid_file cannot be None or not None at the same time")

    def is_valid(path: str) -> bool:
        return is_valid_file(path) if extensions is None else has_file_allowed_extension(path, extensions)  # type: ignore[misc]

    samples: list[tuple[str, int]] = []
    empty = []
    for name in sorted(class_to_idx):
        paths = [path for path in visible_files(os.path.join(directory, name)) if is_valid(path)]
        samples += [(path, class_to_idx[name]) for path in paths]
        if not paths:
            empty.append(name)
    if empty and not allow_empty:
        known = "" if extensions is None else f"Supported extensions are: {_listed(extensions)}"
        raise FolderError(
            f"Found no valid file for the classes {', '.join(empty)}", place=directory, remedy=known or None
        )
    return samples


class DatasetFolder(FileDataset):
    """Samples in files, one folder for each class.

    Args:
        root: holds the folders.
        loader: reads a sample, given its path.
        extensions: lower-case ends of the names of files to take; or:
        transform: takes and returns the sample.
        target_transform: takes and returns the class index.
        is_valid_file: says whether to take a file, given its path.
        allow_empty: accept classes without files.

    Attributes:
        classes: names of the folders, sorted as text.
        class_to_idx: name -> index.
        samples: list of (path, class index).
        targets: list of class indices.

    Raises:
        ValueError: not exactly one of `extensions` and `is_valid_file` is given.
        FolderError: there is no such folder, no class in it, or a class without valid files.
    """

    def __init__(
        self,
        root: PathLike,
        loader: Callable[[str], Any],
        extensions: str | Sequence[str] | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ):
        super().__init__(root, transform=transform, target_transform=target_transform)
        assert self.root is not None
        self.classes, self.class_to_idx = self.find_classes(self.root)
        self.loader = loader
        self.extensions = extensions
        self.samples = self.make_dataset(self.root, self.class_to_idx, extensions, is_valid_file, allow_empty)
        self.targets = [target for _, target in self.samples]

    @staticmethod
    def make_dataset(
        directory: PathLike,
        class_to_idx: dict[str, int],
        extensions: str | Sequence[str] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> list[tuple[str, int]]:
        """List the samples; may be overridden."""
        return make_dataset(directory, class_to_idx, extensions, is_valid_file, allow_empty)

    def find_classes(self, directory: PathLike) -> tuple[list[str], dict[str, int]]:
        """Find the classes; may be overridden."""
        return find_classes(directory)


class ImageFolder(DatasetFolder):
    """Images in files, one folder for each class.

    Args:
        root: holds the folders.
        transform: takes and returns the image, a Pillow image of mode RGB.
        target_transform: takes and returns the class index.
        loader: reads an image, given its path.
        is_valid_file: says whether to take a file, given its path; by default those with `IMG_EXTENSIONS`.
        allow_empty: accept classes without files.

    Attributes:
        imgs: the same as `samples`.

    Raises:
        FolderError: there is no such folder, no class in it, or a class without valid files.
    """

    def __init__(
        self,
        root: PathLike,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        loader: Callable[[str], Any] = pil_loader,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ):
        extensions = IMG_EXTENSIONS if is_valid_file is None else None
        super().__init__(root, loader, extensions, transform, target_transform, is_valid_file, allow_empty)

    @property
    def imgs(self) -> list[tuple[str, int]]:
        """The same as `samples`."""
        return self.samples


def visible_files(folder: str) -> list[str]:
    """Return the paths of all files below a folder, folder by folder, sorted; links are followed, nothing hidden."""
    found = []
    entered = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        entered.add(os.path.realpath(parent))
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(parent, name)) not in entered
        ]
        found.append((parent, sorted(name for name in files if not name.startswith("."))))
    return [os.path.join(parent, name) for parent, names in sorted(found) for name in names]


def images_at(path: Path) -> list[Path]:
    """Return the image files at a path: the file itself, or the visible images of a folder.

    Raises:
        DataError: there is no such file or folder, or no image in the folder.
    """
    if not path.is_dir():
        if not path.exists():
            raise DataError("there is no such file or folder", place=path)
        return [path]
    files = [Path(file) for file in visible_files(str(path)) if is_image_file(file)]
    if not files:
        known = f"Images end in {', '.join(IMG_EXTENSIONS)}"
        raise DataError("there is no image in this folder", place=path, remedy=known)
    return files


def _listed(extensions: str | Sequence[str]) -> str:
    return extensions if isinstance(extensions, str) else ", ".join(extensions)
