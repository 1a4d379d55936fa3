"""How good trained weights are: on a split of their data, or on any folder with the right class names."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinytrain.config.build import build_loader, build_model, image_shape, load_data, pipeline_of
from tinytrain.config.load import config_from_values
from tinytrain.config.losses import build_loss, with_class_weights
from tinytrain.config.problems import placed
from tinytrain.config.runs import blamed_on_weights, load_every_tensor, require_same_classes, temperature_in
from tinytrain.config.schema import Config, LossSection
from tinytrain.datasets import ImageFolder, read_image
from tinytrain.datasets.catalog import SPLITS, MissingSplit, reads_folder
from tinytrain.datasets.samples import labels_of
from tinytrain.device import CPU, move, require
from tinytrain.device import device as Device
from tinytrain.errors import DataError, did_you_mean
from tinytrain.nn import Module
from tinytrain.tensor import Tensor
from tinytrain.training import Mistake, RunFolder, Scores, evaluate, worst_mistakes
from tinytrain.training.calibration import calibration_error, fit_temperature
from tinytrain.training.metrics import class_indices
from tinytrain.training.views import Augmentation, MeanOfViews, Views
from tinytrain.utils.data import DataLoader
from tinytrain.weights import description_in, load_bundle, read_weights, save_bundle


@dataclass(frozen=True)
class _Known:
    """What self-contained weights say of the images that they were trained on."""

    class_names: list[str]
    channels: int


@dataclass(frozen=True)
class Judgement:
    """What a model makes of a set of images.

    Attributes:
        scores: loss, accuracy, confusion.
        logits: (n, classes) float32, in the order of the set.
        labels: (n,) class indices.
    """

    scores: Scores
    logits: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Evaluation:
    """Trained weights in their network, and the images to judge them by.

    Attributes:
        source: a run folder or a weights file.
        config: of network, data and transforms.
        split: of the data.
        model: gives logits; of the mean of several views where that is asked for.
        dataset: with its transforms.
        class_names: by class index.
        loss: from logits and targets to a scalar.
        temperature: that logits are divided by before probabilities are made of them.
        device: where the model lies.
    """

    source: str
    config: Config
    split: str
    model: Module
    dataset: Any
    class_names: list[str]
    loss: Module
    temperature: float
    device: Device

    def batches(self) -> DataLoader:
        """Return a loader of the images, in their order."""
        return build_loader(self.config, self.dataset, shuffle=False)

    def judge(self, topk: Sequence[int] = (1, 5)) -> Judgement:
        """Run the model over all images.

        Args:
            topk: a hit among so many best guesses is counted.
        """
        logits: list[np.ndarray] = []
        labels: list[np.ndarray] = []

        def keep(batch: Tensor, targets: Tensor) -> None:
            logits.append(np.array(move(batch.array, CPU)))
            labels.append(np.array(move(class_indices(targets).array, CPU)))

        scores = evaluate(
            self.model,
            self.batches(),
            self.loss,
            num_classes=len(self.class_names),
            device=self.device,
            topk=topk,
            watch=keep,
        )
        return Judgement(scores, np.concatenate(logits), np.concatenate(labels))

    def mistakes(self, count: int) -> list[Mistake]:
        """Return the worst mistakes, at most `count`."""
        return worst_mistakes(self.model, self.batches(), count=count, device=self.device)


def open_evaluation(
    source: str | os.PathLike[str],
    *,
    config: Config | None = None,
    data_root: str | None = None,
    mapping: Mapping[str, str | None] | None = None,
    split: str = "test",
    augmentation: Augmentation | None = None,
    device: str = "auto",
) -> Evaluation:
    """Return trained weights in their network with the images of a split.

    The loss is the one that a run was trained with, and cross-entropy for weights from elsewhere.

    Args:
        source: a run folder or a weights file.
        config: of network, data and transforms; None: those that the weights were trained with.
        data_root: folder of the data instead of the config's. One whose folders are named as classes is judged as a
            whole; it may lack some of the classes.
        mapping: names in the weights file to names in the network, as of `match_weights`.
        split: `val` or `test`.
        augmentation: judge each image by the mean over these views of it.
        device: where to compute.

    Raises:
        WeightsError: the weights are missing, damaged, or do not fit the network.
        DataError: there is no such split, or it has other classes than the weights.
    """
    loss, temperature = LossSection(), 1.0
    if config is None:
        bundle = load_bundle(source)
        weights: Mapping[str, np.ndarray] = bundle.weights
        known: _Known | None = _Known(bundle.class_names, bundle.input_shape[0])
        temperature = temperature_in(bundle.extra, source)
        values: dict[str, Any] = {
            **{key: bundle.extra[key] for key in ("data", "seed") if key in bundle.extra},
            "model": bundle.model,
            "transforms": {"eval": bundle.eval_transforms},
        }
        if "loss" in bundle.extra:
            values["train"] = {"loss": bundle.extra["loss"]}
        with blamed_on_weights():
            config = config_from_values(values, {(): os.fspath(source)})
        loss = config.train.loss
    else:
        file = read_weights(source)
        described = description_in(file)
        weights = file.tensors
        known = None if described is None else _Known(described["class_names"], described["input_shape"][0])
    dataset, classes = _images(config, data_root, known, split, augmentation)
    where = require(device)
    with placed(("transforms", "eval"), config.origins):
        input_shape = image_shape(dataset)[-3:]  # of one view of an image
    model = build_model(config.model, num_classes=len(classes), input_shape=input_shape, origins=config.origins)
    load_every_tensor(model, weights, mapping, source)
    with blamed_on_weights(), placed(("train", "loss"), config.origins):
        weighted = with_class_weights(loss.arguments, labels_of(dataset), len(classes))
        criterion = build_loss(loss.name, weighted).to(where)
    return Evaluation(
        source=os.fspath(source),
        config=config.model_copy(update={"device": str(where)}),  # images that stay on a device lie with the model
        split=split,
        model=(model if augmentation is None else MeanOfViews(model)).to(where).eval(),
        dataset=dataset,
        class_names=classes,
        loss=criterion,
        temperature=temperature,
        device=where,
    )


def calibrate(source: str | os.PathLike[str], *, data_root: str | None = None, device: str = "auto") -> float:
    """Fit a temperature on the validation images and keep it in the weights file; return it.

    Args:
        source: a run folder, whose best weights get it, or a self-contained weights file.
        data_root: folder of the data instead of the config's.
        device: where to compute.

    Raises:
        StorageError: a training is in the run folder.
    """
    found = open_evaluation(source, data_root=data_root, split="val", device=device)
    judged = found.judge()
    temperature = fit_temperature(judged.logits, judged.labels)
    path = Path(source)
    file = path / "best.safetensors" if path.is_dir() else path
    folder = RunFolder(file.parent)
    with folder.locked() if path.is_dir() else nullcontext():
        bundle = load_bundle(file)
        bundle.extra["temperature"] = temperature
        with folder.replacing(file.name) as temporary:
            save_bundle(temporary, bundle)
    return temperature


def report_of(evaluation: Evaluation, judged: Judgement) -> dict[str, Any]:
    """Return a judgement as `evaluate --json` prints it; the calibration of weights that keep a temperature, too."""
    report = {
        "split": evaluation.split,
        **judged.scores.summary(),
        "count": judged.scores.count,
        "per_class": judged.scores.per_class(evaluation.class_names),
    }
    if evaluation.temperature != 1:
        errors = [calibration_error(judged.logits, judged.labels, t) for t in (1.0, evaluation.temperature)]
        report["calibration"] = {
            "error": errors[0],
            "temperature": evaluation.temperature,
            "error_with_temperature": errors[1],
        }
    return report


def _images(
    config: Config,
    data_root: str | None,
    known: _Known | None,
    split: str,
    augmentation: Augmentation | None,
) -> tuple[Any, list[str]]:
    """Return a split of a config's data, or all of a folder with the right class names, and the classes."""
    if data_root is not None:
        folder = Path(data_root).expanduser()
        if known is not None and _holds_classes(folder, known.class_names):
            return _class_folders(config, folder, known, augmentation), known.class_names
        if not reads_folder(config.data.dataset):
            raise DataError(
                f"{config.data.dataset} is read from no folder, and this one has no folders of its classes",
                place=data_root,
                remedy="Leave --data out, or name a folder with one folder a class",
            )
        config = config.model_copy(update={"data": config.data.model_copy(update={"root": data_root})})
    try:
        splits = load_data(config, augmentation=augmentation, needed=[split])
    except MissingSplit as error:
        raise _missing(split, config) from error
    require_same_classes(config, splits.classes, None if known is None else known.class_names)
    dataset = {"val": splits.val, "test": splits.test}[split]
    if dataset is None:
        raise _missing(split, config)
    return dataset, splits.classes


