"""Self-contained weights: what goes in comes out, and damage is noticed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from tinytrain.errors import WeightsError
from tinytrain.weights import Bundle, load_bundle, save_bundle


@pytest.fixture
def bundle():
    rng = np.random.default_rng(0)
    weights = {
        "b.weight": rng.normal(size=(3, 4)).astype(np.float32),
        "a.bias": np.ones(3, np.float32),
        "a.num_batches_tracked": np.array(7),
        "t": np.arange(6.0).reshape(2, 3).T,
    }
    return Bundle(weights, {"name": "cnn"}, ["tulpe", "gänseblümchen"], ["ToTensor"], (1, 8, 8), "0.1", {"seed": 3})


def test_a_bundle_comes_back_as_it_was(tmp_path, bundle):
    save_bundle(tmp_path / "w.safetensors", bundle)
    found = load_bundle(tmp_path / "w.safetensors")
    assert list(found.weights) == list(bundle.weights)
    for name, array in bundle.weights.items():
        np.testing.assert_array_equal(found.weights[name], array)
    assert vars(found) | {"weights": 0} == vars(bundle) | {"weights": 0}


def test_a_run_folder_is_read_by_its_best_weights(tmp_path, bundle):
    save_bundle(tmp_path / "best.safetensors", bundle)
    assert load_bundle(tmp_path).class_names == bundle.class_names


def test_every_flipped_bit_is_noticed(tmp_path, bundle):
    path = tmp_path / "w.safetensors"
    save_bundle(path, bundle)
    content = path.read_bytes()
    harmless = range(content.index(b'"format":"pt"') + 1, content.index(b'"format":"pt"') + 12)
    rng = np.random.default_rng(1)
    for at in rng.permutation(len(content))[:400].tolist():
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        if at not in harmless and not content[at : at + 1].isspace():
            with pytest.raises(WeightsError):
                load_bundle(path)


def test_a_file_of_someone_elses_says_nothing_of_its_network(tmp_path):
    save_file({"a": np.zeros(3)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"does not say which network it is for\. Name a config with --config"):
        load_bundle(tmp_path / "w.safetensors")


@pytest.mark.parametrize("text", ["[]", "1", "{}", '{"weights": ["b"]}', '{"weights": 1}', "{", '{"weights": ["a"]}'])
def test_a_description_that_is_none_is_refused(tmp_path, text):
    save_file({"a": np.zeros(3)}, tmp_path / "w.safetensors", metadata={"tinytrain": text})
    with pytest.raises(WeightsError, match="damaged"):
        load_bundle(tmp_path / "w.safetensors")


def test_the_description_is_plain_json(tmp_path, bundle):
    save_bundle(tmp_path / "w.safetensors", bundle)
    content = (tmp_path / "w.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["tinytrain"])["class_names"] == bundle.class_names
