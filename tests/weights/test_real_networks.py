"""Real weights in the right network: nothing missing, and it sees what is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tinytrain as tt
from tinytrain import models, transforms
from tinytrain.config.build import build_model
from tinytrain.config.mapping import read_mapping
from tinytrain.config.schema import ModelSection
from tinytrain.weights import load_weights, read_weights

REPOSITORY = Path(__file__).resolve().parents[2]
DAISY = 985  # of ImageNet's classes
CAFFE_MEAN = np.array([104, 117, 123], np.float32).reshape(3, 1, 1)  # of blue, green and red


@pytest.fixture(scope="module")
def daisies(shared_data):
    """Return eight photos of daisies (8, 3, 224, 224), from 0 to 1."""
    crop = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()])
    paths = sorted((shared_data / "flowers320" / "val" / "daisy").glob("*.jpg"))[:8]
    return tt.stack([crop(Image.open(path)) for path in paths])


def guesses(model, images):
    model.eval()
    with tt.no_grad():
        return model(images).argmax(1).tolist()


def test_mobilenet_v1_sees_daisies(shared_data, daisies):
    model = models.mobilenet_v1(width_mult=0.25, activation="leaky_relu")
    file = read_weights(shared_data / "weights" / "mobilenetV1X0.25_pretrain.tar")
    matching = load_weights(model, file.tensors)
    assert matching.prefix == "state_dict.module."
    assert matching.of("initialised") == []
    normalize = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert guesses(model, tt.stack([normalize(image) for image in daisies])).count(DAISY) >= 5


def test_squeezenet_sees_daisies_through_a_mapping_of_names(shared_data, daisies):
    model = models.squeezenet1_0()
    file = read_weights(shared_data / "weights" / "squeezenet_v1.0_deepcompression.npz")
    mapping = read_mapping(REPOSITORY / "configs" / "mappings" / "squeezenet1_0-caffe.yaml")
    matching = load_weights(model, file.tensors, mapping=mapping)
    assert [row.status for row in matching.rows] == ["loaded"] * 52
    bgr = daisies.numpy()[:, ::-1] * 255 - CAFFE_MEAN
    assert guesses(model, tt.from_numpy(np.ascontiguousarray(bgr))).count(DAISY) >= 5


@pytest.mark.parametrize("name", ["mnist.pt", "mnist.safetensors"])
def test_a_list_of_layers_takes_the_weights_of_a_network_with_names(shared_data, name):
    layers = [
        {"Conv2d": {"in_channels": 1, "out_channels": 8, "kernel_size": 3}},
        "ReLU",
        {"Conv2d": {"in_channels": 8, "out_channels": 16, "kernel_size": 3}},
        "ReLU",
        {"Conv2d": {"in_channels": 16, "out_channels": 24, "kernel_size": 3}},
        "ReLU",
        {"BatchNorm2d": {"num_features": 24}},
        "Flatten",
        {"Linear": {"in_features": 24 * 22 * 22, "out_features": 32}},
        "ReLU",
        {"Linear": {"in_features": 32, "out_features": 10}},
        {"BatchNorm1d": {"num_features": 10}},
    ]
    model = build_model(ModelSection.model_validate({"layers": layers}), num_classes=10, input_shape=(1, 28, 28))
    names = {"conv1": 0, "conv2": 2, "conv3": 4, "norm1": 6, "fc1": 8, "fc2": 10, "norm2": 11}
    file = read_weights(shared_data / "weights" / name)
    matching = load_weights(model, file.tensors, mapping={f"{old}.": f"{new}." for old, new in names.items()})
    assert [row.status for row in matching.rows] == ["loaded"] * 20
    np.testing.assert_array_equal(model[10].weight.detach().numpy(), file.tensors["fc2.weight"])
    assert model.eval()(tt.zeros(1, 1, 28, 28)).shape == (1, 10)
