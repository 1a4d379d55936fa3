"""Which run a training goes on with, and what may have changed since."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinytrain.config.load import load_config
from tinytrain.config.origins import KeyPath, dotted
from tinytrain.config.problems import shown
from tinytrain.config.schema import Config, plain_values
from tinytrain.errors import ConfigError, UsageError
from tinytrain.training import RunFolder
from tinytrain.training.run_folder import FINETUNED

HARMLESS = {
    "name",
    "device",
    "data.root",
    "data.download",
    "data.workers",
    "data.resident",
    "data.cache",
    "train.epochs",
    "train.log_every",
    "train.cuda_graph",
    "train.checkpoint.every_steps",
    "train.checkpoint.every_minutes",
    "finetune.download",
}
"""Keys that may change on the way: they decide how long it takes or how much is learned, not what is learned."""


@dataclass(frozen=True)
class Resumption:
    """A run to go on with.

    Attributes:
        folder: of the run.
        notes: what people should know: that it goes on, and with what.
        force: whether keys differ that decide what is learned.
    """

    folder: RunFolder
    notes: list[str] = field(default_factory=list)
    force: bool = False


def find_run(
    config: Config,
    path: Path | None = None,
    root: Path = Path("runs"),
    *,
    finetuned: bool = False,
    force: bool = False,
) -> Resumption:
    """Return the run that training is to go on with: that in `path`, or the latest of the config's name.

    Args:
        config: of the training.
        path: of the folder.
        root: where runs lie.
        finetuned: whether it is `finetune` that goes on.
        force: take over whatever differs.

    Raises:
        UsageError: there is none, or it is of another config or another command.
    """
    path = path or _latest(config.name, root)
    if path is None:
        raise UsageError(
            f"there is no run called {config.name!r} to go on with",
            place=root,
            remedy="Leave out --resume, or name a run with --run-dir",
        )
    if not (path / "config.yaml").is_file():
        raise UsageError("this is no run folder: it has no config.yaml", place=path)
    if _is_finetuned(path) is not finetuned:
        command = "train" if finetuned else "finetune"
        raise UsageError(
            f"the run was begun by `tinytrain {command}`", place=path, remedy=f"Go on with it by {command} --resume"
        )
    harmless, others = _differences(path, config)
    if others and not force:
        raise UsageError(
            f"the run has {'; '.join(others)}",
            place=path,
            remedy="A run goes on with the config it began with; begin a new one with --no-resume, or go on with "
            "these changes by --force",
        )
    notes = [f"{path}: going on with {each}" for each in [*harmless, *others]]
    return Resumption(RunFolder(path), notes, force=bool(others))


def find_interrupted(
    config: Config, path: Path | None = None, root: Path = Path("runs"), *, finetuned: bool = False
) -> tuple[Resumption | None, list[str]]:
    """Return the run that was interrupted and that this training would repeat, where there is one.

    A run was interrupted if it has a config and no summary, and no process works on it.

    Returns:
        The run, and what people should know where there is one that another config keeps from going on.
    """
    given, path = path, path or _latest(config.name, root)
    if path is None or not (path / "config.yaml").is_file() or (path / "summary.json").exists():
        return None, []
    folder = RunFolder(path)
    if folder.is_in_use():  # who takes its lock is told by whom; for a name there is another folder
        return (None, []) if given is None else (Resumption(folder), [])
    if _is_finetuned(path) is not finetuned:
        return None, []
    try:
        harmless, others = _differences(path, config)
    except ConfigError:  # a damaged one, or one of another version
        return None, []
    if others:
        return None, [f"{path} was interrupted and has {'; '.join(others)}: this is another run"]
    notes = [f"{path} was interrupted: going on with it (--no-resume begins a new run)"]
    return Resumption(folder, [*notes, *(f"{path}: going on with {each}" for each in harmless)]), []


def _latest(name: str, root: Path) -> Path | None:
    """Return the folder of the latest run of a name."""
    pattern = re.compile(re.escape(name) + r"(?:-(\d+))?")
    found = [(match, each) for each in root.glob("*") if (match := pattern.fullmatch(each.name))]
    return max(found, key=lambda pair: int(pair[0][1] or 1))[1] if found else None


def _is_finetuned(path: Path) -> bool:
    return (path / FINETUNED).is_file()


def _differences(path: Path, config: Config) -> tuple[list[str], list[str]]:
    """Return in words which keys of a run and a config differ: harmless ones and others."""
    there, here = (dict(_flat(plain_values(each))) for each in (load_config(path / "config.yaml"), config))
    harmless, others = [], []
    for key in sorted(there.keys() | here.keys()):
        old, new = there.get(key), here.get(key)
        if old == new:
            continue
        if key in HARMLESS:
            harmless.append(f"{key}={shown(new)} instead of {shown(old)}")
        else:
            others.append(f"{key}={shown(old)}, this config {shown(new)}")
    return harmless, others


def _flat(values: dict[str, Any], path: KeyPath = ()) -> Iterator[tuple[str, Any]]:
    """Yield each value that is no section, by its dotted path."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, (*path, key))
        else:
            yield dotted((*path, key)), list(value) if isinstance(value, tuple) else value
