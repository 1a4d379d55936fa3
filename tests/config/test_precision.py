"""`train.precision` is one of four words, and what a device cannot do is said before anything starts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tinytrain import dtypes
from tinytrain.cli.main import run
from tinytrain.config import config_from_values, load_config
from tinytrain.config.build import build_experiment, check_precision
from tinytrain.config.json_schema import config_schema
from tinytrain.device import device
from tinytrain.training.precision import LOWER

CONFIG = """\
data: {dataset: digits, batch_size: 256}
model: {name: cnn, widths: [4], strides: [2]}
device: cpu
train:
  epochs: 2
  precision: %s
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def test_a_training_is_in_float32_unless_the_config_says_so(config):
    config.write_text(CONFIG.replace("  precision: %s\n", ""))
    e = build_experiment(load_config(config, []))
    assert (e.precision, e.scaler.is_enabled()) == ("fp32", False)


def test_only_float16_needs_a_scaled_loss(config):
    config.write_text(CONFIG % "fp16")
    e = build_experiment(load_config(config, []))
    assert (e.precision, e.scaler.is_enabled()) == ("fp16", True)
    pytest.importorskip("ml_dtypes")
    e = build_experiment(load_config(config, ["train.precision=bf16"]))
    assert (e.precision, e.scaler.is_enabled()) == ("bf16", False)


def test_another_word_is_refused(config, capsys):
    config.write_text(CONFIG % "half")
    assert run(["train", str(config)]) == 2
    assert capsys.readouterr().err == (
        f"error: {config}:6: train.precision: expected 'fp32', 'tf32', 'bf16' or 'fp16', found 'half'. "
        "What convolutions and matrix products compute in while learning: fp32, tf32 (GPU only), bf16 or fp16.\n"
    )


def test_tf32_on_a_cpu_is_refused_with_its_place(config, capsys):
    config.write_text(CONFIG % "tf32")
    assert run(["train", str(config), "--run-dir", str(config.parent / "run")]) == 2
    assert capsys.readouterr().err == (
        f"error: {config}:6: train.precision: tf32 is a mode of NVIDIA GPUs, and the device is cpu. "
        "Use fp32, or device: cuda\n"
    )
    assert not (config.parent / "run").exists()


def test_tf32_on_a_gpu_is_accepted():
    values = {"data": {"dataset": "digits"}, "model": {"name": "cnn"}, "train": {"precision": "tf32"}}
    check_precision(config_from_values(values), device("cuda", 0))


def test_bf16_without_its_package_is_refused_with_the_extra(config, capsys, monkeypatch):
    config.write_text(CONFIG % "bf16")
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    monkeypatch.setitem(LOWER, "bf16", dtypes.dtype("bfloat16"))  # one that was not asked for yet
    assert run(["train", str(config)]) == 2
    assert capsys.readouterr().err == (
        f"error: {config}:6: train.precision: bfloat16 needs the package ml_dtypes, which is missing. "
        "pip install 'tinytrain[bf16]' (part of [cuda12] and [cuda13], too)\n"
    )


def test_check_says_that_16_bits_are_slower_on_a_cpu(config, capsys):
    config.write_text(CONFIG % "fp16")
    assert run(["check", str(config), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "train.precision: fp16 is slower than fp32 on a CPU, which computes in float32 and rounds" in found["notes"]
    assert found["config"]["train"]["precision"] == "fp16"
    assert found["origins"]["train.precision"].endswith("config.yaml:6")


def test_the_json_schema_lists_the_four():
    section = config_schema()["properties"]["train"]
    section = config_schema()["$defs"]["TrainSection"] if "$ref" in section else section
    assert section["properties"]["precision"]["enum"] == ["fp32", "tf32", "bf16", "fp16"]


def test_a_killed_run_in_fp16_comes_to_the_same_bits(config, capsys):
    config.write_text(CONFIG % "fp16")
    assert run(["verify-resume", str(config), "--steps", "6", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["identical"]


def test_a_run_does_not_go_on_in_another_precision(config, capsys):
    config.write_text(CONFIG % "fp32")
    folder = config.parent / "run"
    assert run(["train", str(config), "--run-dir", str(folder)]) == 0
    assert run(["train", str(config), "train.precision=fp16", "--run-dir", str(folder), "--resume"]) == 2
    assert "the run has train.precision='fp32', this config 'fp16'" in capsys.readouterr().err
