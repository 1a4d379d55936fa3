"""Every weights file of the development data is read, or refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest

from tinytrain.errors import WeightsError
from tinytrain.weights import describe, match_weights, read_weights

REFUSED = {
    "broken.pt": "neither .safetensors, .npz nor a file of PyTorch's",
    "ai85-mnist-extrasmall-qat8.pth.tar": "the pickle names torch.optim.sgd.SGD",
}


@pytest.fixture
def weights(shared_data):
    return shared_data / "weights"


def test_every_file_is_described_or_refused_with_the_reason(shared_data):
    paths = sorted(path for folder in ("pth-fixtures", "weights") for path in (shared_data / folder).rglob("*.*"))
    assert len(paths) == 71
    for path in paths:
        if path.name in REFUSED:
            with pytest.raises(WeightsError) as caught:
                read_weights(path)
            assert f"{path}: {REFUSED[path.name]}" in str(caught.value)
        else:
            assert describe(path)["tensors"], path


def test_the_two_formats_of_one_network_have_the_same_names_and_shapes(weights):
    """The two files come from two trainings, so that their values differ."""
    pickled, plain = read_weights(weights / "mnist.pt"), read_weights(weights / "mnist.safetensors")
    shapes = {name: array.shape for name, array in pickled.tensors.items()}
    assert shapes == {name: array.shape for name, array in plain.tensors.items()}
    assert shapes["conv1.weight"] == (8, 1, 3, 3)


def test_a_checkpoint_keeps_what_it_says_beside_its_tensors(weights):
    file = read_weights(weights / "mobilenetV1X0.25_pretrain.tar")
    assert file.entries["epoch"] == 18
    assert file.tensors["state_dict.module.fc.weight"].shape == (1000, 256)
    assert file.tensors["best_acc1"] == pytest.approx(46.58)
    named = {name.removeprefix("state_dict.module."): each for name, each in file.tensors.items() if ".module." in name}
    matching = match_weights(named, file.tensors)
    assert matching.prefix == "state_dict.module."
    assert matching.missing == []


def test_the_tensors_of_a_file_that_mentions_a_class_can_be_asked_for(weights):
    file = read_weights(weights / "ai85-mnist-extrasmall-qat8.pth.tar", tensors_only=True)
    assert file.ignored == ["torch.optim.sgd.SGD"]
    assert file.tensors["state_dict.fc.op.weight"].shape == (10, 128)


@pytest.mark.parametrize(
    ("name", "tensors"),
    [
        ("tar_float32.tar", {"tensor": [1.0, 2.5, -3.7, 0.0]}),
        ("legacy_uncloned_views.pt", {"tensor1": [float(i) for i in range(10, 20)]}),
        ("bfloat16.pt", {"tensor": [1.5, -2.5, 3.5]}),
    ],
)
def test_known_values_are_read(shared_data, name, tensors):
    found = read_weights(shared_data / "pth-fixtures" / "burn_reader" / name).tensors
    for key, values in tensors.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-6)
