"""Trains the trials of a sweep one after the other, each into a run folder of its own."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from tinytrain.config import load_config
from tinytrain.config.build import build_experiment
from tinytrain.device import memory_message
from tinytrain.errors import ConfigError, DataError, TinytrainError, WeightsError
from tinytrain.sweep.plan import Plan, Point, overrides_of
from tinytrain.sweep.study import Claim, SweepStudy
from tinytrain.training import DivergenceError, EpochResult, Events, Experiment, RunFolder, RunResult, Scores, train
from tinytrain.training.selection import Metric
from tinytrain.training.writers import Several

MAX_OTHERS = 20
"""So many other points are tried before an error is taken for one of them all."""

_UNBUILT = (ConfigError, DataError, WeightsError, MemoryError)
"""What ends a sweep where no point can be built, and a trial where others can."""

_UNTRAINED = (DivergenceError, ConfigError, WeightsError, MemoryError)
"""What ends a trial that was begun; damaged data are to be mended, and the trial goes on."""


class _PrunedError(TinytrainError):
    """The run is worse than most others were at the same epoch."""


class _Reporter(Several):
    """Tells the study of every epoch's score, and the screen of everything.

    Args:
        claim: the trial.
        metric: what it is judged by.
        prune: whether to stop a hopeless run.
        screen: is told, too.
    """

    def __init__(self, claim: Claim, metric: Metric, prune: bool, screen: Events):
        super().__init__([screen])
        self._claim, self._metric, self._prune = claim, metric, prune

    def epoch(self, result: EpochResult) -> None:
        """Report an epoch's validation score."""
        super().epoch(result)
        if result.val is None:
            return
        self._claim.trial.report(score(result.val, self._metric), result.epoch)
        if self._prune and self._claim.trial.should_prune():
            raise _PrunedError(f"pruned after epoch {result.epoch}")

    def message(self, text: str) -> None:
        """Pass on, with the number of the trial."""
        super().message(f"trial {self._claim.trial.number}: {text}")


def score(scores: Scores, metric: Metric) -> float:
    """Return what a metric says."""
    if metric == "loss":
        return scores.loss
    return scores.macro_recall if metric == "macro_recall" else scores.topk[int(metric.removeprefix("top"))]


def run_trials(
    study: SweepStudy,
    plan: Plan,
    path: str | os.PathLike[str],
    *,
    device: str | None,
    screen: Events,
    finish: Callable[[Experiment, RunResult], None],
) -> None:
    """Train trials until there is none left to begin.

    A trial that cannot be built is noted as failed, and the next begins, unless it seems that no other could be built.

    Args:
        study: the record of the sweep.
        plan: what is tried.
        path: of the config.
        device: instead of the config's.
        screen: is told of epochs and of how each trial ended.
        finish: makes of a run's result what `tinytrain train` does: pictures and the page.

    Raises:
        TinytrainError: no trial can be built; or one cannot go on, for a reason that is not in its point.
    """
    while True:
        with study.claimed() as claim:
            if claim is None:
                return
            again = ", going on" if claim.is_taken_over else ""
            shown = " ".join(each for each in overrides_of(plan, claim.point) if each not in plan.fixed)
            screen.message(f"trial {claim.trial.number}: {shown}{again}")
            _run(study, plan, claim, functools.partial(_build, path, plan, device), screen, finish)


def _run(
    study: SweepStudy,
    plan: Plan,
    claim: Claim,
    build: Callable[[Point], tuple[Experiment, Metric]],
    screen: Events,
    finish: Callable[[Experiment, RunResult], None],
) -> None:
    number = claim.trial.number
    try:
        experiment, metric = build(claim.point)
    except _UNBUILT as error:
        if not _is_its_own(study, plan, claim, build):
            raise
        _fail(study, claim, error, screen)
        return
    try:
        claim.run.mkdir(parents=True, exist_ok=True)
        reporter = _Reporter(claim, metric, plan.prune, screen)
        result = train(experiment, RunFolder(claim.run), events=reporter, resume=claim.is_taken_over)
    except _PrunedError as pruned:
        study.give_up(claim, {"error": pruned.reason}, pruned=True)
        screen.message(f"trial {number}: {pruned.reason}")
        return
    except _UNTRAINED as error:
        _fail(study, claim, error, screen)
        return
    finish(experiment, result)
    assert result.val is not None
    study.finish(claim, score(result.val, metric), result_of(result))
    screen.message(f"trial {number}: validation {metric} {score(result.val, metric):.4f}")


def _build(path: str | os.PathLike[str], plan: Plan, device: str | None, point: Point) -> tuple[Experiment, Metric]:
    """Return what a point trains, and what it is judged by."""
    config = load_config(path, [*overrides_of(plan, point), *([] if device is None else [f"device={device}"])])
    experiment = build_experiment(config)
    if experiment.val is None:
        raise ConfigError("a sweep is judged by a validation set, and there is none", remedy="Set data.val_fraction")
    return experiment, config.train.best_metric


def _is_its_own(study: SweepStudy, plan: Plan, claim: Claim, build: Callable[[Point], object]) -> bool:
    """Return whether a trial cannot be built by its point: one that was trained, or one by chance, still can."""
    rng = np.random.default_rng(0)
    trained = [row.point for row in study.rows() if row.state == "complete"][-1:]
    for point in [*trained, *(plan.draw(rng) for _ in range(MAX_OTHERS))]:
        if point != claim.point:
            with contextlib.suppress(*_UNBUILT):
                build(point)
                return True
    return False


def _fail(study: SweepStudy, claim: Claim, error: Exception, screen: Events) -> None:
    """Note that a trial failed, and say why."""
    reason = memory_message(error) if isinstance(error, MemoryError) else str(error)
    study.give_up(claim, {"error": reason}, pruned=False)
    screen.message(f"trial {claim.trial.number}: failed: {reason}")


def result_of(result: RunResult) -> dict[str, Any]:
    """Return what the table of a sweep tells of a run, beside its score."""
    summary = result.summary
    return {
        "test_top1": None if summary["test"] is None else summary["test"]["top1"],
        "best_epoch": summary["best_epoch"],
        "params": summary["params"],
        "macs": summary["macs"],
        "seconds": summary["seconds"],
    }