def _missing(split: str, config: Config) -> DataError:
    return DataError(
        f"there is no {split} split",
        place=config.data.root or config.data.dataset,
        remedy=f"Use --split {'val' if split == 'test' else 'test'}, or name a folder of classes with --data",
    )


def _holds_classes(folder: Path, class_names: Sequence[str]) -> bool:
    """Return whether a folder has folders of classes in it, and none of splits."""
    if not folder.is_dir():
        return False
    names = {each.name for each in folder.iterdir() if each.is_dir()}
    return not names.isdisjoint(class_names) and names.isdisjoint(SPLITS)


class _KnownClasses(ImageFolder):
    """A folder of class folders whose indices are those that a model knows."""

    def __init__(self, root: Path, known: Sequence[str], **options: Any):
        self._known = known
        super().__init__(root, allow_empty=True, **options)

    def find_classes(self, directory: Any) -> tuple[list[str], dict[str, int]]:
        """Return the classes that the model knows; others are an error."""
        for each in sorted(Path(directory).iterdir()):
            if each.is_dir() and not each.name.startswith(".") and each.name not in self._known:
                raise DataError(
                    f"the weights know no class {each.name!r}{did_you_mean(each.name, self._known)}",
                    place=each,
                    remedy=f"Known: {', '.join(self._known)}",
                )
        present = {name: i for i, name in enumerate(self._known) if (Path(directory) / name).is_dir()}
        return list(self._known), present


def _class_folders(config: Config, folder: Path, known: _Known, augmentation: Augmentation | None) -> _KnownClasses:
    pipeline = pipeline_of(config, "eval")
    transform = pipeline if augmentation is None else Views(pipeline, augmentation)
    mode = "L" if known.channels == 1 else "RGB"
    return _KnownClasses(
        folder, known.class_names, loader=functools.partial(read_image, mode=mode), transform=transform
    )
