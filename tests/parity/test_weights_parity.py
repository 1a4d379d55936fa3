"""Weights files hold for us what they hold for PyTorch."""

from __future__ import annotations

import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.weights import test_torch_files as oldest
from tests.weights.files import pickled, tar_file
from tinytrain.weights import read_weights

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

TENSORS_ONLY = {"ai85-mnist-extrasmall-qat8.pth.tar"}
NOT_PYTORCHS = {"broken.pt"}


def leaves(value, name=""):
    if isinstance(value, torch.Tensor):
        yield name, value.detach()
    elif isinstance(value, (dict, list, tuple)):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(each, f"{name}.{key}" if name else str(key))


def check(path: Path, value) -> None:
    """Hold every tensor of a file to PyTorch's: value, shape, type."""
    file = read_weights(path, tensors_only=path.name in TENSORS_ONLY)
    expected = dict(leaves(value))
    assert list(file.tensors) == list(expected), path
    for name, tensor in expected.items():
        assert file.dtypes[name] == str(tensor.dtype).removeprefix("torch."), (path, name)
        array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        assert file.tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(file.tensors[name], array, err_msg=f"{path} {name}")


def test_every_file_of_the_development_data_reads_as_in_pytorch(shared_data):
    count = 0
    for path in sorted((shared_data / "pth-fixtures").rglob("*.pt")) + sorted((shared_data / "weights").glob("*.*t*")):
        if path.name in NOT_PYTORCHS or path.suffix in (".npz", ".safetensors"):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = torch.load(path, map_location="cpu", weights_only=path.name not in TENSORS_ONLY)
        check(path, value)
        count += 1
    assert count == 62


def contents():
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(4, 6, generator=generator)
    return {
        "views": [base, base.t(), base[1:, ::2], base[0], base[2, 3]],
        "expanded": base[0].expand(3, 6),
        "types": [
            base.to(each)
            for each in (
                torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.int16, torch.int32,
                torch.int64, torch.bool, torch.uint16, torch.uint32,
            )
        ],
        "parameter": torch.nn.Parameter(base.clone()),
        "state_dict": torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).state_dict(),
        "empty": torch.zeros(0, 3),
        "epoch": 3,
        "size": base.shape,
        "where": torch.device("cpu"),
    }  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("is_zip", [True, False])
def test_what_pytorch_saves_is_read(tmp_path, protocol, is_zip):
    value = contents()
    torch.save(value, tmp_path / "w.pth", pickle_protocol=protocol, _use_new_zipfile_serialization=is_zip)
    check(tmp_path / "w.pth", value)


def test_the_oldest_format_reads_as_in_pytorch(tmp_path):
    members = {
        "sys_info": pickled({"little_endian": True, "protocol_version": 1000}),
        "pickle": oldest.OLDEST_VALUE,
        "tensors": oldest.OLDEST_TENSORS,
        "storages": oldest.oldest_storages("cpu"),
    }
    path = tar_file(tmp_path / "w.pt", members)
    assert tarfile.is_tarfile(path)
    check(path, torch.load(path, weights_only=False))
