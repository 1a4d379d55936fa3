"""`doctor` reports what decides how fast and where tinytrain runs."""

from __future__ import annotations

import json

import numpy as np
from safetensors.numpy import save_file

from tinytrain.cli.doctor import DEPENDENCIES
from tinytrain.cli.main import run


def test_doctor_reports_versions_devices_threads_and_kernels(capsys):
    assert run(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["versions"]["numpy"] == np.__version__
    assert all(report["versions"][name] for name in DEPENDENCIES)
    assert report["devices"]["cpu"] == "usable"
    assert report["kernels"][-1]["set"] == "reference"
    assert "conv_forward" in report["kernels"][-1]["kernels"]
    assert report["threads"]["blas"]
    assert report["machine"]["cores"] >= report["machine"]["cores_usable"] >= 1


def test_doctor_tells_where_the_data_are_kept(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TINYTRAIN_HOME", str(tmp_path))
    assert run(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["places"]["datasets"].startswith(str(tmp_path))


def test_doctor_prints_for_people_what_it_reports(capsys):
    assert run(["doctor"]) == 0
    output = capsys.readouterr().out
    for section in ("versions", "machine", "devices", "threads", "kernels", "places"):
        assert f"\n{section}\n" in f"\n{output}"
    assert np.__version__ in output


def test_doctor_shows_what_a_weights_file_holds(capsys, tmp_path):
    save_file({"fc.weight": np.zeros((2, 3), np.float32)}, tmp_path / "w.safetensors", metadata={"epoch": "3"})
    assert run(["doctor", str(tmp_path / "w.safetensors")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'w.safetensors'}: safetensors, ")
    assert lines[1:] == [
        "tensors: 1, with 6 elements",
        "  fc.weight  float32  (2, 3)",
        "other entries: 1",
        "  epoch  str  3",
    ]
    assert run(["doctor", "--json", str(tmp_path / "w.safetensors")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["tensors"] == [{"name": "fc.weight", "shape": [2, 3], "dtype": "float32"}]


def test_doctor_refuses_what_is_no_weights_file(capsys, tmp_path):
    (tmp_path / "w.pth").write_bytes(b"<html>")
    assert run(["doctor", str(tmp_path / "w.pth")]) == 3
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr == f"error: {tmp_path / 'w.pth'}: neither .safetensors, .npz nor a file of PyTorch's\n"
