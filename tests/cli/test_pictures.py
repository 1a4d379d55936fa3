"""The pictures of a run show images as people know them, and are part of its page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinytrain.cli.main import run
from tinytrain.cli.pictures import draw_worst_mistakes
from tinytrain.report.grids import GAP, LINE_HEIGHT
from tinytrain.training import RunFolder

CONFIG = """\
name: small
data: {dataset: image_folder, batch_size: 4, root: ROOT}
transforms:
  train: [ToTensor, {Normalize: {mean: [0.2, 0.4, 0.6], std: [0.1, 0.2, 0.3]}}]
  eval: [ToTensor, {Normalize: {mean: [0.2, 0.4, 0.6], std: [0.1, 0.2, 0.3]}}]
model: {layers: [Flatten, {Linear: {in_features: 192, out_features: 2}}]}
train: {epochs: 1, optimizer: {name: sgd, lr: 0.01}}
"""
COLOURS = {"teal": (0, 128, 128), "wine": (100, 20, 40)}


def trained(folder: Path) -> Path:
    """Train on two plainly different colours with one test image in the wrong folder; return the run's folder."""
    for split in ("train", "val", "test"):
        for name, colour in COLOURS.items():
            (folder / "data" / split / name).mkdir(parents=True)
            for i in range(4):
                Image.new("RGB", (8, 8), colour).save(folder / "data" / split / name / f"{i}.png")
    Image.new("RGB", (8, 8), COLOURS["wine"]).save(folder / "data" / "test" / "teal" / "0.png")
    config = folder / "small.yaml"
    config.write_text(CONFIG.replace("ROOT", str(folder / "data")))
    assert run(["train", str(config), "--run-dir", str(folder / "run")]) == 0
    return folder / "run"


def test_a_training_batch_is_drawn_in_true_colours(tmp_path: Path):
    sheet = Image.open(trained(tmp_path) / "train_batch.png")
    assert sheet.size == (GAP + 4 * (128 + GAP), 2 * GAP + 128 + LINE_HEIGHT)
    assert {sheet.getpixel((GAP + i * (128 + GAP) + 64, GAP + 64)) for i in range(4)} <= set(COLOURS.values())


def test_mistakes_are_drawn_and_part_of_the_page(tmp_path: Path):
    folder = trained(tmp_path)
    page = (folder / "report.html").read_text()
    assert (folder / "worst_mistakes.png").exists()  # one test image has the other class's colour
    assert "The worst mistakes" in page
    assert "A training batch" in page


class AlwaysFirst:
    """An experiment whose model takes everything for the first class, or for the right one."""

    class_names = ("teal", "wine")

    def __init__(self, targets: list[int]):
        import tinytrain as tt
        from tinytrain import nn
        from tinytrain.datasets import ArrayDataset
        from tinytrain.transforms import ToTensor
        from tinytrain.utils.data import DataLoader

        class First(nn.Module):
            def forward(self, images):
                return tt.tensor([[2.0, 0.0]]).expand(len(images), 2)

        images = np.stack([np.full((8, 8, 3), COLOURS[self.class_names[target]], np.uint8) for target in targets])
        dataset = ArrayDataset(images, targets, self.class_names, transform=ToTensor())
        self.model, self.device = First(), tt.device("cpu")
        self.val, self.test = None, DataLoader(dataset, 2)


def test_only_images_that_were_taken_for_something_else_are_drawn(tmp_path: Path):
    draw_worst_mistakes(AlwaysFirst([0, 1, 0, 1, 1]), RunFolder(tmp_path))  # type: ignore[arg-type]
    sheet = Image.open(tmp_path / "worst_mistakes.png")
    assert sheet.size == (GAP + 3 * (144 + GAP), 2 * GAP + 144 + 2 * LINE_HEIGHT)
    assert [sheet.getpixel((GAP + i * (144 + GAP) + 72, GAP + 72)) for i in range(3)] == [COLOURS["wine"]] * 3


@pytest.mark.parametrize("targets", [[0, 0], [0]])
def test_where_all_is_right_nothing_is_drawn(tmp_path: Path, targets: list[int]):
    draw_worst_mistakes(AlwaysFirst(targets), RunFolder(tmp_path))  # type: ignore[arg-type]
    assert not any(tmp_path.iterdir())


def test_the_page_tells_costs_machine_and_how_to_repeat(tmp_path: Path):
    folder = trained(tmp_path)
    page = (folder / "report.html").read_text()
    for words in ("multiply-adds", "kB moved", "processor", "cores_usable", f"tinytrain train {folder}/config.yaml"):
        assert words in page
    assert "<script" not in page
    assert "http" not in page.replace("data:image/png;base64", "")
