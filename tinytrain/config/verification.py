"""The promise that a killed run comes to the bits of one that was not, tried on a config of one's own."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from tinytrain.config.build import build_experiment
from tinytrain.config.schema import Config
from tinytrain.errors import Interrupted, TinytrainError, UsageError
from tinytrain.tensor import wrap
from tinytrain.training import Events, RunFolder, train
from tinytrain.training.checkpoint_file import read_newest
from tinytrain.training.progress import under
from tinytrain.weights import weights_sha256

_LOSSES = "losses.jsonl"


@dataclass(frozen=True)
class Verification:
    """How a run that was killed compares with one that was not.

    Attributes:
        steps: of both.
        killed_after: step after which one was killed.
        resumed_after: step of the checkpoint that it went on from.
        workers: loader processes before and after the kill.
        weights_sha256: digest of the last weights of the run that was not killed.
        differences: what differs, none where every bit is the same: `loss of step 7`, `optimizer/0/momentum_buffer`.
    """

    steps: int
    killed_after: int
    resumed_after: int
    workers: tuple[int, int]
    weights_sha256: str
    differences: list[str]

    def document(self) -> dict[str, Any]:
        """Return the report in JSON's terms."""
        return {"identical": not self.differences, **vars(self), "workers": list(self.workers)}


def verify_resume(config: Config, steps: int, *, say: Callable[[str], None]) -> Verification:
    """Train some steps straight through and once more with a SIGKILL on the way, and compare every bit.

    Each part runs in a process of its own. What is compared: the loss of every step, and the checkpoint after the last
    one, with weights, optimizer, schedule, average, random state and scores. The second part after the kill has
    another number of loader workers. Early stopping is switched off, for it may end a training before the kill.

    Args:
        config: resolved.
        steps: batches to learn in all; at least 3, and no more than a run has.
        say: is told what is done otherwise than the config says.

    Raises:
        UsageError: there are too few or too many steps.
        TinytrainError: the config cannot be trained.
        OSError, MemoryError: something of the machine's does not suffice.
    """
    experiment = build_experiment(config)
    total = experiment.epochs * len(experiment.train)
    if not 3 <= steps <= total:
        raise UsageError(f"--steps must be from 3 to {total}, the steps of a whole run; got {steps}")
    if config.train.early_stopping is not None:
        say("train.early_stopping is switched off here, so that the training does not end before the kill")
        config = config.model_copy(update={"train": config.train.model_copy(update={"early_stopping": None})})
    killed_after, every = steps - steps // 3, max(1, steps // 4)
    workers = config.data.workers, 0 if config.data.workers else 2
    with tempfile.TemporaryDirectory(prefix="tinytrain-verify-") as name:
        whole, parts = Path(name, "whole"), Path(name, "parts")
        _run(_Part(config, whole, steps))
        _run(_Part(config, parts, steps, killed_after=killed_after, checkpoint_every=every))
        other = config.model_copy(update={"data": config.data.model_copy(update={"workers": workers[1]})})
        resumed_after = _run(_Part(other, parts, steps))
        differences = _compare_losses(whole, parts) + _compare_states(whole, parts)
        _, arrays, _ = read_newest(RunFolder(whole), _ignore)
        digest = weights_sha256({name: wrap(array) for name, array in under("model", arrays).items()})
    return Verification(steps, killed_after, resumed_after, workers, digest, differences)


@dataclass(frozen=True)
class _Part:
    """What one process does.

    Attributes:
        config: of the training.
        folder: of the run.
        steps: in all, after which it stops.
        killed_after: the step after which the process is killed, None for never.
        checkpoint_every: steps between two checkpoints, None for the config's.
    """

    config: Config
    folder: Path
    steps: int
    killed_after: int | None = None
    checkpoint_every: int | None = None


class _Recorder(Events):
    """Notes the loss of every step, counted over all epochs, and ends the training where it is to end."""

    def __init__(self, part: _Part, steps_per_epoch: int):
        self.part, self.steps_per_epoch = part, steps_per_epoch
        self.first_step: int | None = None

    def batch(self, epoch: int, step: int, images: int, loss: float | None, lr: float) -> None:
        number = (epoch - 1) * self.steps_per_epoch + step
        self.first_step = self.first_step or number
        assert loss is not None
        with (self.part.folder / _LOSSES).open("a", encoding="ascii") as file:
            file.write(json.dumps([number, loss.hex(), float(lr).hex()]) + "\n")

    def pause(self, epoch: int, step: int) -> None:
        number = (epoch - 1) * self.steps_per_epoch + step
        if self.part.killed_after is not None and number >= self.part.killed_after:
            os.kill(os.getpid(), signal.SIGKILL)
        if number >= self.part.steps:
            raise Interrupted(signal.SIGTERM)


def _run(part: _Part) -> int:
    """Run a part in a process of its own; return the number of steps that it found done.

    Raises:
        TinytrainError, OSError, MemoryError: the training did.
    """
    part.folder.mkdir(exist_ok=True)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_learn, args=(part, theirs))
    process.start()
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError:
        answer = None
    process.join()
    if isinstance(answer, Exception):
        raise answer
    expected = 0 if part.killed_after is None else -signal.SIGKILL
    if process.exitcode != expected:
        raise RuntimeError(f"the training process ended with {process.exitcode}, expected {expected}")
    return 0 if answer is None else int(answer)


def _learn(part: _Part, answer: Connection) -> None:
    """Train from the folder's checkpoint, or from the beginning, in this process."""
    try:
        e = build_experiment(part.config)
        e.log_every = 1
        if part.checkpoint_every is not None:
            e.checkpoint_steps = part.checkpoint_every
        recorder = _Recorder(part, len(e.train))
        with contextlib.suppress(Interrupted):
            train(e, RunFolder(part.folder), events=recorder, resume=True)
        answer.send((recorder.first_step or 1) - 1)
    except (TinytrainError, OSError, MemoryError) as error:
        answer.send(error)


def _compare_losses(whole: Path, parts: Path) -> list[str]:
    """Return which steps had other losses or learning rates, where some were learned twice; or are missing."""
    expected, found = dict(_losses(whole)), _losses(parts)
    differing = {number for number, told in found if expected.get(number) != told} | expected.keys() - dict(
        found
    ).keys()
    return [f"loss or rate of step {number}" for number in sorted(differing)]


def _losses(folder: Path) -> list[tuple[int, list[str]]]:
    lines = (folder / _LOSSES).read_text(encoding="ascii").splitlines()
    return [(number, told) for number, *told in map(json.loads, lines)]


def _compare_states(whole: Path, parts: Path) -> list[str]:
    """Return the parts of the last checkpoints that differ."""
    (_, a, first), (_, b, second) = (read_newest(RunFolder(folder), _ignore) for folder in (whole, parts))
    differing = [name for name in sorted(a.keys() | b.keys()) if not _is_same(a.get(name), b.get(name))]
    for document in (first, second):  # time is not repeated
        document["progress"].pop("seconds")
        for row in document["progress"]["epochs"]:
            del row["seconds"], row["images_per_second"]
    return differing + [key for key in sorted(first) if first[key] != second.get(key)]


def _is_same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return a is not None and b is not None and (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def _ignore(warning: str) -> None:
    """Pass over a warning that cannot come: nobody else writes in the folders."""
