"""A tree of class folders as it lies on the disk: what is read, and what is passed over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tinytrain.datasets.folder import is_image_file, visible_files

_MAX_NAMED = 5


@dataclass
class FolderSurvey:
    """What a look at the folders found.

    Attributes:
        problems: what keeps the data from being read.
        notes: what is passed over.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def survey_folders(root: Path, splits: Sequence[str]) -> FolderSurvey:
    """Look at `root/<split>/<class>/`.

    Args:
        root: an existing folder.
        splits: the names that are read.
    """
    survey = FolderSurvey()
    classes: dict[str, list[str]] = {}
    for entry in sorted(root.iterdir()):
        if entry.name in splits and entry.is_dir():
            classes[entry.name] = _survey_split(entry, survey)
        elif entry.is_dir() and not entry.name.startswith("."):
            survey.notes.append(f"{entry}: this folder is not read; the splits are called {', '.join(splits)}")
    if "train" in classes:
        for split, names in classes.items():
            _compare("train", classes["train"], split, names, root, survey)
    return survey


def _survey_split(folder: Path, survey: FolderSurvey) -> list[str]:
    """Return the classes of a split, and note what is empty, hidden or no image."""
    entries = sorted(folder.iterdir())
    classes = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    hidden = [entry.name for entry in entries if entry.name.startswith(".")]
    loose = [entry.name for entry in entries if not entry.is_dir() and not entry.name.startswith(".")]
    if hidden:
        survey.notes.append(f"{folder}: hidden, so not read: {named(hidden)}")
    if loose:
        survey.notes.append(f"{folder}: in no class's folder, so not read: {named(loose)}")
    for entry in classes:
        files = [Path(file) for file in visible_files(str(entry))]
        others = [str(file.relative_to(entry)) for file in files if not is_image_file(file.name)]
        if len(others) == len(files):
            survey.problems.append(f"{entry}: this class has no image")
        if others:
            survey.notes.append(f"{entry}: no images by their names, so not read: {named(others)}")
        if concealed := [file.name for file in sorted(entry.iterdir()) if file.name.startswith(".")]:
            survey.notes.append(f"{entry}: hidden, so not read: {named(concealed)}")
    return [entry.name for entry in classes]


def _compare(first: str, here: list[str], second: str, there: list[str], root: Path, survey: FolderSurvey) -> None:
    for names, others, holder, lacking in ((here, there, first, second), (there, here, second, first)):
        if missing := [name for name in names if name not in others]:
            survey.problems.append(f"{root / lacking}: has not the classes of {holder}: {named(missing)}")


def named(names: Sequence[str]) -> str:
    """Return some names of many as one text: `a, b, c and 12 more`."""
    shown = ", ".join(names[:_MAX_NAMED])
    return shown if len(names) <= _MAX_NAMED else f"{shown} and {len(names) - _MAX_NAMED:,} more"
