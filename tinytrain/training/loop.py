"""The training loop: batches, gradients, steps; epochs, evaluation, files."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinytrain import __version__
from tinytrain.device import synchronize
from tinytrain.errors import Interrupted, WeightsError
from tinytrain.inspection import count_macs, count_parameters
from tinytrain.kernels.fused.losses import raise_wrong_target
from tinytrain.memory import keep_freed_memory
from tinytrain.tensor import Tensor, wrap
from tinytrain.threads import one_blas_thread
from tinytrain.training.capture import Steps
from tinytrain.training.checkpoint import load_checkpoint, save_checkpoint
from tinytrain.training.checkpoint_file import has_checkpoint
from tinytrain.training.divergence import (
    REMEDY,
    DivergenceError,
    Moment,
    NotFinite,
    Numbered,
    Suspicion,
    explain,
    first_not_finite,
    require_finite,
)
from tinytrain.training.evaluation import evaluate
from tinytrain.training.events import EpochResult, Events
from tinytrain.training.experiment import Experiment
from tinytrain.training.metrics import Meter, Scores
from tinytrain.training.progress import Progress
from tinytrain.training.run_folder import RunFolder
from tinytrain.training.selection import is_better
from tinytrain.training.signals import AtOnce, Interruptions
from tinytrain.training.step import groups_of, learn_and_score
from tinytrain.utils.data import DataLoader
from tinytrain.utils.data.placement import prefetched
from tinytrain.weights import Bundle, load_bundle, save_bundle, weights_sha256
from tinytrain.weights.bundle import arrays_of


@dataclass(frozen=True)
class RunResult:
    """What a training came to.

    Attributes:
        folder: where its files are.
        summary: the contents of `summary.json`.
        epochs: the rows of `metrics.csv`.
        val: scores of the best weights on the validation set, None where there is none.
        test: scores of the best weights on the test set, None where there is none.
    """

    folder: RunFolder
    summary: dict[str, Any]
    epochs: list[EpochResult]
    val: Scores | None
    test: Scores | None


def train(
    experiment: Experiment,
    folder: RunFolder,
    *,
    events: Events | None = None,
    resume: bool = False,
    force: bool = False,
) -> RunResult:
    """Train a model and keep its results in a run folder.

    The best weights are those of the epoch with the best validation score (the lowest loss among equals), or the last
    epoch's where there is no validation set; the validation and test scores of the summary are theirs. Where weights
    are averaged, it is the average that is judged and saved as the best.

    SIGINT and SIGTERM end it after the step in hand, with a checkpoint; a second one at once.

    Args:
        experiment: what is trained, and how; fresh, without a step taken.
        folder: of the run.
        events: is told what happens.
        resume: go on from the newest checkpoint of the folder, where there is one.
        force: the experiment is another one than the checkpoint is of; as of `load_checkpoint`.

    Raises:
        DivergenceError: the loss became infinite or no number.
        StorageError: a file cannot be written, another process trains in the folder, or there is no checkpoint.
        WeightsError: no checkpoint is whole, or they do not fit.
        Interrupted: a signal came.
    """
    keep_freed_memory()
    # A loss that overflowed is an error, told once.
    with folder.locked(), Interruptions() as interruptions, one_blas_thread(), np.errstate(all="ignore"):
        training = _Training(experiment, folder, events or Events(), interruptions)
        training.begin(resume, force)
        try:
            return training.run()
        except Suspicion:
            training.say("the loss is no longer a number; repeating the steps since the last checkpoint to find where")
            training.is_careful = True
            training.begin(resume=True, force=False)
            return training.run()


class _Training:
    """One training, from its beginning or from a checkpoint to its end.

    Attributes:
        is_careful: whether every loss is looked at before anything is learned from it. On a GPU the wait for it would
            cost more than it brings: there only reported losses are looked at, and the steps before a bad one repeated.
    """

    def __init__(self, e: Experiment, folder: RunFolder, events: Events, interruptions: Interruptions):
        self.e, self.folder, self.events, self.interruptions = e, folder, events, interruptions
        self.say = events.message
        self.is_careful = e.device.type == "cpu"
        self.steps = Steps(e, events.message)
        self._told_skipped: set[Any] = set()
        self._saved: Path | None = None

    def begin(self, resume: bool, force: bool) -> None:
        """Write the beginning of a run, or go back to its newest checkpoint."""
        e, folder = self.e, self.folder
        self.progress = p = Progress(self._new_meter())
        # The config is written before any checkpoint, so a folder with neither was stopped right away.
        if resume and (has_checkpoint(folder) or (folder.path / "metrics.csv").exists()):
            saved = load_checkpoint(folder, e, p, force=force, say=self.say)
            if saved is None:  # before the config changes, for the two must go together
                self._save()
            else:
                self._saved = saved
            folder.write_text("config.yaml", e.config_yaml)
            if p.best is not None:
                self._restore_best(p.best)
                folder.write_metrics(p.history)
        else:
            folder.write_text("config.yaml", e.config_yaml)
            self._save()
        self._note_saved()
        self._told_overflows = e.scaler.skipped_steps()
        self.events.begin(folder.path, e.epochs, p.epoch, len(e.train))
        if p.batches:
            self.say(f"going on in epoch {p.epoch + 1} after step {p.batches} of {len(e.train)}")

    def run(self) -> RunResult:
        """Learn what is left to learn and judge the best weights."""
        e, p = self.e, self.progress
        try:
            while p.epoch < e.epochs and not self._is_enough():
                self._learn_epoch()
                self._end_epoch()
        except AtOnce:
            raise
        except Interrupted:
            if self._saved_at != (p.epoch, p.batches):
                self._save()
            self.say(f"stopped in epoch {p.epoch + 1} after step {p.batches} of {len(e.train)}, all of it saved")
            raise
        if e.early_stopping is not None and p.epoch < e.epochs:
            self.say(f"stopped after epoch {p.epoch}: the validation {e.early_stopping.metric} got no better")
        return self._finish()

    def _learn_epoch(self) -> None:
        """Learn from every training batch that the epoch still has."""
        e, p = self.e, self.progress
        e.model.train()
        if e.freezing is not None:
            e.freezing.apply(p.epoch)
        if p.batches == 0:
            p.begin_epoch()
        e.train.set_epoch(p.epoch, p.batches)
        with self._workers_may_be_gone():
            batches = iter(e.train)
        placed = prefetched(self._polled(batches), e.device)
        numbered = ((batches.position - 1, batch) for batch in placed)
        before: list[int] = []
        last = time.perf_counter()
        for group in groups_of(numbered, e.accumulate_steps):
            p.lr = e.optimizer.param_groups[0]["lr"]
            self._learn(group, before)
            e.schedule.step()
            p.steps, p.batches, before = p.steps + 1, batches.position, [number for number, _ in group]
            now = time.perf_counter()
            p.seconds, last = p.seconds + now - last, now
            if self._is_checkpoint_due():
                self._save()
                last = time.perf_counter()
            self.events.pause(p.epoch + 1, p.batches)
            self.interruptions.check()
        synchronize(e.device)
        p.batches, p.seconds = batches.position, p.seconds + time.perf_counter() - last

    def _learn(self, group: list[Numbered], before: list[int]) -> None:
        """Take one step, unless a loss is no longer finite."""
        e, p = self.e, self.progress
        batches = [batch for _, batch in group]
        moment = Moment.of(e) if self.is_careful else None
        try:
            if moment is None:
                learned = self.steps.take(batches, p.meter)
            else:
                learned = learn_and_score(e, batches, p.meter, judge=require_finite)
        except NotFinite as wrong:
            assert moment is not None
            moment.restore(e)
            if first_not_finite(e) is None and self._saved_at != (p.epoch, p.batches):
                self._save()
            raise DivergenceError(
                explain(e, p.epoch, group, before, wrong),
                remedy=f"{REMEDY}. {self._saved} has the weights from before",
            ) from None
        for (number, _), batch in zip(group, learned, strict=True):
            step = number + 1
            reported = batch.loss.item() if step % e.log_every == 0 or step == len(e.train) else None
            if reported is not None and not math.isfinite(reported):
                raise_wrong_target(batch.loss.array)
                raise Suspicion
            if reported is not None:
                self._tell_overflows()
            self.events.batch(p.epoch + 1, step, batch.logits.shape[0], reported, p.lr)

    def _end_epoch(self) -> None:
        """Judge the network as it is after an epoch, and save everything."""
        e, p = self.e, self.progress
        scores = p.meter.scores()
        with self._judged_weights():
            val = None if e.val is None else self._evaluate("validation", e.val, p.epoch)
        e.schedule.end_epoch(scores.loss if val is None else val.loss)
        result = EpochResult(
            epoch=p.epoch + 1,
            lr=p.lr,
            train=scores,
            val=val,
            seconds=p.seconds,
            images_per_second=scores.count / p.seconds,
            is_best=val is None or all(r.val is None or is_better(val, r.val, e.best_metric) for r in p.history),
        )
        p.history.append(result)
        p.begin_epoch()
        self._save_weights("last.safetensors", arrays_of(e.model.state_dict()))
        if result.is_best:
            with self._judged_weights():
                p.best = {name: array.copy() for name, array in arrays_of(e.model.state_dict()).items()}
            self._save_weights("best.safetensors", p.best)
        self.folder.write_metrics(p.history)
        self._save()
        self._tell_skipped()
        self.events.epoch(result)

    def _finish(self) -> RunResult:
        """Judge the best weights and write the summary."""
        e, history = self.e, self.progress.history
        last_sha256 = weights_sha256(e.model.state_dict())
        assert self.progress.best is not None
        e.model.load_state_dict({name: wrap(array) for name, array in self.progress.best.items()})
        scores: dict[str, Scores | None] = {}
        for split, name, loader in (("val", "validation", e.val), ("test", "test", e.test)):
            found = scores[split] = None if loader is None else self._evaluate(name, loader, 0)
            if found is not None:
                self.events.evaluate(split, found)
        seconds = sum(each.seconds for each in history)
        summary: dict[str, Any] = {
            "test": None if scores["test"] is None else scores["test"].summary(),
            "val": None if scores["val"] is None else scores["val"].summary(),
            "best_epoch": max(each.epoch for each in history if each.is_best),
            "epochs": len(history),
            "seconds": seconds,
            "images_per_second": sum(each.train.count for each in history) / seconds,
            "params": count_parameters(e.model),
            "macs": count_macs(e.model, e.input_shape),
            "device": str(e.device),
            "precision": e.precision,
            **({"skipped_steps": e.scaler.skipped_steps()} if e.scaler.is_enabled() else {}),
            "seed": e.seed,
            "weights_sha256": last_sha256,
        }
        if e.device.type == "cuda":
            summary |= {"cuda_graph": {"captured": self.steps.captured, "reason": self.steps.reason}}
        self.folder.write_json("summary.json", summary)
        return RunResult(self.folder, summary, history, scores["val"], scores["test"])

    def _is_enough(self) -> bool:
        stopping, history = self.e.early_stopping, self.progress.history
        return bool(history) and stopping is not None and stopping.is_due(history)

    def _is_checkpoint_due(self) -> bool:
        """Return whether it is time for a checkpoint within an epoch."""
        steps, minutes = self.e.checkpoint_steps, self.e.checkpoint_minutes
        is_step = steps is not None and self.progress.batches // steps > self._saved_at[1] // steps
        return is_step or (minutes is not None and time.monotonic() - self._saved_when >= 60 * minutes)

    def _save(self) -> None:
        """Save a checkpoint, unless the weights have gone wrong unnoticed."""
        wrong = first_not_finite(self.e)
        if wrong is not None:
            if self._saved is None:  # there are no steps to repeat, and no weights from before
                raise DivergenceError(f"{wrong} is not finite before the first step", remedy="Begin with other weights")
            if not self.is_careful:
                raise Suspicion
            raise DivergenceError(
                f"{wrong} is not finite after epoch {self.progress.epoch + 1}, step {self.progress.batches}",
                remedy=f"{REMEDY}. {self._saved} has the weights from before",
            )
        self._saved = save_checkpoint(self.folder, self.e, self.progress)
        self._note_saved()

    def _note_saved(self) -> None:
        self._saved_at = self.progress.epoch, self.progress.batches
        self._saved_when = time.monotonic()

    def _judged_weights(self) -> contextlib.AbstractContextManager[None]:
        """Put the averaged weights in force for a while, where there is an average."""
        return contextlib.nullcontext() if self.e.average is None else self.e.average.applied()

    def _evaluate(self, name: str, loader: DataLoader, epoch: int) -> Scores:
        """Return the scores on a split; `epoch` gives the random numbers of transforms that draw some."""
        e = self.e
        loader.set_epoch(epoch)
        with self._workers_may_be_gone():
            batches = self._polled(iter(loader))
        found = evaluate(e.model, batches, e.loss, num_classes=len(e.class_names), device=e.device)
        if not math.isfinite(found.loss):
            reason = f"the {name} loss is {found.loss} after epoch {self.progress.epoch + 1}"
            raise DivergenceError(reason, remedy=f"{REMEDY}. {self._saved} has the weights from before")
        return found

    def _polled(self, batches: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Hand on batches until a signal comes."""
        while True:
            with self._workers_may_be_gone():
                batch = next(batches, None)
            if batch is None:
                return
            self.interruptions.check()
            yield batch

    @contextlib.contextmanager
    def _workers_may_be_gone(self) -> Iterator[None]:
        """Stop as the signal asks where it has ended the workers, too, and their pipes or batches fail."""
        try:
            yield
        except (RuntimeError, OSError, EOFError):
            self.interruptions.check()
            raise

    def _new_meter(self) -> Meter:
        return Meter(len(self.e.class_names), device=self.e.device)

    def _save_weights(self, name: str, weights: dict[str, np.ndarray]) -> None:
        e = self.e
        bundle = Bundle(weights, class_names=e.class_names, input_shape=e.input_shape, version=__version__, **e.bundle)
        with self.folder.replacing(name) as path:
            save_bundle(path, bundle)

    def _restore_best(self, weights: dict[str, np.ndarray]) -> None:
        """Write the best weights of a checkpoint, unless they are there: with a temperature that was fitted since."""
        try:
            held = load_bundle(self.folder.path / "best.safetensors").weights
        except WeightsError:
            held = {}
        same = held.keys() == weights.keys() and all(np.array_equal(held[name], weights[name]) for name in weights)
        if not same:
            self._save_weights("best.safetensors", weights)

    def _tell_overflows(self) -> None:
        """Say how many steps were skipped since the last time because their gradients overflowed."""
        scaler = self.e.scaler
        if scaler.is_enabled() and (skipped := scaler.skipped_steps()) > self._told_overflows:
            new = skipped - self._told_overflows
            self._told_overflows = skipped
            self.say(
                f"left out {new} step{'s' * (new > 1)} whose gradients overflowed float16; "
                f"the loss scale is now {scaler.get_scale():g}"
            )

    def _tell_skipped(self) -> None:
        """Say which images were left out as damaged, each once."""
        for loader in (self.e.train, self.e.val):
            for key, reason in [] if loader is None else loader.skipped:
                if (id(loader), key) not in self._told_skipped:
                    self._told_skipped.add((id(loader), key))
                    self.say(f"left out: {reason}")
