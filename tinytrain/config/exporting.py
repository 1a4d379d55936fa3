"""A run's network as a file for other programs, and the proof that it computes the same there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from tinytrain import __version__
from tinytrain.config.build import load_data
from tinytrain.config.load import config_from_values
from tinytrain.config.prediction import Classifier
from tinytrain.datasets.samples import untransformed
from tinytrain.device import CPU, move
from tinytrain.errors import DataError
from tinytrain.export import Agreement, ExportError, Golden, compare_with_onnxruntime, trace, write_onnx
from tinytrain.export.folding import fold_batch_norm
from tinytrain.export.golden import pattern
from tinytrain.export.onnx_file import random_batch
from tinytrain.export.preprocessing import Preprocessing, divide
from tinytrain.tape import no_grad
from tinytrain.training import RunFolder
from tinytrain.weights.bundle import arrays_of

NUM_COMPARED = 8
"""Images of the data that both programs look at."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        output: the network.
        golden: the test vectors' files: an image, and what becomes of it.
        folded: normalisations folded into convolutions.
        outside: transforms of the image that are left to the user of the file.
        agreement: with onnxruntime; None where it is not installed, or was not asked.
    """

    output: Path
    golden: list[Path]
    folded: int = 0
    outside: list[str] | None = None
    agreement: Agreement | None = None


def export_onnx(
    classifier: Classifier,
    output: Path,
    *,
    batch_norm: Literal["fold", "keep"] = "fold",
    preprocess: bool = False,
    image: Path | None = None,
) -> Exported:
    """Write an ONNX file, which has agreed with us before it gets its name, and its test vectors.

    Args:
        classifier: a trained network.
        output: the file.
        batch_norm: whether normalisation is folded into the convolutions before it.
        preprocess: whether scaling and normalisation of the pixels go into the graph, whose input then is 0 to 255.
        image: for the test vectors; None: one of the data, or a pattern where they are not there.

    Raises:
        ExportError: the network has no ONNX form here, or onnxruntime computes something else.
        UsageError: the package onnx is missing.
    """
    shape = classifier.input_shape
    divided = divide(classifier.transform, shape[0]) if preprocess else None
    graph = trace(classifier.model, shape, preprocess=None if divided is None else divided.apply)
    folded = fold_batch_norm(graph) if batch_norm == "fold" else 0
    outside = _outside(classifier, divided)
    images = _images(classifier, image)
    golden = _golden(classifier, images[0], divided)
    with RunFolder(output.parent).replacing(output.name) as path:
        write_onnx(
            graph,
            path,
            input_shape=shape,
            num_classes=len(classifier.class_names),
            metadata={
                **_metadata(classifier),
                "input": _input_text(classifier, divided),
                "outside": "; ".join(outside),
            },
            version=__version__,
        )
        agreement = compare_with_onnxruntime(path, classifier.model, _batches(classifier, images, divided))
        if agreement is not None and not agreement.is_close:
            raise ExportError(
                f"{agreement.runtime} differs by {agreement.difference:.2g} in logits of up to {agreement.scale:.2g}",
                place=output,
                remedy="This is a mistake of ours; please report it with the model",
            )
    return Exported(output, _write_golden(golden, output), folded, outside, agreement)


def export_safetensors(classifier: Classifier, output: Path, *, image: Path | None = None) -> Exported:
    """Write the weights under torchvision's names, and test vectors; arguments as of `export_onnx`."""
    from safetensors.numpy import save

    arrays = {
        name: np.ascontiguousarray(array).reshape(array.shape)
        for name, array in arrays_of(classifier.model.state_dict()).items()
    }
    golden = _golden(classifier, _images(classifier, image)[0], None)
    with RunFolder(output.parent).replacing(output.name) as path:
        path.write_bytes(save(arrays, {"format": "pt", **_metadata(classifier)}))
    return Exported(output, _write_golden(golden, output))


def _metadata(classifier: Classifier) -> dict[str, str]:
    """Return what an exported file says of itself."""
    description = classifier.description
    return {
        "class_names": json.dumps(list(classifier.class_names), ensure_ascii=False),
        "input_shape": json.dumps(list(classifier.input_shape)),
        "model": json.dumps(description.get("model", {})),
        "eval_transforms": json.dumps(description.get("eval_transforms", [])),
        "temperature": repr(classifier.temperature),
        "tinytrain": __version__,
    }


def _input_text(classifier: Classifier, divided: Preprocessing | None) -> str:
    colours = "grey" if classifier.input_shape[0] == 1 else "RGB"
    if divided is not None:
        return f"{colours} pixels from 0 to 255, float32"
    return f"{colours} after eval_transforms, float32"


def _outside(classifier: Classifier, divided: Preprocessing | None) -> list[str]:
    """Return the transforms that are not in the graph."""
    pipeline = classifier.transform if divided is None else divided.before
    return [repr(step) for step in getattr(pipeline, "transforms", [pipeline])]


def _images(classifier: Classifier, image: Path | None) -> list[Image.Image]:
    """Return images to compare with: the one that was named, some of the run's data, or a pattern."""
    if image is not None:
        return [classifier.open(image)]
    extra: Mapping[str, Any] = classifier.description.get("extra", {})
    if "data" in extra:
        config = config_from_values(
            {
                "data": {**extra["data"], "download": False},
                "seed": extra["seed"],
                "model": classifier.description["model"],
            }
        )
        for split in ("test", "val"):
            try:
                dataset = getattr(load_data(config, needed=[split]), split)
            except DataError:
                continue
            if dataset is not None:
                plain = untransformed(dataset)
                return [plain[i][0] for i in range(min(NUM_COMPARED, len(plain)))]
    channels, height, width = classifier.input_shape
    return [pattern(height, width, "L" if channels == 1 else "RGB")]


@no_grad
def _golden(classifier: Classifier, image: Image.Image, divided: Preprocessing | None) -> Golden:
    network_input = classifier.transform(image).unsqueeze(0)
    logits = move(classifier.model(network_input.to(classifier.device)).array, CPU)
    given = network_input.numpy() if divided is None else divided.pixels(image)
    return Golden(image, np.ascontiguousarray(given), np.array(logits))


def _batches(
    classifier: Classifier, images: list[Image.Image], divided: Preprocessing | None
) -> list[tuple[Any, np.ndarray]]:
    """Return batches of one image each and one of noise, as the network and as the file get them."""
    batches = []
    for image in images:
        ours = classifier.transform(image).unsqueeze(0)
        batches.append((ours.to(classifier.device), ours.numpy() if divided is None else divided.pixels(image)))
    noise = random_batch(3, classifier.input_shape)
    theirs = noise.numpy() if divided is None else ((noise.numpy() - divided.shift) / divided.scale).astype(np.float32)
    return [*batches, (noise.to(classifier.device), theirs)]


def _write_golden(golden: Golden, output: Path) -> list[Path]:
    """Write the test vectors beside a file: `NAME.golden.png` and `NAME.golden.safetensors`."""
    stem = output.name.removesuffix(output.suffix)
    folder = RunFolder(output.parent)
    names = [f"{stem}.golden.png", f"{stem}.golden.safetensors"]
    with folder.replacing(names[0]) as path:
        golden.image.save(path)
    with folder.replacing(names[1]) as path:
        path.write_bytes(golden.to_bytes({"image": names[0], "network": os.path.basename(output)}))
    return [output.parent / name for name in names]
