"""`tinytrain compare` sets runs side by side."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tinytrain.cli.main import run

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three short runs on the digits: separable, standard, and separable with another seed."""
    root = tmp_path_factory.mktemp("runs")
    for name, config, seed in (("separable", "digits", 0), ("standard", "digits-standard", 0), ("again", "digits", 1)):
        arguments = ["train", str(REPOSITORY / f"configs/{config}.yaml"), f"seed={seed}", "train.epochs=3"]
        assert run([*arguments, "device=cpu", "--run-dir", str(root / name)]) == 0
    return [root / name for name in ("separable", "standard", "again")]


@pytest.fixture(scope="module")
def compared(runs, tmp_path_factory):
    """The folder of their comparison."""
    folder = tmp_path_factory.mktemp("out") / "comparison"
    assert run(["compare", *map(str, runs), "--output", str(folder), "--batch", "8"]) == 0
    return folder


def test_each_run_has_its_accuracy_size_and_speed(runs, compared):
    found = json.loads((compared / "comparison.json").read_text())
    assert [entry["name"] for entry in found["runs"]] == ["separable", "standard", "again"]
    for entry, path in zip(found["runs"], runs, strict=True):
        summary = json.loads((path / "summary.json").read_text())
        assert entry["top1"] == pytest.approx(summary["test"]["top1"])
        assert (entry["params"], entry["macs"]) == (summary["params"], summary["macs"])
        assert entry["interval"][0] < entry["top1"] < entry["interval"][1]
        assert entry["count"] == 355
        assert entry["disk"] == (path / "best.safetensors").stat().st_size
        assert entry["latency"] > 0
        assert entry["images_per_second"] > 0
        # weights, and the largest layer with its input in float32
        assert entry["memory"] > 4 * entry["params"]


def test_pairs_are_tested_and_configs_told_apart(runs, compared):
    found = json.loads((compared / "comparison.json").read_text())
    assert [(each["first"], each["second"]) for each in found["differences"]] == [
        ("separable", "standard"),
        ("separable", "again"),
        ("standard", "again"),
    ]
    first, second = found["runs"][:2]
    difference = found["differences"][0]
    assert difference["difference"] == pytest.approx(second["top1"] - first["top1"])
    assert (difference["second_only"] - difference["first_only"]) / 355 == pytest.approx(difference["difference"])
    assert found["differing"] == {"seed": [0, 0, 1], "model.conv": ["separable", "standard", "separable"]}
    (seeds,) = found["seeds"]
    assert seeds["runs"] == ["separable", "again"]
    assert seeds["mean"] == pytest.approx((found["runs"][0]["top1"] + found["runs"][2]["top1"]) / 2)


