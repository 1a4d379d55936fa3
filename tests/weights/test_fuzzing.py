"""Damaged files are refused or read; nothing else is raised, nothing is executed, memory stays bounded."""

from __future__ import annotations

import random
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from tinytrain.errors import WeightsError
from tinytrain.weights import describe

from .files import Storage, legacy_file, tar_file, tensor, zip_file
from .test_torch_files import OLDEST_TENSORS, OLDEST_VALUE, oldest_storages

MUTATIONS = 150
INSTRUCTIONS = [b"cos\nsystem\n", b"(S'x'\ntR", b"\x81", b"\x82\x01", b"Q", b"b", b"h\0"]


def corpus(folder):
    """Return a small valid file of each format."""
    raw = np.arange(6, dtype="<f4").tobytes()
    floats = Storage("FloatStorage", "0", 6, "cuda:0")
    value = {"state_dict": {"a.b": tensor(floats, 1, (2, 2), (2, 1)), "c": tensor(floats, 0, (6,), (1,))}, "epoch": 3}
    arrays = {"a.b": np.ones((2, 3), np.float32), "c": np.arange(4)}
    save_file(arrays, folder / "w.safetensors")
    np.savez(folder / "w.npz", **arrays)
    np.savez_compressed(folder / "packed.npz", **arrays)
    members = {
        "pickle": OLDEST_VALUE,
        "storages": oldest_storages("cpu"),
        "tensors": OLDEST_TENSORS,
    }
    return {
        "safetensors": folder / "w.safetensors",
        "npz": folder / "w.npz",
        "packed npz": folder / "packed.npz",
        "zip": zip_file(folder / "w.pt", value, {"0": raw}),
        "packed zip": zip_file(folder / "packed.pt", value, {"0": raw}, compression=zipfile.ZIP_DEFLATED),
        "legacy": legacy_file(folder / "w.pth", value, {"0": (6, raw)}),
        "tar": tar_file(folder / "w.tar", members),
    }


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Return the content with something wrong in one to four places."""
    damaged = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(damaged) or 1)
        match chance.randrange(6):
            case 0:
                damaged[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                damaged[at : at + 1] = bytes([damaged[at] ^ 1 << chance.randrange(8)]) if damaged else b""
            case 2:
                del damaged[at : at + chance.randint(1, 16)]
            case 3:
                damaged[at:at] = chance.randbytes(chance.randint(1, 16))
            case 4:
                damaged[at : at + 8] = chance.choice([b"\xff" * 8, b"\0" * 8, b"\xff" * 7 + b"\x7f"])
            case 5:
                damaged[at:at] = chance.choice(
                    [b"cos\nsystem\n", b"(S'x'\ntR", b"\x81", b"\x82\x01", b"Q", b"b", b"h\0"]
                )
    return bytes(damaged)


@pytest.mark.parametrize("kind", ["safetensors", "npz", "packed npz", "zip", "packed zip", "legacy", "tar"])
def test_a_damaged_file_is_read_or_refused(tmp_path, monkeypatch, kind):
    valid = corpus(tmp_path)[kind]
    content = valid.read_bytes()
    assert describe(valid)["tensors"]

    def executed(*arguments, **options):
        raise AssertionError("something was executed")

    for name in ("os.system", "builtins.eval", "builtins.exec", "pickle.loads", "pickle.load"):
        monkeypatch.setattr(name, executed)
    chance = random.Random(f"tinytrain {kind}")
    path = tmp_path / "damaged"
    refused = 0
    tracemalloc.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a damaged escape in a pickle's text
        for _ in range(MUTATIONS):
            path.write_bytes(mutate(content, chance))
            try:
                describe(path)
            except WeightsError as error:
                refused += str(path) in str(error)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused > MUTATIONS // 3
    assert peak < 200 << 20


@pytest.mark.parametrize("kind", ["safetensors", "npz", "zip", "legacy"])
def test_a_file_cut_anywhere_is_refused(tmp_path, kind):
    content = corpus(tmp_path)[kind].read_bytes()
    path = tmp_path / "cut"
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        with pytest.raises(WeightsError):
            describe(path)
