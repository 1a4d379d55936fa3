"""`tinytrain export` writes files that other programs read, and proves them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from tinytrain import models
from tinytrain.cli.main import run
from tinytrain.export import onnx_file
from tinytrain.weights import load_bundle

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """A run of one epoch on the digits."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    arguments = ["train", str(REPOSITORY / "configs/digits.yaml"), "train.epochs=1", "device=cpu"]
    assert run([*arguments, "--run-dir", str(folder)]) == 0
    return folder


def exported(capsys, *arguments):
    """Return what `export --json` prints."""
    assert run(["export", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_an_onnx_file_says_what_it_is_and_proves_itself(digits_run, tmp_path, capsys):
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    output = tmp_path / "net.onnx"
    found = exported(capsys, str(digits_run), "--to", "onnx", "--output", str(output))
    assert found["folded"] == 5
    assert found["checked"]["images"] == 11  # eight digits and three of noise
    assert found["checked"]["difference"] < 1e-4
    model = onnx.load(output)
    onnx.checker.check_model(model, full_check=True)
    assert {entry.key: entry.value for entry in model.metadata_props}["class_names"] == json.dumps(list("0123456789"))
    (given,), (made,) = model.graph.input, model.graph.output
    assert (given.name, made.name) == ("input", "logits")
    assert [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim] == ["n", 1, 8, 8]
    golden = load_file(tmp_path / "net.golden.safetensors")
    session = runtime.InferenceSession(str(output), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"input": golden["input"]})
    np.testing.assert_allclose(logits, golden["logits"], atol=1e-4)


def test_test_vectors_lead_from_pixels_to_logits(digits_run, tmp_path, capsys):
    exported(capsys, str(digits_run), "--to", "safetensors", "--output", str(tmp_path / "net.safetensors"))
    golden = load_file(tmp_path / "net.golden.safetensors")
    image = np.asarray(Image.open(tmp_path / "net.golden.png"), np.float64)
    by_hand = (image / 255 - 0.3) / 0.37  # the config's ToTensor and Normalize
    np.testing.assert_allclose(golden["input"][0, 0], by_hand, rtol=1e-5, atol=1e-6)
    assert golden["logits"].shape == (1, 10)


def test_preprocessing_goes_into_the_graph_on_demand(digits_run, tmp_path, capsys):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    output = tmp_path / "net.onnx"
    found = exported(capsys, str(digits_run), "--to", "onnx", "--preprocess", "--output", str(output))
    assert found["outside"] == []
    golden = load_file(tmp_path / "net.golden.safetensors")
    image = np.asarray(Image.open(tmp_path / "net.golden.png"), np.float32)
    np.testing.assert_array_equal(golden["input"][0, 0], image)
    session = runtime.InferenceSession(str(output), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"input": image[None, None]})
    np.testing.assert_allclose(logits, golden["logits"], atol=1e-4)


def test_normalisation_can_stay(digits_run, tmp_path, capsys):
    onnx = pytest.importorskip("onnx")
    output = tmp_path / "net.onnx"
    found = exported(capsys, str(digits_run), "--to", "onnx", "--batch-norm", "keep", "--output", str(output))
    assert found["folded"] == 0
    assert [node.op_type for node in onnx.load(output).graph.node].count("BatchNormalization") == 5


def test_weights_have_torchvisions_names(digits_run, tmp_path, capsys):
    output = tmp_path / "net.safetensors"
    exported(capsys, str(digits_run), "--to", "safetensors", "--output", str(output))
    found, bundle = load_file(output), load_bundle(digits_run)
    assert found.keys() == bundle.weights.keys()
    assert all(np.array_equal(found[name], bundle.weights[name]) for name in found)
    model = models.cnn(in_channels=1, conv="separable")
    assert found.keys() == model.state_dict().keys()


def test_people_are_told_what_was_written(digits_run, capsys):
    pytest.importorskip("onnxruntime")
    assert run(["export", str(digits_run), "--to", "onnx"]) == 0
    text = capsys.readouterr().out
    assert "model.onnx: " in text
    assert "5 normalisations folded into the layers before them" in text
    assert "to be done before: ToTensor(), Normalize(mean=[0.3], std=[0.37])" in text
    assert "agrees on 11 images" in text
    assert (digits_run / "model.golden.png").is_file()


def test_without_onnxruntime_it_is_written_and_said_so(digits_run, tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnx")
    monkeypatch.setattr(onnx_file.importlib.util, "find_spec", lambda name: None)
    assert run(["export", str(digits_run), "--to", "onnx", "--output", str(tmp_path / "net.onnx")]) == 0
    assert "not compared: onnxruntime is not installed" in capsys.readouterr().out


def test_without_onnx_the_remedy_is_told(digits_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert run(["export", str(digits_run), "--to", "onnx", "--output", str(tmp_path / "net.onnx")]) == 2
    assert "pip install 'tinytrain[onnx]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_file_that_disagrees_is_not_kept(digits_run, tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(onnx_file, "TOLERANCE", 0.0)
    assert run(["export", str(digits_run), "--to", "onnx", "--output", str(tmp_path / "net.onnx")]) == 3
    assert "net.onnx: onnxruntime" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--to", "onnx", "--output", "net.pt"], 2, "net.pt: --to onnx writes a file that ends in .onnx"),
        (["--to", "safetensors", "--preprocess"], 2, "--preprocess is for --to onnx; weights have no graph"),
        (["--to", "onnx", "--output", "absent/net.onnx"], 4, "absent: there is no such folder"),
        (["--to", "onnx", "--image", "absent.png"], 3, "absent.png"),
    ],
)
def test_what_cannot_be_exported_is_refused(digits_run, capsys, arguments, code, message):
    assert run(["export", str(digits_run), *arguments]) == code
    assert message in capsys.readouterr().err


def test_the_source_is_never_overwritten(digits_run, capsys):
    best = digits_run / "best.safetensors"
    before = best.read_bytes()
    assert run(["export", str(digits_run), "--to", "safetensors", "--output", str(best)]) == 2
    assert "the export would take the place of what it is made from" in capsys.readouterr().err
    assert best.read_bytes() == before


def test_transforms_that_are_no_arithmetic_are_refused(digits_run, tmp_path, capsys):
    steps = "[PILToTensor, {ConvertImageDtype: {dtype: float32}}]"
    config = f"data: {{dataset: digits}}\nmodel: {{name: cnn, conv: separable}}\ntransforms: {{eval: {steps}}}\n"
    (tmp_path / "c.yaml").write_text(config)
    arguments = [str(digits_run / "best.safetensors"), "--config", str(tmp_path / "c.yaml"), "--to", "onnx"]
    assert run(["export", *arguments, "--preprocess", "--output", str(tmp_path / "n.onnx")]) == 3
    assert "only ToTensor and Normalize can go into the graph. Leave out --preprocess" in capsys.readouterr().err
