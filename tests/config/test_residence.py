"""Images that lie in the memory of the device give the batches, the training and the errors that others give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.training.toys import StopAt, run
from tinytrain.config import config_from_values
from tinytrain.config.build import build_experiment
from tinytrain.config.load import load_config
from tinytrain.datasets.residence import DecodedFiles
from tinytrain.device import CPU, move
from tinytrain.errors import ConfigError, DataError, Interrupted
from tinytrain.utils.data import DataLoader

AUGMENTED = [
    {"RandomCrop": {"size": 8, "padding": 1, "padding_mode": "reflect"}},
    "RandomHorizontalFlip",
    "AlternatingFlip",
    "ToTensor",
    {"Normalize": {"mean": [0.3], "std": [0.37]}},
    {"RandomErasing": {"p": 0.3}},
]
NETWORK = {"name": "cnn", "widths": [4], "strides": [2]}
RNG = np.random.default_rng(0)


def config_of(device: str = "cpu", train: dict[str, Any] | None = None, **data: Any) -> Any:
    return config_from_values(
        {
            "device": device,
            "data": {"dataset": "digits", "batch_size": 100, **data},
            "transforms": {"train": AUGMENTED},
            "model": NETWORK,
            "train": {"epochs": 2, "optimizer": {"name": "sgd", "lr": 0.1}, **(train or {})},
        }
    )


def batches(loader: DataLoader, epoch: int) -> list[tuple[Any, Any]]:
    loader.set_epoch(epoch)
    return [(move(images.array, CPU), move(labels.array, CPU)) for images, labels in loader]


@pytest.mark.parametrize("mixing", [{}, {"mixup_alpha": 0.4, "cutmix_alpha": 1.0}], ids=["plain", "mixed"])
def test_resident_batches_are_those_of_the_samples_one_by_one(mixing: dict[str, float], device: str):
    resident = build_experiment(config_of(device, mixing, resident=True))
    assert resident.train.num_workers == 0
    one_by_one = build_experiment(config_of("cpu", mixing, resident=False, workers=2))
    for split in ("train", "val", "test"):
        for epoch in (0, 1, 3):
            loaders = getattr(resident, split), getattr(one_by_one, split)
            for found, expected in zip(*(batches(loader, epoch) for loader in loaders), strict=True):
                for a, b in zip(found, expected, strict=True):
                    assert np.array_equal(a, b) or (mixing and np.allclose(a, b, rtol=1e-6, atol=1e-6))
                    assert a.dtype == b.dtype


@pytest.mark.parametrize("choice", [True, "auto"])
def test_resident_batches_lie_on_the_device(choice: bool | str, device: str):
    images, labels = next(iter(build_experiment(config_of(device, resident=choice)).train))
    assert images.device.type == labels.device.type == device


@pytest.mark.parametrize("mixing", [{}, {"mixup_alpha": 0.4}], ids=["plain", "mixed"])
def test_a_training_has_the_same_bits_resident_or_not_and_after_a_stop(mixing: dict[str, float], tmp_path: Path):
    whole = run(build_experiment(config_of(train=mixing, workers=2)), tmp_path / "whole").summary
    resident = run(build_experiment(config_of(train=mixing, resident=True)), tmp_path / "resident").summary
    with pytest.raises(Interrupted):
        run(
            build_experiment(config_of(train=mixing, resident=True)),
            tmp_path / "parts",
            events=StopAt(2, 3),
        )
    parts = run(build_experiment(config_of(train=mixing, resident=True)), tmp_path / "parts", resume=True).summary
    assert whole["weights_sha256"] == resident["weights_sha256"] == parts["weights_sha256"]


def test_a_cpu_keeps_its_workers_unless_it_is_told_to():
    assert build_experiment(config_of(workers=2)).train.num_workers == 2


def write_images(folder: Path, sizes: list[tuple[int, int]]) -> None:
    for split in ("train", "val"):
        for label in ("a", "b"):
            (folder / split / label).mkdir(parents=True)
            for i, (width, height) in enumerate(sizes):
                pixels = RNG.integers(0, 256, (height, width, 3), np.uint8)
                Image.fromarray(pixels).save(folder / split / label / f"{i}.png")


def write_config(path: Path, text: str) -> Path:
    path.write_text(
        f"data: {{dataset: image_folder, root: {path.parent}, batch_size: 3}}\n"
        "model: {name: cnn, widths: [4], strides: [2]}\n"
        f"{text}"
    )
    return path


def test_files_of_one_size_are_decoded_once_and_keep_their_names(tmp_path: Path):
    write_images(tmp_path, [(10, 8)] * 4)
    steps = "transforms: {train: [RandomHorizontalFlip, {RandomCrop: {size: 8, padding: 1}}, ToTensor]}\n"
    path = write_config(tmp_path / "c.yaml", steps)
    resident, plain = (
        build_experiment(load_config(path, [f"data.resident={choice}", "device=cpu"])) for choice in ("true", "false")
    )
    assert isinstance(resident.train.dataset, DecodedFiles)
    assert resident.train.dataset.samples == plain.train.dataset.samples
    for epoch in (0, 1):
        for found, expected in zip(batches(resident.train, epoch), batches(plain.train, epoch), strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_files_of_several_sizes_are_refused(tmp_path: Path):
    write_images(tmp_path, [(10, 8), (8, 10)])
    path = write_config(tmp_path / "c.yaml", "transforms: {train: [{RandomCrop: {size: 8}}, ToTensor]}\n")
    with pytest.raises(DataError) as caught:
        build_experiment(load_config(path, ["data.resident=true", "device=cpu"]))
    assert str(caught.value) == (
        f"{tmp_path / 'train/a/1.png'}: images that are to stay in memory must be of one size; this one and "
        f"{tmp_path / 'train/a/0.png'} have 8x10 and 10x8 pixels. "
        "Write them all in one size, or leave data.resident at auto"
    )


def test_a_step_for_single_images_is_refused_by_name_and_place(tmp_path: Path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "data:\n  dataset: digits\n  resident: true\n"
        "transforms: {train: [{ColorJitter: {brightness: 0.2}}, RandomHorizontalFlip, {Resize: {size: 8}}, ToTensor]}\n"
        "model: {name: cnn, widths: [4], strides: [2]}\n"
    )
    with pytest.raises(ConfigError) as caught:
        build_experiment(load_config(path, ["device=cpu"]))
    assert str(caught.value) == (
        f"{path}:3: data.resident: batches cannot be made where the images lie: ColorJitter and Resize work on one "
        "image at a time. Set it to auto, or leave such steps out of transforms"
    )
    config = load_config(path, ["device=cpu", "data.resident=auto"])
    assert len(next(iter(build_experiment(config).train))[0]) == 64


def test_another_value_is_refused():
    with pytest.raises(ConfigError, match=r"data\.resident: expected 'auto', true or false, found 'always'"):
        config_of(resident="always")
