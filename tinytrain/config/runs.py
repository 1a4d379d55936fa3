"""Runs that exist already: how good their weights are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinytrain.config.build import build_loader, build_loss, build_model, image_shape, load_data
from tinytrain.config.load import config_from_values
from tinytrain.config.schema import Config
from tinytrain.device import require
from tinytrain.errors import DataError, WeightsError
from tinytrain.nn import Module
from tinytrain.training import evaluate
from tinytrain.training.views import Augmentation, MeanOfViews
from tinytrain.weights import description_in, load_bundle, load_weights, read_weights


def evaluate_weights(
    source: str | os.PathLike[str],
    *,
    config: Config | None = None,
    data_root: str | None = None,
    mapping: Mapping[str, str | None] | None = None,
    split: str = "test",
    topk: int = 5,
    augmentation: Augmentation | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Return how good weights are on a split, as `evaluate --json` prints it.

    The loss is the one that a run was trained with, and cross-entropy for weights from elsewhere.

    Args:
        source: a run folder or a weights file.
        config: of network, data and transforms; None: those that the weights were trained with.
        data_root: folder of the data instead of the config's.
        mapping: names in the weights file to names in the network, as of `match_weights`.
        split: `val` or `test`.
        topk: a hit among this many best guesses is counted, beside 1 and 5.
        augmentation: judge each image by the mean over these views of it.
        device: where to compute.

    Raises:
        WeightsError: the weights are missing, damaged, or do not fit the network.
        DataError: there is no such split, or it has other classes than the weights.
    """
    class_names: list[str] | None
    loss = {"name": "cross_entropy"}
    if config is None:
        bundle = load_bundle(source)
        weights, class_names = bundle.weights, bundle.class_names
        loss = bundle.extra.get("loss", loss)
        values = {
            "data": bundle.extra["data"],
            "seed": bundle.extra["seed"],
            "model": bundle.model,
            "transforms": {"eval": bundle.eval_transforms},
        }
        config = config_from_values(values, {(): os.fspath(source)})
    else:
        file = read_weights(source)
        described = description_in(file)
        weights, class_names = file.tensors, None if described is None else described["class_names"]
    if data_root is not None:
        config = config.model_copy(update={"data": config.data.model_copy(update={"root": data_root})})
    splits = load_data(config, augmentation=augmentation, needed=[split])
    require_same_classes(config, splits.classes, class_names)
    dataset = {"val": splits.val, "test": splits.test}[split]
    if dataset is None:
        raise DataError(f"there is no {split} split", place=config.data.root or config.data.dataset)
    where = require(device)
    input_shape = image_shape(dataset)[-3:]  # of one view of an image
    model = build_model(config.model, num_classes=len(splits.classes), input_shape=input_shape, origins=config.origins)
    load_every_tensor(model, weights, mapping, source)
    scores = evaluate(
        (model if augmentation is None else MeanOfViews(model)).to(where),
        build_loader(config, dataset, shuffle=False),
        build_loss(loss["name"], {key: value for key, value in loss.items() if key != "name"}).to(where),
        num_classes=len(splits.classes),
        device=where,
        topk=(1, 5, topk),
    )
    return {
        "split": split,
        **scores.summary(),
        "count": scores.count,
        "per_class": scores.per_class(splits.classes),
    }


def require_same_classes(config: Config, classes: Sequence[str], class_names: Sequence[str] | None) -> None:
    """Check that the data has the classes that the weights know; weights from elsewhere may not say (None).

    Raises:
        DataError: it has others, or in another order.
    """
    if class_names is not None and list(classes) != list(class_names):
        raise DataError(
            f"the data has the classes {', '.join(classes)}, the weights {', '.join(class_names)}",
            place=config.data.root or config.data.dataset,
            remedy="Evaluate on data with the same classes in the same order",
        )


def load_every_tensor(
    model: Module,
    weights: Mapping[str, np.ndarray],
    mapping: Mapping[str, str | None] | None,
    source: str | os.PathLike[str],
) -> None:
    """Load weights into a network, all of whose tensors they must give."""
    try:
        matching = load_weights(model, weights, mapping=mapping)
    except WeightsError as error:
        raise WeightsError(error.reason, place=source, remedy=error.remedy) from error
    if matching.missing:
        skipped = {row.name: row.reason for row in matching.of("skipped") if row.name is not None}
        reasons = [f"{name}: {skipped.get(name, 'not in the file')}" for name in matching.missing[:3]]
        more = f" and {len(matching.missing) - 3} more" if len(matching.missing) > 3 else ""
        raise WeightsError(
            f"the weights do not fit the network: {'; '.join(reasons)}{more}",
            place=source,
            remedy="`tinytrain doctor FILE` shows the file's names and shapes; --mapping renames them",
        )
    if matching.others:
        raise WeightsError(
            f"the weights are there more than once: under {', '.join(map(repr, [matching.prefix, *matching.others]))}",
            place=source,
            remedy=f"Leave the others out with --mapping, as by {matching.others[0]!r}: null",
        )
