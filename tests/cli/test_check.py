"""`tinytrain check`: what it finds, what it says, and that it leaves everything as it is."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinytrain.cli.main import run

CONFIG = """\
name: pets
data: {dataset: image_folder, root: ROOT, batch_size: 4, workers: 2}
transforms:
  train: [RandomHorizontalFlip, ToTensor, {Normalize: {mean: [0.5, 0.4, 0.3], std: [0.2, 0.2, 0.2]}}]
  eval: [ToTensor, {Normalize: {mean: [0.5, 0.4, 0.3], std: [0.2, 0.2, 0.2]}}]
model: {name: cnn, widths: [4], strides: [2], conv: standard}
train: {epochs: 10, optimizer: {name: sgd, lr: 0.1, momentum: 0.9}, schedule: {name: step, step_size: 5, gamma: 0.5}}
"""
WARNED = "The report lists what is wrong under `problems`"


def photo(seed: int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    """Return an image of its own: random pixels."""
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder with train and val of the classes cat (6 and 2 images) and dog (3 and 2)."""
    seed = 0
    for split, counts in (("train", {"cat": 6, "dog": 3}), ("val", {"cat": 2, "dog": 2})):
        for name, count in counts.items():
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                photo(seed := seed + 1).save(folder / f"{i}.png")
    return tmp_path / "photos"


@pytest.fixture
def config(photos: Path) -> Path:
    path = photos.parent / "pets.yaml"
    path.write_text(CONFIG.replace("ROOT", str(photos)))
    return path


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return the time and the contents of everything below a folder."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }


def examine(config: Path, capsys: pytest.CaptureFixture[str], *overrides: str, code: int = 0) -> dict:
    """Return the document about a config."""
    assert run(["check", str(config), "--json", *overrides]) == code
    return json.loads(capsys.readouterr().out)


