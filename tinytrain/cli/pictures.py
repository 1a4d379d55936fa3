"""The pictures and the page of a run: an experiment and its result as `tinytrain.report` wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinytrain.training import Experiment, RunFolder, RunResult

NUM_IMAGES = 64
MIN_PIXELS = 64
"""Smaller images are enlarged to about this many pixels, so that one can see them."""


def draw_train_batch(experiment: Experiment, folder: RunFolder) -> None:
    """Write `train_batch.png`: the first images of the first epoch as the network gets them."""
    from tinytrain.utils import make_grid, save_image

    experiment.train.set_epoch(0)
    images = next(iter(experiment.train))[0][:NUM_IMAGES]
    factor = max(1, round(MIN_PIXELS / max(images.shape[2:])))
    grid = make_grid(images, nrow=8, padding=1, normalize=True, pad_value=1.0)
    with folder.replacing("train_batch.png") as path:
        save_image(grid.repeat_interleave(factor, 1).repeat_interleave(factor, 2), path)


def draw_run(experiment: Experiment, result: RunResult) -> None:
    """Write the plots and `report.html` into the run's folder."""
    from tinytrain.cli.doctor import versions
    from tinytrain.inspection import layer_costs
    from tinytrain.report import RunReport, write_report

    scores = result.test or result.val
    report = RunReport(
        name=result.folder.path.name,
        summary=result.summary,
        epochs=[_row(each) for each in result.epochs],
        class_names=experiment.class_names,
        confusion=None if scores is None else scores.confusion,
        per_class=[] if scores is None else scores.per_class(experiment.class_names),
        layers=[vars(layer) for layer in layer_costs(experiment.model, experiment.input_shape)],
        config_yaml=experiment.config_yaml,
        versions={name: version for name, version in versions().items() if version is not None},
    )
    write_report(result.folder.path, report)


def _row(epoch: Any) -> dict[str, Any]:
    val = epoch.val
    return {
        "epoch": epoch.epoch,
        "lr": epoch.lr,
        "train_loss": epoch.train.loss,
        "train_top1": epoch.train.top1,
        "val_loss": None if val is None else val.loss,
        "val_top1": None if val is None else val.top1,
    }
