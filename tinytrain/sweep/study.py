"""Who trains which trial of a sweep, and what is known of each: kept in a file that survives whatever happens.

The record is a journal of optuna's, to which lines are only added. A trial belongs to the process that holds the lock
of its file, which the system lets go of when a process ends in whatever way; so a trial that was left in the middle is
known, taken over and gone on with from its run's checkpoint.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinytrain.config.origins import flow
from tinytrain.config.runs import read_document
from tinytrain.errors import StorageError, UsageError
from tinytrain.sweep.plan import Plan, Point, Range
from tinytrain.training import RunFolder

NAME = "sweep"
PATIENCE = 60.0
"""Seconds to wait for a lock that others hold only for moments."""


@dataclass(frozen=True)
class Row:
    """What is known of a trial.

    Attributes:
        number: from 0.
        state: `waiting`, `running`, `complete`, `pruned` or `failed`.
        point: what it tries.
        value: validation score, None until it is known.
        result: what else came of it: `test`, `best_epoch`, `seconds`, `error`.
        run: its run folder.
    """

    number: int
    state: str
    point: Point
    value: float | None
    result: dict[str, Any]
    run: Path


@dataclass
class Claim:
    """A trial that is ours until the lock is let go of.

    Attributes:
        trial: optuna's.
        point: what it tries.
        run: its run folder.
        is_taken_over: whether somebody began it before.
    """

    trial: Any
    point: Point
    run: Path
    is_taken_over: bool


class SweepStudy:
    """The record of a sweep, in a folder that any number of processes share.

    Args:
        folder: of the sweep; made where it is not there.
        plan: what is tried.
        config: the config that is changed, as plain values.
        higher_is_better: of the validation score.

    Raises:
        UsageError: optuna is not installed, or the folder belongs to another sweep.
    """

    def __init__(self, folder: Path, plan: Plan, config: dict[str, Any], *, higher_is_better: bool):
        self.folder, self.plan = folder, plan
        self._optuna = import_optuna()
        (folder / "trials").mkdir(parents=True, exist_ok=True)
        with self.locked():
            self._keep_plan({"plan": plan.document(), "config": config})
            journal = folder / "journal.log"
            mend_journal(journal)
            backend = self._optuna.storages.journal.JournalFileBackend(str(journal), _Lock(folder / "journal.lock"))
            self._storage = self._optuna.storages.JournalStorage(backend)
            self.study = self._optuna.create_study(
                study_name=NAME,
                storage=self._storage,
                load_if_exists=True,
                direction="maximize" if higher_is_better else "minimize",
                pruner=self._optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1)
                if plan.prune
                else self._optuna.pruners.NopPruner(),
            )
            self._enqueue_points()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes of the sweep out for a moment."""
        lock = _file_lock(self.folder / "sweep.lock")
        try:
            lock.acquire(timeout=PATIENCE)
        except TimeoutError as error:
            raise StorageError(
                "another process has held the sweep's lock for a minute", place=lock.lock_file
            ) from error
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def claimed(self) -> Iterator[Claim | None]:
        """Yield the next trial to train, ours until the end of the block; None where there is no more to begin."""
        with self.locked():
            claim, lock = self._claim()
        try:
            yield claim
        finally:
            if lock is not None:
                lock.release()

    def rows(self) -> list[Row]:
        """Return what is known of every trial, by number."""
        return [self._row(trial) for trial in self.study.get_trials(deepcopy=False)]

    def finish(self, claim: Claim, value: float, result: dict[str, Any]) -> None:
        """Note that a trial is complete."""
        claim.trial.set_user_attr("result", result)
        self.study.tell(claim.trial, value)

    def give_up(self, claim: Claim, result: dict[str, Any], *, pruned: bool) -> None:
        """Note that a trial was pruned, or failed."""
        state = self._optuna.trial.TrialState
        claim.trial.set_user_attr("result", result)
        self.study.tell(claim.trial, state=state.PRUNED if pruned else state.FAIL)

    def run_folder(self, number: int) -> Path:
        """Return the run folder of a trial."""
        return self.folder / "trials" / f"{number:04d}"

    def _keep_plan(self, document: dict[str, Any]) -> None:
        """Write down what the sweep is, or check that it is this one."""
        file = self.folder / "sweep.json"
        document = json.loads(json.dumps(document))
        if not file.exists():
            if any((self.folder / "trials").iterdir()):
                raise UsageError("the folder holds trials of nothing known", place=self.folder)
            RunFolder(self.folder).write_json(file.name, document)
            return
        known = read_document(file)
        for part in ("plan", "config"):
            for key in sorted({*known[part], *document[part]}):
                there, here = (each[part].get(key) for each in (known, document))
                if there != here:
                    raise UsageError(
                        f"the sweep there has {key}={flow(there)}, this one {key}={flow(here)}",
                        place=self.folder,
                        remedy="Name another folder with --sweep-dir, or give the same command to go on",
                    )

    def _sampler(self, number: int) -> Any:
        """Return what chooses a trial's point: seed and number decide, in a search by scores the scores too."""
        samplers = self._optuna.samplers
        seed = int(np.random.default_rng([self.plan.seeds[0], number]).integers(2**31))
        return samplers.TPESampler(seed=seed) if self.plan.search == "tpe" else samplers.RandomSampler(seed=seed)

    def _enqueue_points(self) -> None:
        known = {trial.user_attrs.get("point") for trial in self.study.get_trials(deepcopy=False)}
        for number, point in enumerate(self.plan.points()):
            if number not in known:
                params = {key: self._encode(key, value) for key, value in point.items()}
                self.study.enqueue_trial(params, user_attrs={"point": number})

    def _claim(self) -> tuple[Claim | None, Any]:
        """Return a trial and the lock of its file: one left behind by a process that is no more, else a new one."""
        states = self._optuna.trial.TrialState
        trials = self.study.get_trials(deepcopy=False)
        for frozen in trials:
            if frozen.state == states.RUNNING:
                lock = _file_lock(self.folder / "trials" / f"{frozen.number:04d}.lock")
                try:
                    lock.acquire(timeout=0)
                except TimeoutError:
                    continue
                if self._storage.get_trial(frozen._trial_id).state != states.RUNNING:
                    lock.release()  # its process came to the end of it since we looked
                    continue
                self.study.sampler = self._sampler(frozen.number)
                trial = self._optuna.trial.Trial(self.study, frozen._trial_id)
                return Claim(trial, self._suggest(trial), self.run_folder(trial.number), True), lock
        is_waiting = any(frozen.state == states.WAITING for frozen in trials)
        if not is_waiting and (self.plan.search != "tpe" or len(trials) >= (self.plan.trials or 0)):
            return None, None
        self.study.sampler = self._sampler(len(trials))
        trial = self.study.ask()
        lock = _file_lock(self.folder / "trials" / f"{trial.number:04d}.lock")
        lock.acquire(timeout=PATIENCE)
        return Claim(trial, self._suggest(trial), self.run_folder(trial.number), False), lock

    def _suggest(self, trial: Any) -> Point:
        """Return a trial's point: as planned, or as the search suggests."""
        point: Point = {}
        for key, axis in self.plan.axes.items():
            if not isinstance(axis, Range):
                texts = [flow(value) for value in axis]
                point[key] = axis[texts.index(trial.suggest_categorical(key, texts))]
            elif axis.is_whole:
                point[key] = trial.suggest_int(key, int(axis.low), int(axis.high), log=axis.log)
            else:
                point[key] = trial.suggest_float(key, axis.low, axis.high, log=axis.log)
        return {**point, "seed": trial.suggest_categorical("seed", self.plan.seeds)}

    def _encode(self, key: str, value: Any) -> Any:
        """Return a value as optuna keeps it: numbers of ranges as they are, all others as YAML."""
        return value if key == "seed" or isinstance(self.plan.axes[key], Range) else flow(value)

    def _row(self, frozen: Any) -> Row:
        params = dict(frozen.params) or dict(frozen.system_attrs.get("fixed_params", {}))
        point = {}
        for key, value in params.items():
            axis = self.plan.axes.get(key)
            known = {flow(each): each for each in axis} if isinstance(axis, list) else {}
            point[key] = known.get(value, value)
        return Row(
            number=frozen.number,
            state={"FAIL": "failed"}.get(frozen.state.name, frozen.state.name.lower()),
            point=point,
            value=frozen.value if frozen.state.name == "COMPLETE" else None,
            result=frozen.user_attrs.get("result", {}),
            run=self.run_folder(frozen.number),
        )


def import_optuna() -> Any:
    """Return the package optuna, quiet.

    Raises:
        UsageError: it, or filelock, is not installed.
    """
    try:
        import filelock  # noqa: F401
        import optuna
        import optuna.storages.journal
    except ImportError as error:
        raise UsageError(
            f"a sweep needs the packages optuna and filelock ({error})", remedy="pip install 'tinytrain[sweep]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def mend_journal(file: Path) -> None:
    """Cut off a last line that was not written to its end, as when the power failed; call it under the sweep's lock."""
    if file.exists():
        content = file.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with file.open("rb+") as journal:
                journal.truncate(whole)


class _Lock:
    """The journal's lock, which ends with the process that holds it."""

    def __init__(self, file: Path):
        self._lock = _file_lock(file)

    def acquire(self) -> bool:
        self._lock.acquire(timeout=PATIENCE)
        return True

    def release(self) -> None:
        self._lock.release()


def _file_lock(file: Path) -> Any:
    import filelock

    return filelock.FileLock(file, thread_local=False)
