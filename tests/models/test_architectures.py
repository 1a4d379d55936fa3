"""Models have their published sizes, learn in all their parts, and take images of any channels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import models, nn
from tinytrain.inspection import count_macs, count_parameters
from tinytrain.models import MODELS
from tinytrain.nn import functional as F
from tinytrain.weights import read_weights

PARAMETERS = {  # for 1000 classes, as torchvision's documentation gives them
    "alexnet": 61_100_840,
    "convnext_tiny": 28_589_128,
    "densenet121": 7_978_856,
    "efficientnet_b0": 5_288_548,
    "mobilenet_v2": 3_504_872,
    "mobilenet_v3_large": 5_483_032,
    "mobilenet_v3_small": 2_542_856,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnext101_32x8d": 88_791_336,
    "resnext101_64x4d": 83_455_272,
    "resnext50_32x4d": 25_028_904,
    "shufflenet_v2_x0_5": 1_366_792,
    "shufflenet_v2_x1_0": 2_278_604,
    "shufflenet_v2_x1_5": 3_503_624,
    "shufflenet_v2_x2_0": 7_393_996,
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "wide_resnet101_2": 126_886_696,
    "wide_resnet50_2": 68_883_240,
    "mobilenet_v1": 4_231_976,  # the trainable ones of Keras' MobileNet, whose 4.2 million the paper rounds
    "lenet5": 61_706,  # 156 + 2416 + 48120 + 10164 + 850, for 10 classes
    # The 1.97 million of the paper, and the scales of normalisation, which it has not.
    "cifar_fast": 312 + 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256) + 2 * 1152 + 2560,
    "cifar_resnet20": 269_722,
    "cifar_resnet32": 464_154,
    "cifar_resnet44": 658_586,
    "cifar_resnet56": 853_018,
    "cifar_resnet110": 1_727_962,
}
GIGA_MACS = {  # at 224 x 224 pixels, as torchvision's documentation gives them
    "alexnet": 0.714,
    "mobilenet_v2": 0.301,
    "mobilenet_v3_small": 0.057,
    "shufflenet_v2_x0_5": 0.040,
    "squeezenet1_1": 0.349,
}
SIDES = {  # one variant of each family, and a small image that it can take
    "resnet18": 32,
    "cifar_fast": 32,
    "cifar_resnet20": 16,
    "lenet5": 32,
    "squeezenet1_1": 33,
    "mobilenet_v1": 32,
    "mobilenet_v2": 32,
    "mobilenet_v3_small": 32,
    "shufflenet_v2_x0_5": 32,
    "densenet121": 32,
    "efficientnet_b0": 32,
    "convnext_tiny": 32,
    "googlenet": 32,
}


@pytest.fixture
def without_first_values(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave weights as they lie in fresh memory, so that large networks are there at once."""
    for name in ("kaiming_normal_", "kaiming_uniform_", "normal_", "trunc_normal_", "uniform_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)
    return


def images(*shape: int) -> tt.Tensor:
    return tt.from_numpy(np.random.default_rng(0).standard_normal(shape, np.float32))


@pytest.mark.usefixtures("without_first_values")
@pytest.mark.parametrize("name", PARAMETERS)
def test_a_model_has_its_published_number_of_parameters(name: str):
    assert count_parameters(MODELS[name]()) == PARAMETERS[name]


@pytest.mark.usefixtures("without_first_values")
def test_googlenet_has_its_published_number_of_parameters():
    assert count_parameters(models.googlenet(aux_logits=False)) == 6_624_904
    # Each auxiliary head: a 1x1 convolution to 128 channels with its normalisation, 2048 x 1024 and 1024 x 1000.
    heads = sum(channels * 128 + 2 * 128 + 2049 * 1024 + 1025 * 1000 for channels in (512, 528))
    assert count_parameters(models.googlenet()) == 6_624_904 + heads


def test_every_model_is_counted_here():
    assert {*PARAMETERS, "googlenet", "cnn"} == set(MODELS)


@pytest.mark.usefixtures("without_first_values")
@pytest.mark.parametrize("name", GIGA_MACS)
def test_a_model_has_its_published_number_of_multiply_adds(name: str):
    with np.errstate(all="ignore"):  # of whatever lay in memory
        assert round(count_macs(MODELS[name](), (3, 224, 224)) / 1e9, 3) == GIGA_MACS[name]


@pytest.mark.parametrize("name", SIDES)
def test_every_part_of_a_model_learns(name: str):
    tt.manual_seed(0)
    channels = 1 if name == "lenet5" else 3
    model = MODELS[name](num_classes=4, in_channels=channels)
    outputs = model(images(3, channels, SIDES[name], SIDES[name]))
    heads = outputs if isinstance(outputs, tuple) else (outputs,)
    assert all(tuple(head.shape) == (3, 4) for head in heads)
    sum(F.cross_entropy(head, tt.tensor([0, 1, 3])) for head in heads).backward()
    silent = [key for key, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    # A block of ConvNeXt hands on a millionth at first, and what a normalisation takes away leaves nothing to a bias.
    assert not [key for key in silent if not key.endswith("bias")]


@pytest.mark.parametrize(("name", "side"), [("alexnet", 63), ("vgg11_bn", 32)])
def test_the_convolutions_before_large_linear_layers_learn(name: str, side: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(nn.Linear, "reset_parameters", lambda self: None)
    monkeypatch.setattr(nn.init, "normal_", lambda tensor, *args: tensor)
    features = MODELS[name]().features
    features(images(3, 3, side, side)).square().sum().backward()
    assert all(weight.grad.any() for key, weight in features.named_parameters() if key.endswith("weight"))


@pytest.mark.usefixtures("without_first_values")
@pytest.mark.parametrize("name", [*SIDES, "alexnet", "vgg11_bn"])
def test_a_model_can_be_built_for_other_channels(name: str):
    first = next(module for module in MODELS[name](in_channels=2).modules() if isinstance(module, nn.Conv2d))
    assert first.in_channels == 2


@pytest.mark.parametrize(
    ("file", "name", "options"),
    [
        ("resnet20-12fca82f.th", "cifar_resnet20", {}),
        ("mobilenetV1X0.25_pretrain.tar", "mobilenet_v1", {"width_mult": 0.25, "activation": "leaky_relu"}),
    ],
)
def test_real_weights_have_the_models_names_and_shapes(shared_data, file: str, name: str, options: dict):
    found = {
        key.rpartition("module.")[2]: array.shape
        for key, array in read_weights(shared_data / "weights" / file).tensors.items()
        if "module." in key
    }
    expected = {key: tuple(tensor.shape) for key, tensor in MODELS[name](**options).state_dict().items()}
    assert {key: shape for key, shape in expected.items() if not key.endswith("num_batches_tracked")} == {
        key: shape for key, shape in found.items() if not key.endswith("num_batches_tracked")
    }
