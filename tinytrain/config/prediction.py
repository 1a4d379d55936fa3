"""What a trained network takes images for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from tinytrain.config.build import build_model, image_shape, load_data, pipeline_of
from tinytrain.config.load import model_from_values
from tinytrain.config.origins import Origins, place_of
from tinytrain.config.problems import placed
from tinytrain.config.runs import blamed_on_weights, load_every_tensor, require_same_classes, temperature_in
from tinytrain.config.schema import Config
from tinytrain.datasets.image_reading import read_image
from tinytrain.device import device as Device
from tinytrain.device import require
from tinytrain.errors import DataError
from tinytrain.nn import Module
from tinytrain.ops.joining import stack
from tinytrain.tape import no_grad
from tinytrain.tensor import Tensor
from tinytrain.threads import one_blas_thread
from tinytrain.transforms import build_pipeline
from tinytrain.weights import description_in, load_bundle, read_weights

BATCH = 32


@dataclass(frozen=True)
class Classifier:
    """A trained network with what it needs to see an image and to name what it sees.

    Attributes:
        model: gives logits, in evaluation mode.
        transform: from a Pillow image to a tensor (c, h, w).
        class_names: by class index.
        input_shape: (c, h, w) of the images that it was trained on.
        device: where it lies.
        temperature: that logits are divided by, as `evaluate --calibrate` fits it.
        description: what a weights file says of itself, empty where it does not: `model`, `eval_transforms`, `extra`.
    """

    model: Module
    transform: Any
    class_names: Sequence[str]
    input_shape: tuple[int, ...]
    device: Device
    temperature: float = 1.0
    description: Mapping[str, Any] = field(default_factory=dict)

    def open(self, path: Path) -> Image.Image:
        """Return an image file as it is read, grey where the network takes one channel."""
        return read_image(path, "L" if self.input_shape[0] == 1 else "RGB")

    def read(self, path: Path) -> Tensor:
        """Return an image file as the network gets it.

        Raises:
            DataError: it cannot be read, or has another shape than the network was trained on.
        """
        image = self.transform(self.open(path))
        if tuple(image.shape) != self.input_shape:
            raise DataError(
                f"the transforms make {tuple(image.shape)} of the image, the network was trained on {self.input_shape}",
                place=path,
                remedy="Bring it to that size, or train with a Resize in transforms.eval",
            )
        return image

    @no_grad
    def predict(self, paths: Sequence[Path], topk: int) -> list[dict[str, Any]]:
        """Return for each image file the likeliest classes, as `predict --json` prints them."""
        found = []
        with one_blas_thread():
            for start in range(0, len(paths), BATCH):
                part = paths[start : start + BATCH]
                logits = self.model(stack([self.read(path) for path in part]).to(self.device))
                probabilities, indices = (
                    (logits / self.temperature).softmax(1).topk(min(topk, len(self.class_names)), dim=1)
                )
                for path, values, classes in zip(part, probabilities.tolist(), indices.tolist(), strict=True):
                    top = [
                        {"class": self.class_names[index], "index": index, "probability": value}
                        for index, value in zip(classes, values, strict=True)
                    ]
                    found.append({"path": str(path), "top": top})
        return found


def load_classifier(
    source: str | os.PathLike[str],
    *,
    config: Config | None = None,
    mapping: Mapping[str, str | None] | None = None,
    device: str = "auto",
) -> Classifier:
    """Return the classifier in a run folder or a weights file.

    Args:
        source: a run folder, a self-contained weights file, or with `config` any weights file.
        config: of network, data and transforms for weights from elsewhere; its data names the classes.
        mapping: names in the weights file to names in the network.
        device: where to compute.

    Raises:
        WeightsError: the weights are missing, damaged, or do not fit the network.
        DataError: the data of `config` is missing.
    """
    description: dict[str, Any] = {}
    if config is None:
        bundle = load_bundle(source)
        weights, class_names, input_shape = bundle.weights, bundle.class_names, bundle.input_shape
        description = {"model": bundle.model, "eval_transforms": bundle.eval_transforms, "extra": bundle.extra}
        origins: Origins = {(): os.fspath(source)}
        with blamed_on_weights():
            section = model_from_values(bundle.model, origins)
            transform = build_pipeline(
                bundle.eval_transforms,
                place=lambda path, reason: place_of(("transforms", "eval", *path), origins),
            )
            model = build_model(section, num_classes=len(class_names), input_shape=input_shape, origins=origins)
    else:
        file = read_weights(source)
        described = description_in(file)
        weights = file.tensors
        class_names, input_shape = _what_the_data_says(config)
        require_same_classes(config, class_names, None if described is None else described["class_names"])
        transform = pipeline_of(config, "eval")
        model = build_model(config.model, num_classes=len(class_names), input_shape=input_shape)
    load_every_tensor(model, weights, mapping, source)
    where = require(device)
    return Classifier(
        model=model.eval().to(where),
        transform=transform,
        class_names=class_names,
        input_shape=tuple(input_shape),
        device=where,
        temperature=temperature_in(description.get("extra", {}), source),
        description=description,
    )


def _what_the_data_says(config: Config) -> tuple[list[str], tuple[int, int, int]]:
    """Return the classes and the shape of an image, of the test split or, where that is not there, of validation."""
    try:
        splits = load_data(config, needed=["test"])
    except DataError:
        splits = load_data(config, needed=["val"])
    with placed(("transforms", "eval"), config.origins):
        return splits.classes, image_shape(splits.val if splits.test is None else splits.test)
