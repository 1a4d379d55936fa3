"""The pictures and the page of a run: an experiment and its result as `tinytrain.report` wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tinytrain.errors import StorageError

if TYPE_CHECKING:
    from tinytrain.training import Experiment, Mistake, RunFolder, RunResult

NUM_IMAGES = 64
NUM_MISTAKES = 30


def draw_train_batch(experiment: Experiment, folder: RunFolder) -> None:
    """Write `train_batch.png`: the first images of the first epoch as the network gets them, in their true colours."""
    from tinytrain.datasets.samples import transform_of
    from tinytrain.report.grids import draw_grid, labelled
    from tinytrain.training.metrics import class_indices

    experiment.train.set_epoch(0)
    images, targets = next(iter(experiment.train))
    transform, names = transform_of(experiment.train.dataset), _drawable(experiment.class_names)
    shown = zip(images[:NUM_IMAGES], class_indices(targets)[:NUM_IMAGES].tolist(), strict=True)
    sheet = draw_grid([labelled(image, names[target], transform=transform) for image, target in shown])
    with folder.replacing("train_batch.png") as path:
        sheet.save(path)


def draw_worst_mistakes(experiment: Experiment, folder: RunFolder) -> None:
    """Write `worst_mistakes.png`: what the best weights got most wrong; nothing where all is right.

    The images are those of the test set or, without one, of the validation set.
    """
    from tinytrain.datasets.samples import transform_of
    from tinytrain.training import worst_mistakes

    batches = experiment.test or experiment.val
    if batches is None:
        return
    found = worst_mistakes(experiment.model, batches, count=NUM_MISTAKES, device=experiment.device)
    draw_mistakes(found, transform_of(batches.dataset), experiment.class_names, folder)


def draw_mistakes(mistakes: Sequence[Mistake], transform: Any, class_names: Sequence[str], folder: RunFolder) -> None:
    """Write `worst_mistakes.png`; nothing where there are none.

    Args:
        mistakes: the worst first.
        transform: that their images went through.
        class_names: by class index.
        folder: where to.
    """
    from tinytrain.report.grids import draw_grid, judged

    if not mistakes:
        return
    names = _drawable(class_names)
    tiles = [
        judged(m.image, names[m.target], names[m.prediction], m.probability, transform=transform) for m in mistakes
    ]
    with folder.replacing("worst_mistakes.png") as path:
        draw_grid(tiles, nrow=6, cell=144).save(path)


def draw_run(experiment: Experiment, result: RunResult) -> None:
    """Write the plots, the worst mistakes and `report.html` into the run's folder."""
    from tinytrain.cli.doctor import machine, versions
    from tinytrain.inspection import layer_costs
    from tinytrain.report import RunReport, write_report

    draw_worst_mistakes(experiment, result.folder)
    scores = result.test or result.val
    report = RunReport(
        name=result.folder.path.name,
        summary=result.summary,
        epochs=[_row(each) for each in result.epochs],
        class_names=_drawable(experiment.class_names),
        confusion=None if scores is None else scores.confusion,
        per_class=[] if scores is None else scores.per_class(_drawable(experiment.class_names)),
        layers=[vars(layer) for layer in layer_costs(experiment.model, experiment.input_shape)],
        config_yaml=experiment.config_yaml,
        versions={name: version for name, version in versions().items() if version is not None},
        machine=machine(),
    )
    try:
        write_report(result.folder.path, report)
    except OSError as error:
        raise StorageError(
            f"the report cannot be written: {error.strerror or error}",
            place=result.folder.path,
            remedy="Everything else is there; --resume writes it again",
        ) from error


def _drawable(names: Sequence[str]) -> list[str]:
    """Return names that a font and a page can show: those of folders need not be UTF-8."""
    return [name.encode("utf-8", "replace").decode("utf-8") for name in names]


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
