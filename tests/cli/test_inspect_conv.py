"""`tinytrain inspect-conv` tells what a convolution, or each of a network, costs in either build."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinytrain.cli.main import run

SMALL = """
data: {dataset: digits}
model: {name: cnn, widths: [4, 6], strides: [1, 2], conv: separable, norm: none}
transforms: {eval: [ToTensor]}
"""


def document(capsys, *arguments):
    """Return what a command prints as JSON."""
    assert run(["inspect-conv", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_one_convolution_keeps_the_documented_shape(capsys):
    options = "--in-channels 3 --out-channels 8 --kernel 3 --size 10x12 --stride 2 --padding 1 --dilation 1 --groups 1"
    found = document(capsys, *options.split())
    assert found["output"] == [8, 5, 6]
    assert (found["params"], found["macs"], found["flops"]) == (8 * 27 + 8, 240 * 27, 480 * 27)
    assert found["bytes"] == 4 * (360 + 224 + 240)
    assert found["separable"] == {
        "output": [8, 5, 6],
        "params": 3 * 9 + 3 + 8 * 3 + 8,
        "macs": 90 * 9 + 240 * 3,
        "flops": 2 * (90 * 9 + 240 * 3),
        "bytes": 4 * (360 + 30 + 90 + 90 + 32 + 240),
    }


def test_bare_it_shows_the_example_of_the_paper(capsys):
    assert run(["inspect-conv"]) == 0
    text = capsys.readouterr().out
    assert "input 512x14x14, kernel 3x3, output 512x14x14" in text
    assert "floor((14 + 2 - 1*(3 - 1) - 1) / 1) + 1 = 14" in text
    assert "multiply-adds             462,422,016             52,283,392  0.113" in text
    assert "1/N + 1/k² = 1/512 + 1/9 = 0.1131" in text


def test_padding_is_none_and_a_bias_is_there_unless_told_otherwise(capsys):
    assert document(capsys, "--in-channels", "2", "--out-channels", "4")["output"] == [4, 12, 12]
    found = [
        document(capsys, "--in-channels", "2", "--out-channels", "4", *more)["params"] for more in ([], ["--no-bias"])
    ]
    assert found == [4 * 18 + 4, 4 * 18]
    same = document(capsys, "--kernel", "3x5", "--padding", "same")
    assert same["output"] == [512, 14, 14]
    assert same["receptive_field"] == [3, 5]


def test_measuring_tells_milliseconds_and_the_machines_peak(capsys):
    options = ["--in-channels", "4", "--out-channels", "4", "--size", "8x8", "--measure", "--batch", "2"]
    found = document(capsys, *options, "--device", "cpu")
    for part in (found, found["separable"]):
        assert part["measured"]["batch"] == 2
        assert part["measured"]["forward_ms"] > 0
        assert part["measured"]["backward_ms"] > 0
    assert found["measured"]["peak_gflops"] > 0
    assert run(["inspect-conv", *options, "--device", "cpu"]) == 0
    assert "forward GFLOP/s" in capsys.readouterr().out


@pytest.fixture
def config(tmp_path):
    """A small separable network."""
    (tmp_path / "small.yaml").write_text(SMALL)
    return str(tmp_path / "small.yaml")


def test_a_config_is_told_layer_by_layer(capsys, config):
    found = document(capsys, config)
    assert [layer["name"] for layer in found["layers"] if layer["macs"]] == [
        "features.0.0",
        "features.1.0",
        "features.1.3",
        "classifier",
    ]
    # 4 filters of 9 on 8*8; 4 of 9 on 4*4; 6 of 4 on 4*4; 10 of 6; a bias each
    assert found["macs"] == 64 * 36 + 16 * 36 + 16 * 24 + 60
    assert found["params"] == 40 + 40 + 30 + 70
    assert found["separable"] == {"params": found["params"], "macs": found["macs"]}
    assert found["standard"] == {"params": 40 + 6 * 36 + 6 + 70, "macs": 64 * 36 + 16 * 6 * 36 + 60}
    block = found["blocks"][1]
    assert (block["layers"], block["kind"]) == (["features.1.0", "features.1.3"], "separable")


def test_overrides_and_sizes_change_what_is_looked_at(capsys, config):
    found = document(capsys, config, "model.conv=standard", "--size", "6x6", "--in-channels", "2")
    assert found["input"] == [2, 6, 6]
    assert found["macs"] == 36 * 4 * 18 + 9 * 6 * 36 + 60


def test_people_see_a_table_with_both_builds(capsys, config):
    assert run(["inspect-conv", config]) == 0
    text = capsys.readouterr().out
    assert "small.yaml, images 1x8x8: 180 parameters, 3,324 multiply-adds" in text
    assert "features.1.0 + 3" in text
    assert "standard: 332 parameters, 5,820 multiply-adds; separable: 180 and 3,324" in text
    assert "most multiply-adds: features.0.0 (69%)" in text


def test_every_layer_is_told_with_its_own_parameters(capsys):
    config = Path(__file__).resolve().parents[2] / "configs/digits.yaml"
    assert run(["inspect-conv", str(config)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    own = [int(row[-5].replace(",", "")) for row in rows if row and row[0].startswith(("features", "classifier"))]
    assert sum(own) == 13_322
    assert own[3] == 64  # the normalisation between the two convolutions of the first pair
    assert ["parameters", "lie", "outside"] not in [row[1:4] for row in rows]


def test_layers_of_a_network_are_measured(capsys, config):
    found = document(capsys, config, "--measure", "--batch", "2", "--device", "cpu")
    timed = [block for block in found["blocks"] if "forward_ms" in block["standard"]]
    assert len(timed) == 2
    assert all(block[build]["backward_ms"] > 0 for block in timed for build in ("standard", "separable"))


def test_a_named_model_has_its_published_cost(capsys):
    found = document(capsys, "mobilenet_v1")
    assert (found["params"], found["macs"]) == (4_231_976, 568_740_352)


def test_public_data_need_not_be_there(capsys, tmp_path):
    (tmp_path / "c.yaml").write_text(SMALL.replace("dataset: digits", f"dataset: cifar10, root: '{tmp_path}'"))
    assert document(capsys, str(tmp_path / "c.yaml"))["input"] == [3, 32, 32]
    (tmp_path / "f.yaml").write_text(SMALL.replace("dataset: digits", f"dataset: image_folder, root: '{tmp_path}/no'"))
    assert run(["inspect-conv", str(tmp_path / "f.yaml")]) == 3
    assert "/no: there is no such folder. Name the folder with data.root=DIR, or give --size HxW" in (
        capsys.readouterr().err
    )
    assert document(capsys, str(tmp_path / "f.yaml"), "--size", "16x16")["input"] == [3, 16, 16]


@pytest.fixture
def photo(tmp_path):
    """A colour photo of 20 by 16 pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def test_filters_and_feature_maps_are_drawn(capsys, config, photo, tmp_path):
    output = tmp_path / "grid.png"
    arguments = ["--out-channels", "5", "--kernel", "3", "--image", photo, "--output", str(output)]
    assert run(["inspect-conv", *arguments]) == 0
    assert "input 3x16x20, kernel 3x3, output 5x14x18" in capsys.readouterr().out
    assert Image.open(output).width > 6 * 2 * 128  # the photo and five pairs of filter and feature map in a row
    assert run(["inspect-conv", config, "--layer", "features.1.3", "--output", str(output)]) == 0
    assert Image.open(output).width == 10 + 6 * 138  # six filters


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--groups", "3"], "`in_channels` (=512) must be divisible by `groups` (=3)"),
        (["--kernel", "3x3x3"], "--kernel: lengths are given as N or as HEIGHTxWIDTH, got '3x3x3'. As in 3 or 3x5"),
        (["--padding", "half"], "--padding: lengths are given as N or as HEIGHTxWIDTH, got 'half'"),
        (["--padding", "same", "--stride", "2"], "`padding` same needs stride 1, `stride` is 2x2"),
        (["mobilenet_v3"], "'mobilenet_v3' is no config, run or model (did you mean 'mobilenet_v2'?)"),
        (["resnet18", "train.epochs=3"], "train.epochs=3 changes a config, 'resnet18' is none"),
        (["resnet18", "--kernel", "5"], "--kernel describes one convolution, 'resnet18' names a whole network"),
        (["--image", "x.png"], "--image needs a file to draw to. Name it with --output grid.png"),
        (["--layer", "foo"], "--layer needs a file to draw to. Name it with --output grid.png"),
        (["resnet18", "--layer", "conv1"], "--layer needs a file to draw to. Name it with --output grid.png"),
        (["--layer", "foo", "--output", "x.png"], "--layer names a convolution of a network, and no network is named"),
        (["--batch", "3"], "--batch is for timing, and nothing is timed. Add --measure"),
        (["resnet18", "--device", "cpu"], "--device is for timing, and nothing is timed. Add --measure"),
        (["--output", "x.txt"], "x.txt: a picture cannot be written as .txt"),
    ],
)
def test_what_does_not_go_together_is_refused(capsys, arguments, message):
    assert run(["inspect-conv", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_layer_that_is_not_there_is_refused(capsys, config, tmp_path):
    output = str(tmp_path / "grid.png")
    assert run(["inspect-conv", config, "--layer", "features.1.1", "--output", output]) == 2
    assert "--layer: small.yaml has no convolution 'features.1.1' (did you mean" in capsys.readouterr().err
