"""What going on with a run needs: a training's whole state to a checkpoint and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinytrain import __version__
from tinytrain.device import CPU, move
from tinytrain.errors import TinytrainError, UsageError, WeightsError
from tinytrain.tensor import Tensor, wrap
from tinytrain.training.checkpoint_file import read_newest, write_checkpoint
from tinytrain.training.experiment import Experiment
from tinytrain.training.progress import Progress, under
from tinytrain.training.random_state import random_state, set_random_state
from tinytrain.training.run_folder import RunFolder
from tinytrain.weights.bundle import arrays_of


def save_checkpoint(folder: RunFolder, e: Experiment, progress: Progress) -> Path:
    """Save the state of a training and return where.

    Args:
        folder: of the run.
        e: whose model, average, optimizer and schedule are saved.
        progress: how far it has come.

    Raises:
        StorageError: it cannot be written; the checkpoints before stay.
    """
    arrays = _prefixed("model", e.model.state_dict())
    if e.average is not None:
        arrays |= _prefixed("average", e.average.state_dict())
    state = e.optimizer.state_dict()
    numbers: dict[str, dict[str, Any]] = {}
    for param, remembered in state["state"].items():
        for key, value in remembered.items():
            if isinstance(value, Tensor):
                arrays[f"optimizer/{param}/{key}"] = move(value.array, CPU)
            else:
                numbers.setdefault(str(param), {})[key] = value
    arrays |= random_state(e.device)
    document = {
        "version": __version__,
        "plan": {"epochs": e.epochs, "batches": len(e.train)},
        "optimizer": {"rule": type(e.optimizer).__name__, "groups": state["param_groups"], "numbers": numbers},
        "schedule": e.schedule.state_dict(),
        "scaler": e.scaler.state_dict(),
        "average_updates": None if e.average is None else e.average.num_updates,
        "progress": progress.document(),
    }
    return write_checkpoint(folder, arrays | progress.arrays(), document)


def load_checkpoint(
    folder: RunFolder, e: Experiment, progress: Progress, *, force: bool = False, say: Callable[[str], None]
) -> Path | None:
    """Put a training into the state of the newest checkpoint that is whole.

    Where the run is to have another number of epochs, the learning rate goes on along the schedule of that number.

    Args:
        folder: of the run.
        e: as it was built, without a step taken.
        progress: changed in place.
        force: the experiment is another one than when it was saved: its own options of optimizer and schedule count,
            an average that is new begins with the weights, and an epoch that is not finished begins again.
        say: told of damaged checkpoints and of what is not taken over.

    Returns:
        Its path; None where the training goes on in another way than it was saved.

    Raises:
        StorageError: the run has no checkpoint, or one cannot be read.
        WeightsError: all checkpoints are damaged, or they do not fit the experiment.
        UsageError: the training data are others.
    """
    path, arrays, document = read_newest(folder, say)
    try:
        is_same_plan = _restore(e, progress, path, arrays, document, force, say)
    except TinytrainError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise WeightsError(
            f"the checkpoint does not fit this training: {reason}",
            place=path,
            remedy="Go on with the config that the run began with, or begin a new run",
        ) from error
    return path if is_same_plan else None


def _restore(
    e: Experiment,
    progress: Progress,
    path: Path,
    arrays: dict[str, np.ndarray],
    document: dict[str, Any],
    force: bool,
    say: Callable[[str], None],
) -> bool:
    """Restore everything; return whether the training goes on in the way that it was saved."""
    e.model.load_state_dict(_tensors(under("model", arrays)))
    if e.average is not None and document["average_updates"] is not None:
        e.average.load_state_dict(_tensors(under("average", arrays)), document["average_updates"])
    elif e.average is not None:
        e.average.load_state_dict(e.model.state_dict(), 0)
    batches = document["plan"]["batches"]
    if not force and batches != len(e.train):
        raise UsageError(
            f"the training data are others: they make {len(e.train)} batches an epoch, not {batches}",
            place=path,
            remedy="Give the data that the run began with, or go on all the same with --force",
        )
    progress.load(document["progress"], arrays)
    if force and progress.batches:
        say(f"epoch {progress.epoch + 1} begins again, as its batches may be others")
        progress.batches = progress.steps = 0
    is_same_plan = not force and document["plan"]["epochs"] == e.epochs
    if is_same_plan or progress.epoch >= e.epochs:
        _restore_optimizer(e, arrays, document, say)
        e.schedule.load_state_dict(document["schedule"])
    else:
        _advance_schedule(e, progress)
        options = [{key: value for key, value in group.items() if key != "params"} for group in _groups(e)]
        _restore_optimizer(e, arrays, document, say)
        for group, own in zip(_groups(e), options, strict=True):
            group.update(own)
        say(f"the learning rate goes on along the schedule for {e.epochs} epochs")
    if document.get("scaler"):  # a run of another precision, gone on with by force, has none
        e.scaler.load_state_dict(document["scaler"])
    set_random_state(e.device, arrays)
    return is_same_plan


def _restore_optimizer(
    e: Experiment, arrays: dict[str, np.ndarray], document: dict[str, Any], say: Callable[[str], None]
) -> None:
    saved = document["optimizer"]
    if saved["rule"] != type(e.optimizer).__name__:
        say(f"what {saved['rule']} remembered is of no use to {type(e.optimizer).__name__}, which begins anew")
        return
    remembered: dict[int, dict[str, Any]] = {int(param): dict(values) for param, values in saved["numbers"].items()}
    for name, array in under("optimizer", arrays).items():
        param, key = name.split("/")
        remembered.setdefault(int(param), {})[key] = wrap(array)
    e.optimizer.load_state_dict({"state": remembered, "param_groups": saved["groups"]})


def _advance_schedule(e: Experiment, progress: Progress) -> None:
    """Take a schedule that is at its first step to where it would be in a run that had it from the beginning."""
    for result in progress.history:
        for _ in range(e.steps_per_epoch):
            e.schedule.step()
        e.schedule.end_epoch((result.val or result.train).loss)
    for _ in range(progress.steps):
        e.schedule.step()


def _groups(e: Experiment) -> list[dict[str, Any]]:
    return e.optimizer.param_groups


def _prefixed(kind: str, state: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {f"{kind}/{name}": array for name, array in arrays_of(state).items()}


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: wrap(array) for name, array in arrays.items()}
