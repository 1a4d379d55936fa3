"""Trains the trials of a sweep one after the other, each into a run folder of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from tinytrain.config import Config, load_config
from tinytrain.config.build import build_experiment
from tinytrain.errors import ConfigError, TinytrainError
from tinytrain.sweep.plan import Plan, overrides_of
from tinytrain.sweep.study import Claim, SweepStudy
from tinytrain.training import DivergenceError, EpochResult, Events, Experiment, RunFolder, RunResult, Scores, train
from tinytrain.training.selection import Metric
from tinytrain.training.writers import Several


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

    Args:
        study: the record of the sweep.
        plan: what is tried.
        path: of the config.
        device: instead of the config's.
        screen: is told of epochs and of how each trial ended.
        finish: makes of a run's result what `tinytrain train` does: pictures and the page.
    """
    while True:
        with study.claimed() as claim:
            if claim is None:
                return
            overrides = [*overrides_of(plan, claim.point), *([] if device is None else [f"device={device}"])]
            again = ", going on" if claim.is_taken_over else ""
            shown = " ".join(each for each in overrides_of(plan, claim.point) if each not in plan.fixed)
            screen.message(f"trial {claim.trial.number}: {shown}{again}")
            _run(study, claim, load_config(path, overrides), plan.prune, screen, finish)


def _run(
    study: SweepStudy,
    claim: Claim,
    config: Config,
    prune: bool,
    screen: Events,
    finish: Callable[[Experiment, RunResult], None],
) -> None:
    number, metric = claim.trial.number, config.train.best_metric
    try:
        experiment = build_experiment(config)
        if experiment.val is None:
            raise ConfigError(
                "a sweep is judged by a validation set, and there is none", remedy="Set data.val_fraction"
            )
        claim.run.mkdir(parents=True, exist_ok=True)
        reporter = _Reporter(claim, metric, prune, screen)
        result = train(experiment, RunFolder(claim.run), events=reporter, resume=claim.is_taken_over)
    except _PrunedError as pruned:
        study.give_up(claim, {"error": pruned.reason}, pruned=True)
        screen.message(f"trial {number}: {pruned.reason}")
        return
    except DivergenceError as error:
        study.give_up(claim, {"error": error.reason}, pruned=False)
        screen.message(f"trial {number}: failed: {error.reason}")
        return
    finish(experiment, result)
    assert result.val is not None
    study.finish(claim, score(result.val, metric), result_of(result))
    screen.message(f"trial {number}: validation {metric} {score(result.val, metric):.4f}")


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