def test_it_writes_nothing(config: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYTRAIN_HOME", str(tmp_path / "home"))
    before = snapshot(tmp_path)
    for overrides, code in (
        ([], 0),
        (["data.root=nowhere"], 3),
        (["data.dataset=mnist", "data.root=null"], 3),
        (["data.dataset=cifar10", "data.root=absent", "data.download=true"], 3),
        (["data.dataset=digits", "transforms.train=[ToTensor]", "transforms.eval=[ToTensor]"], 0),
    ):
        assert run(["check", str(config), *overrides]) == code
        assert snapshot(tmp_path) == before


def test_it_never_downloads(config: Path, tmp_path: Path, capsys, monkeypatch):
    def fetch(*arguments: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr("tinytrain.datasets.idx_dataset.fetch", fetch)
    overrides = ["data.dataset=mnist", f"data.root={tmp_path}", "data.download=true"]
    document = examine(config, capsys, *overrides, code=3)
    assert document["problems"][0].startswith(f"{tmp_path}: MNIST is not complete: train-images-idx3-ubyte and ")
    assert document["notes"] == ["data.download is true: train gets public data that are missing; check never does"]


def test_every_value_comes_with_its_origin(config: Path, capsys):
    document = examine(config, capsys, "train.optimizer.lr=0.2")
    assert document["config"]["train"]["optimizer"]["lr"] == 0.2
    assert document["origins"]["train.optimizer.lr"] == "override"
    assert document["origins"]["train.optimizer.momentum"] == f"{config}:7"
    assert run(["check", str(config), "train.optimizer.lr=0.2"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["lr:", "0.2", "#", "override"] in lines
    assert ["nesterov:", "false", "#", "default"] in lines


def test_images_are_counted_by_class_and_split(config: Path, capsys):
    splits = examine(config, capsys)["data"]["splits"]
    assert {name: split["per_class"] for name, split in splits.items()} == {
        "train": {"cat": 6, "dog": 3},
        "val": {"cat": 2, "dog": 2},
    }
    assert splits["train"]["width"] == {"min": 8, "median": 8, "max": 8}
    assert splits["train"]["modes"] == {"RGB": 9}


def test_the_statistics_are_those_of_the_training_pixels(config: Path, photos: Path, capsys):
    pixels = np.stack([np.asarray(Image.open(path)) for path in (photos / "train").rglob("*.png")]) / 255
    statistics = examine(config, capsys)["data"]["statistics"]
    assert statistics["measured"]["mean"] == pytest.approx(pixels.mean(axis=(0, 1, 2)), abs=1e-6)
    assert statistics["measured"]["std"] == pytest.approx(pixels.std(axis=(0, 1, 2)), abs=1e-6)
    assert statistics["configured"] == {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2]}


def test_without_other_splits_the_eval_transforms_are_measured_all_the_same(config: Path, photos: Path, capsys):
    import shutil

    shutil.rmtree(photos / "val")
    black = "transforms.train.0={ColorJitter: {brightness: [0.0, 0.0]}}"
    document = examine(config, capsys, "data.val_fraction=0", black)
    assert document["notes"] == ["there is no val and no test split"]
    assert min(document["data"]["statistics"]["measured"]["mean"]) > 0.4


def test_the_plan_tells_shapes_cost_and_learning_rates(config: Path, capsys):
    plan = examine(config, capsys)["plan"]
    assert (plan["input_shape"], plan["steps"], plan["epochs"]) == ([3, 8, 8], 3, 10)
    first = plan["layers"][0]
    assert (first["kind"], first["output"], first["params"]) == ("Conv2d", [4, 4, 4], 3 * 4 * 9)
    assert first["macs"] == 3 * 9 * 4 * 4 * 4
    assert plan["macs"] == first["macs"] + 4 * 2
    assert plan["params"] == 3 * 4 * 9 + 2 * 4 + 4 * 2 + 2
    memory = plan["memory"]
    assert memory["gradients"] == memory["optimizer"] == 4 * plan["params"]  # momentum has one number a parameter
    assert memory["total"] == sum(size for name, size in memory.items() if name != "total")
    assert plan["epoch_seconds"] > 0
    assert {rate for epoch, rate in plan["learning_rates"] if epoch < 5} == {0.1}
    assert {rate for epoch, rate in plan["learning_rates"] if epoch >= 5} == {0.05}


def test_people_get_the_same_as_text(config: Path, capsys):
    assert run(["check", str(config)]) == 0
    stdout, stderr = capsys.readouterr()
    assert stderr == ""
    lines = [line.split() for line in stdout.splitlines()]
    assert ["class", "train", "val"] in lines
    assert ["cat", "6", "2"] in lines
    assert ["all", "9", "4"] in lines
    assert ["Normalize", "0.500,", "0.400,", "0.300", "0.200,", "0.200,", "0.200"] in lines
    assert "learning rate over 10 epochs" in stdout
    assert stdout.endswith("\nnotes\n  there is no test split\n\nready to train\n")


def test_copies_are_found_by_their_pixels(config: Path, photos: Path, capsys):
    with Image.open(photos / "train" / "cat" / "0.png") as image:
        image.save(photos / "val" / "dog" / "copy.bmp")  # other bytes, the same pixels
    with Image.open(photos / "train" / "cat" / "1.png") as image:
        image.save(photos / "train" / "cat" / "again.png")
    document = examine(config, capsys)
    assert document["data"]["duplicates"] == [
        [
            {"split": "train", "name": "cat/0.png", "class": "cat"},
            {"split": "val", "name": "dog/copy.bmp", "class": "dog"},
        ],
        [
            {"split": "train", "name": "cat/1.png", "class": "cat"},
            {"split": "train", "name": "cat/again.png", "class": "cat"},
        ],
    ]
    assert document["notes"][:3] == [
        "train and val share 1 image, so that scores look too good: train cat/0.png = val dog/copy.bmp",
        "1 image there more than once in one split: train cat/1.png = cat/again.png",
        "1 image there under different classes: cat/0.png is cat and dog/copy.bmp is dog",
    ]


def test_a_damaged_file_is_a_problem_unless_it_is_to_be_skipped(config: Path, photos: Path, capsys):
    (photos / "train" / "dog" / "0.png").write_bytes(b"nothing")
    text = "train: dog/0.png: cannot be read as an image: cannot identify image file"
    assert examine(config, capsys, code=3)["problems"] == [text]
    document = examine(config, capsys, "data.on_error=skip")
    assert f"{text} (skipped)" in document["notes"]
    assert document["problems"] == []
    assert run(["check", str(config)]) == 3
    stdout, stderr = capsys.readouterr()
    assert f"problems\n  {text}\n" in stdout
    assert "ready to train" not in stdout
    assert stderr == f"error: {photos}: 1 problem to mend before it can train. {WARNED}\n"


def test_what_is_passed_over_in_the_folders_is_told(config: Path, photos: Path, capsys):
    (photos / "valid").mkdir()
    (photos / "train" / ".ipynb_checkpoints").mkdir()
    (photos / "train" / "list.txt").write_text("")
    (photos / "train" / "cat" / "clip.gif").write_bytes(b"")
    (photos / "train" / "cat" / ".DS_Store").write_bytes(b"")
    assert examine(config, capsys)["notes"] == [
        f"{photos / 'train'}: hidden, so not read: .ipynb_checkpoints",
        f"{photos / 'train'}: in no class's folder, so not read: list.txt",
        f"{photos / 'train' / 'cat'}: no images by their names, so not read: clip.gif",
        f"{photos / 'train' / 'cat'}: hidden, so not read: .DS_Store",
        f"{photos / 'valid'}: this folder is not read; the splits are called train, val, test",
        "there is no test split",
    ]


def test_odd_files_are_named(config: Path, photos: Path, capsys):
    photo(90).save(photos / "train" / "cat" / "lie.jpg", format="PNG")
    photo(91).save(photos / "train" / "dog" / "moving.webp", save_all=True, append_images=[photo(92)], lossless=True)
    assert examine(config, capsys)["notes"][:2] == [
        "train: cat/lie.jpg: the name ends in .jpg, the file is PNG",
        "train: dog/moving.webp: has 2 frames, of which only the first is read",
    ]


def test_damage_after_the_first_frame_is_told(config: Path, photos: Path, capsys):
    path = photos / "train" / "dog" / "pages.tif"
    photo(90).save(path)
    content = bytearray(path.read_bytes())
    (directory,) = struct.unpack_from("<I", content, 4)
    (num_entries,) = struct.unpack_from("<H", content, directory)
    struct.pack_into("<I", content, directory + 2 + 12 * num_entries, len(content))  # where the next page is
    path.write_bytes(content + bytes(6))  # a page without entries
    assert examine(config, capsys)["notes"][:1] == [
        "train: dog/pages.tif: is damaged after its first frame, which is the one that is read"
    ]


def test_empty_classes_and_differing_class_lists_are_all_listed(config: Path, photos: Path, capsys):
    (photos / "train" / "bird").mkdir()
    (photos / "val" / "fish").mkdir()
    photo(93).save(photos / "val" / "fish" / "0.png")
    document = examine(config, capsys, code=3)
    assert document["problems"] == [
        f"{photos / 'train' / 'bird'}: this class has no image",
        f"{photos / 'val'}: has not the classes of train: bird",
        f"{photos / 'train'}: has not the classes of val: fish",
    ]
    assert document["plan"] is None


def test_images_that_make_no_batch_are_a_problem(config: Path, photos: Path, capsys):
    photo(94, (12, 10)).save(photos / "train" / "dog" / "9.png")
    (problem,) = examine(config, capsys, code=3)["problems"]
    assert problem == (
        "train: transforms.train give images of different sizes, which make no batch: "
        "3x8x8 (cat/0.png), 3x10x12 (dog/9.png). Add Resize and CenterCrop, or RandomResizedCrop"
    )


def test_images_that_a_transform_refuses_are_a_problem(config: Path, capsys):
    (problem,) = examine(config, capsys, "transforms.train.0={RandomCrop: {size: 20}}", code=3)["problems"]
    assert problem.startswith("train: transforms.train cannot take cat/0.png (8x8): Required crop size (20, 20) is ")


def test_images_that_the_eval_transforms_refuse_are_a_problem_too(config: Path, capsys):
    override = "transforms.eval=[{RandomCrop: {size: 20}}, ToTensor]"
    document = examine(config, capsys, override, code=3)
    assert document["problems"][0].startswith("val: transforms.eval cannot take cat/0.png (8x8): Required crop size")
    assert document["data"]["statistics"]["measured"] is None


@pytest.fixture
def trained(config: Path, tmp_path: Path) -> Path:
    """Return a run of the config."""
    assert run(["train", str(config), "train.epochs=1", "--run-dir", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def test_weights_to_begin_with_are_looked_at(config: Path, trained: Path, capsys):
    assert run(["check", str(config), "finetune.weights=nope.safetensors", "finetune.freeze=[nonsense]", "--json"]) == 3
    captured = capsys.readouterr()
    assert json.loads(captured.out)["problems"][0].startswith("nope.safetensors: ")
    weights = f"finetune.weights={trained}"
    assert run(["check", str(config), weights, "finetune.freeze=[nonsense]"]) == 2
    assert "override: finetune.freeze: " in capsys.readouterr().err
    document = examine(config, capsys, weights, "finetune.freeze=[features]")
    assert f"{trained}: 8 tensors loaded, 0 skipped, 0 left at initialisation" in document["notes"]
    assert document["plan"]["memory"]["gradients"] == 4 * (4 * 2 + 2)  # of the head alone


def test_the_preprocessing_of_the_weights_is_what_is_tried(config: Path, trained: Path, photos: Path, capsys):
    lines = config.read_text().splitlines(keepends=True)
    plain = config.with_name("plain.yaml")
    plain.write_text(
        "".join(
            line for line in lines if "ransforms:" not in line and "  train: [" not in line and "  eval: [" not in line
        )
    )
    document = examine(plain, capsys, f"finetune.weights={trained}")
    assert document["config"]["transforms"]["train"] == document["config"]["transforms"]["eval"]
    assert document["data"]["statistics"]["configured"] == {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2]}
    assert document["origins"]["transforms.eval.0"] == f"weights {trained}"


def test_public_weights_are_not_downloaded(config: Path, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setenv("TINYTRAIN_HOME", str(tmp_path / "home"))
    overrides = ["model={name: resnet18, pretrained: true}", "finetune.download=true"]
    document = examine(config, capsys, *overrides, code=3)
    assert "resnet18" in document["problems"][0]
    assert document["notes"] == ["finetune.download is true: finetune gets public weights; check never does"]


def test_a_long_list_is_cut_in_the_text_alone(config: Path, photos: Path, capsys):
    for i in range(42):
        (photos / "train" / "cat" / f"bad{i}.png").write_bytes(b"")
    assert len(examine(config, capsys, code=3)["problems"]) == 42
    assert run(["check", str(config)]) == 3
    assert capsys.readouterr().out.endswith("\n  and 2 more, which --json lists\n")


def test_rare_classes_are_told(config: Path, photos: Path, capsys):
    for i in range(40):
        photo(100 + i).save(photos / "train" / "cat" / f"more{i}.png")
    assert "train: dog has 3 images, cat has 46" in examine(config, capsys)["notes"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.dropout=2", "override: model.dropout: expected a number of at least 0 and of at most 1, found 2"),
        ("train.optimizer.lr=-1", "override: train.optimizer.lr: SGD: `lr`"),
        ("model.wdths=[1]", "model.wdths: unknown key"),
        ("device=cuda:77", "override: device: device 'cuda:77' is not available: "),
    ],
)
def test_a_config_that_cannot_be_exits_with_2(config: Path, capsys, override: str, message: str):
    assert run(["check", str(config), override, "--json"]) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert message in stderr
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1


def test_the_flowers_are_ready(config: Path, shared_data: Path, capsys):
    overrides = [
        f"data.root={shared_data / 'flowers320'}",
        "transforms.train=[{RandomResizedCrop: {size: 32}}, ToTensor]",
        "transforms.eval=[{Resize: {size: 32}}, {CenterCrop: {size: 32}}, ToTensor]",
    ]
    data = examine(config, capsys, *overrides)["data"]
    assert data["splits"]["train"]["per_class"] == dict.fromkeys(data["classes"], 48)
    assert data["splits"]["val"]["per_class"] == dict.fromkeys(data["classes"], 16)
    assert data["duplicates"] == []
    assert data["statistics"]["configured"] is None


def test_fashion_mnist_has_the_mean_and_std_that_are_published(config: Path, shared_data: Path, capsys):
    overrides = [
        "data.dataset=fashion_mnist",
        f"data.root={shared_data / 'fashion-mnist'}",
        "data.val_fraction=0",
        "transforms.train=[ToTensor]",
        "transforms.eval=[ToTensor, {Normalize: {mean: [0.286], std: [0.353]}}]",
    ]
    data = examine(config, capsys, *overrides)["data"]
    assert data["statistics"]["measured"]["mean"] == pytest.approx([0.2860], abs=1e-4)
    assert data["statistics"]["measured"]["std"] == pytest.approx([0.3530], abs=1e-4)
