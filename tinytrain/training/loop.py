"""The training loop: batches, gradients, steps; epochs, evaluation, files."""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tinytrain import __version__
from tinytrain.device import synchronize
from tinytrain.errors import TinytrainError
from tinytrain.inspection import count_macs, count_parameters
from tinytrain.memory import keep_freed_memory
from tinytrain.threads import one_blas_thread
from tinytrain.training.checkpoint import load_checkpoint, save_checkpoint
from tinytrain.training.evaluation import evaluate
from tinytrain.training.events import EpochResult, Events
from tinytrain.training.experiment import Experiment
from tinytrain.training.metrics import Meter, Scores
from tinytrain.training.run_folder import RunFolder
from tinytrain.training.selection import is_better
from tinytrain.training.step import groups_of, learn
from tinytrain.utils.data import DataLoader
from tinytrain.weights import Bundle, load_bundle, save_bundle, weights_sha256
from tinytrain.weights.bundle import arrays_of


class DivergenceError(TinytrainError):
    """The loss is no longer a number."""


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
    experiment: Experiment, folder: RunFolder, *, events: Events | None = None, resume: bool = False
) -> RunResult:
    """Train a model and keep its results in a run folder.

    The best weights are those of the epoch with the best validation score (the lowest loss among equals), or the last
    epoch's where there is no validation set; the validation and test scores of the summary are theirs. Where weights
    are averaged, it is the average that is judged and saved as the best.

    Args:
        experiment: what is trained, and how.
        folder: of the run.
        events: is told what happens.
        resume: go on after the last epoch that was finished, from its checkpoint.

    Raises:
        DivergenceError: the loss became infinite or no number.
        StorageError: a file cannot be written, or there is no checkpoint to go on from.
    """
    keep_freed_memory()
    with one_blas_thread(), np.errstate(all="ignore"):  # a loss that overflowed is an error, told once
        return _train(experiment, folder, events or Events(), resume)


def _train(e: Experiment, folder: RunFolder, events: Events, resume: bool) -> RunResult:
    history: list[EpochResult] = []
    if resume and (folder.path / "metrics.csv").exists():  # else it was stopped in its first epoch
        saved = load_checkpoint(folder, e)
        history = [_epoch_from_json(row) for row in saved["epochs"]]
    else:
        folder.write_text("config.yaml", e.config_yaml)
    events.begin(folder.path, e.epochs, len(history), len(e.train))
    while len(history) < e.epochs and not _is_enough(e, history):
        result = _run_epoch(e, len(history), history, events)
        history.append(result)
        _save_weights(e, folder, "last.safetensors")
        if result.is_best:
            with _judged_weights(e):
                _save_weights(e, folder, "best.safetensors")
        folder.write_metrics(history)
        save_checkpoint(folder, e, {"epochs": [_epoch_to_json(r) for r in history]})
        events.epoch(result)
    if e.early_stopping is not None and len(history) < e.epochs:
        events.message(f"stopped after epoch {len(history)}: the validation {e.early_stopping.metric} got no better")
    return _finish(e, folder, history, events)


def _run_epoch(e: Experiment, epoch: int, history: list[EpochResult], events: Events) -> EpochResult:
    """Learn from every training batch once, then look at the validation set."""
    e.model.train()
    if e.freezing is not None:
        e.freezing.apply(epoch)
    e.train.set_epoch(epoch)
    meter = Meter(len(e.class_names), device=e.device)
    lr = e.optimizer.param_groups[0]["lr"]
    begin = time.perf_counter()
    step = 0
    for batches in groups_of(e.train, e.accumulate_steps):
        lr = e.optimizer.param_groups[0]["lr"]
        for batch in learn(e, batches):
            step += 1
            meter.update(batch.logits, batch.targets, batch.loss)
            reported = batch.loss.item() if step % e.log_every == 0 or step == len(e.train) else None
            if reported is not None and not math.isfinite(reported):
                raise DivergenceError(
                    f"the loss is {reported} at epoch {epoch + 1}, step {step}",
                    remedy="Lower train.optimizer.lr, warm up longer, or set train.clip_grad_norm",
                )
            events.batch(epoch + 1, step, batch.logits.shape[0], reported, lr)
        e.schedule.step()
    synchronize(e.device)
    seconds = time.perf_counter() - begin
    scores = meter.scores()
    with _judged_weights(e):
        val = None if e.val is None else _evaluate(e, e.val)
    e.schedule.end_epoch(scores.loss if val is None else val.loss)
    return EpochResult(
        epoch=epoch + 1,
        lr=lr,
        train=scores,
        val=val,
        seconds=seconds,
        images_per_second=scores.count / seconds,
        is_best=val is None or all(each.val is None or is_better(val, each.val, e.best_metric) for each in history),
    )


def _is_enough(e: Experiment, history: list[EpochResult]) -> bool:
    return bool(history) and e.early_stopping is not None and e.early_stopping.is_due(history)


def _judged_weights(e: Experiment) -> contextlib.AbstractContextManager[None]:
    """Put the averaged weights in force for a while, where there is an average."""
    return contextlib.nullcontext() if e.average is None else e.average.applied()


def _evaluate(e: Experiment, loader: DataLoader) -> Scores:
    return evaluate(e.model, loader, e.loss, num_classes=len(e.class_names), device=e.device)


def _save_weights(e: Experiment, folder: RunFolder, name: str) -> None:
    bundle = Bundle(
        weights=arrays_of(e.model.state_dict()),
        class_names=e.class_names,
        input_shape=e.input_shape,
        version=__version__,
        **e.bundle,
    )
    with folder.replacing(name) as path:
        save_bundle(path, bundle)


def _finish(e: Experiment, folder: RunFolder, history: list[EpochResult], events: Events) -> RunResult:
    """Judge the best weights and write the summary."""
    last_sha256 = weights_sha256(e.model.state_dict())
    e.model.load_state_dict(load_bundle(folder.path / "best.safetensors").state_dict())
    scores: dict[str, Scores | None] = {}
    for split, loader in (("val", e.val), ("test", e.test)):
        found = scores[split] = None if loader is None else _evaluate(e, loader)
        if found is not None:
            events.evaluate(split, found)
    seconds = sum(each.seconds for each in history)
    summary = {
        "test": None if scores["test"] is None else scores["test"].summary(),
        "val": None if scores["val"] is None else scores["val"].summary(),
        "best_epoch": max(each.epoch for each in history if each.is_best),
        "epochs": len(history),
        "seconds": seconds,
        "images_per_second": sum(each.train.count for each in history) / seconds,
        "params": count_parameters(e.model),
        "macs": count_macs(e.model, e.input_shape),
        "device": str(e.device),
        "seed": e.seed,
        "weights_sha256": last_sha256,
    }
    folder.write_json("summary.json", summary)
    return RunResult(folder, summary, history, scores["val"], scores["test"])


def _epoch_to_json(result: EpochResult) -> dict[str, Any]:
    row = asdict(result)
    for split in ("train", "val"):
        if row[split] is not None:
            row[split]["confusion"] = row[split]["confusion"].tolist()
    return row


def _epoch_from_json(row: dict[str, Any]) -> EpochResult:
    import numpy as np

    def scores(found: dict[str, Any]) -> Scores:
        topk = {int(k): value for k, value in found["topk"].items()}
        return Scores(found["loss"], topk, found["count"], np.asarray(found["confusion"], np.int64))

    val = None if row["val"] is None else scores(row["val"])
    return EpochResult(**{**row, "train": scores(row["train"]), "val": val})