def test_the_page_stands_alone_and_has_its_pictures(compared):
    page = (compared / "comparison.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
    for name in ("curves.png", "accuracy_cost.png"):
        assert Image.open(compared / name).width > 800


def test_people_see_a_table(runs, tmp_path, capsys):
    assert run(["compare", *map(str, runs[:2]), "--output", str(tmp_path / "c"), "--no-measure"]) == 0
    text = capsys.readouterr().out
    assert "standard − separable" in text
    assert "model.conv  separable  standard" in text
    assert f"page and pictures in {tmp_path / 'c'}" in text


def test_validation_images_of_other_seeds_are_not_paired(runs, tmp_path, capsys):
    command = ["compare", *map(str, runs), "--split", "val", "--no-measure", "--output", str(tmp_path / "c"), "--json"]
    assert run(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(each["first"], each["second"]) for each in found["differences"]] == [("separable", "standard")]
    assert found["notes"] == [
        f"{first} and again were judged by different images: no paired test. The seed may choose them; use --split test"
        for first in ("separable", "standard")
    ]


def test_images_of_other_folders_are_not_paired(tmp_path, capsys):
    for folder in ("one", "other"):
        for split in ("train", "test"):
            for name, colour in (("light", 200), ("dark", 50)):
                (tmp_path / folder / split / name).mkdir(parents=True)
                Image.new("RGB", (8, 8), (colour, colour, colour)).save(tmp_path / folder / split / name / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "one")
    config = tmp_path / "c.yaml"
    config.write_text(
        "data: {dataset: image_folder, val_fraction: 0}\nmodel: {layers: [Flatten, {Linear: {out_features: 2}}]}\n"
        "train: {epochs: 1, optimizer: {name: sgd, lr: 0.01}}\n"
    )
    runs = [str(tmp_path / f"run-{name}") for name in ("one", "other", "link")]
    for path in runs:
        root = tmp_path / path.rpartition("-")[2]
        assert run(["train", str(config), f"data.root={root}", "--run-dir", path]) == 0
    capsys.readouterr()
    command = ["compare", *runs, "--no-measure", "--json", "--output"]
    assert run([*command, str(tmp_path / "own")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(each["first"], each["second"]) for each in found["differences"]] == [("run-one", "run-link")]
    assert found["notes"] == [
        f"{pair} were judged by different images: no paired test. Name one folder for both with --data DIR"
        for pair in ("run-one and run-other", "run-other and run-link")
    ]
    assert run([*command, str(tmp_path / "same"), "--data", str(tmp_path / "other")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["differences"]) == 3
    assert found["notes"] == []


def test_runs_whose_data_are_gone_are_compared_by_their_summaries(tmp_path, capsys):
    for split in ("train", "val"):
        for name, colour in (("light", 200), ("dark", 50)):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8), (colour, colour, colour)).save(folder / "a.png")
    config = tmp_path / "c.yaml"
    layers = "[Flatten, {Linear: {out_features: 2}}]"
    config.write_text(
        f"data: {{dataset: image_folder, root: '{tmp_path / 'data'}'}}\nmodel: {{layers: {layers}}}\n"
        "train: {epochs: 1, optimizer: {name: sgd, lr: 0.01}}\n"
    )
    for name in ("separable", "standard"):
        assert run(["train", str(config), "--run-dir", str(tmp_path / name)]) == 0
    shutil.rmtree(tmp_path / "data")
    runs = [str(tmp_path / name) for name in ("separable", "standard")]
    capsys.readouterr()
    assert run(["compare", *runs, "--output", str(tmp_path / "c")]) == 0
    captured = capsys.readouterr()
    found = json.loads((tmp_path / "c/comparison.json").read_text())
    assert found["differences"] == []
    assert found["runs"][0]["interval"] is None
    assert "note: separable: not judged again, its accuracy is that of its summary" in captured.out


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["separable"], "there is one run to compare. Name two at least"),
        (["separable", "separable"], "a run is named twice. Name each once"),
        (["separable", "absent"], "absent: this is no finished run: it has no config.yaml"),
        (["separable", "unfinished"], "unfinished: this is no finished run: it has no summary.json. Go on with it"),
    ],
)
def test_what_cannot_be_compared_is_refused(runs, tmp_path, capsys, names, message):
    root = tmp_path / "runs"
    shutil.copytree(runs[0], root / "separable")
    shutil.copytree(runs[0], root / "unfinished")
    (root / "unfinished/summary.json").unlink()
    assert run(["compare", *(str(root / name) for name in names), "--output", str(tmp_path / "c")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("summary.json", "{"),
        ("metrics.csv", "epoch,lr\n1,fast\n"),
        ("metrics.csv", "epoch,lr\n1,0.1,0.2\n"),
        ("metrics.csv", "epoch,lr\n1\n"),
        ("metrics.csv", "epoch,lr\n1," + "1" * 200_000 + "\n"),
    ],
    ids=["cut off", "no number", "a cell too many", "a cell too few", "a cell without end"],
)
def test_a_damaged_file_is_told_by_name(runs, tmp_path, capsys, name, text):
    shutil.copytree(runs[0], tmp_path / "run")
    (tmp_path / "run" / name).write_text(text)
    assert run(["compare", str(tmp_path / "run"), str(runs[1]), "--output", str(tmp_path / "c")]) == 4
    assert f"run/{name}: the file is damaged: " in capsys.readouterr().err
