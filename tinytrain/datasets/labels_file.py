"""Images listed in a file with their labels: CSV or JSON lines."""

from __future__ import annotations

import csv
import json
import os
import reprlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tinytrain.datasets.image_reading import pil_loader
from tinytrain.datasets.vision import FileDataset
from tinytrain.errors import DataError, did_you_mean


class LabelsFile(FileDataset):
    """Images whose paths and labels stand in a file.

    A `.csv` file has a header with the columns `path` and `label`; every line of a `.jsonl` file is an object with
    these two keys. Further columns are ignored. Labels are names, and stay text: `01` is not `1`.

    Args:
        file: the list; UTF-8.
        root: folder that the paths are relative to, by default that of the list.
        transform: takes and returns the image.
        target_transform: takes and returns the label's index.
        loader: reads an image, given its path.
        classes: names of the classes in their order, by default the labels there are, sorted as text.

    Attributes:
        samples: list of (path, class index).
        targets: list of class indices.
        classes: names of the classes.
        class_to_idx: name -> index.

    Raises:
        DataError: the list is missing, empty or malformed (with file and line), an image is missing, or a label is
            not one of `classes`.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        root: str | os.PathLike[str] | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        loader: Callable[[str], Any] = pil_loader,
        classes: Sequence[str] | None = None,
    ):
        file = Path(file).expanduser()
        folder = file.parent if root is None else Path(root).expanduser()
        super().__init__(folder, transform=transform, target_transform=target_transform)
        self.file = file
        self.loader = loader
        rows = list(_read(file))
        if not rows:
            raise DataError("it lists no images", place=file)
        self.classes = sorted({label for _, _, label in rows}) if classes is None else list(classes)
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}
        self.samples = []
        for line, path, label in rows:
            if label not in self.class_to_idx:
                raise DataError(
                    f"the label {label!r} is not one of the classes{did_you_mean(label, self.classes)}",
                    place=f"{file}:{line}",
                )
            if not (folder / path).is_file():
                raise DataError(f"there is no file {folder / path}", place=f"{file}:{line}")
            self.samples.append((str(folder / path), self.class_to_idx[label]))
        self.targets = [target for _, target in self.samples]

    def extra_repr(self) -> str:
        return f"Labels: {self.file}"


def _read(file: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line, path, label)."""
    if not file.is_file():
        raise DataError("there is no such file", place=file)
    if file.suffix not in (".csv", ".jsonl"):
        raise DataError(f"a list of labels is .csv or .jsonl, not {file.suffix!r}", place=file)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            for line, row in (_csv_rows if file.suffix == ".csv" else _json_rows)(stream, file):
                values = [row.get(key) for key in ("path", "label")]
                if not all(isinstance(value, str) and value for value in values):
                    raise DataError(f"`path` and `label` must be text; got {reprlib.repr(row)}", place=f"{file}:{line}")
                yield line, str(values[0]), str(values[1])
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8: {error}", place=file) from error


def _csv_rows(stream: Any, file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(stream, strict=True)
    try:
        header = reader.fieldnames or []
        if not {"path", "label"} <= set(header):
            raise DataError(f"the header must name `path` and `label`; it is {','.join(header)!r}", place=f"{file}:1")
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"is no CSV: {error}", place=f"{file}:{reader.reader.line_num}") from error


def _json_rows(stream: Any, file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, text in enumerate(stream, 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"is no JSON: {error}", place=f"{file}:{line}") from error
        if not isinstance(row, dict):
            raise DataError(
                f"a line must be an object with `path` and `label`; got {reprlib.repr(row)}", place=f"{file}:{line}"
            )
        yield line, row
