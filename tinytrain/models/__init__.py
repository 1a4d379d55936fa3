"""Architectures, by torchvision's names where it has them."""

from types import SimpleNamespace
from typing import Any

from tinytrain.models.alexnet import AlexNet, alexnet
from tinytrain.models.cifar_fast import CifarFast, cifar_fast
from tinytrain.models.cifar_resnet import (
    CifarResNet,
    cifar_resnet20,
    cifar_resnet32,
    cifar_resnet44,
    cifar_resnet56,
    cifar_resnet110,
)
from tinytrain.models.cnn import CNN, cnn
from tinytrain.models.convnext import ConvNeXt, convnext_tiny
from tinytrain.models.densenet import DenseNet, densenet121
from tinytrain.models.efficientnet import EfficientNet, efficientnet_b0
from tinytrain.models.googlenet import GoogLeNet, GoogLeNetOutputs, googlenet
from tinytrain.models.lenet import LeNet5, lenet5
from tinytrain.models.mobilenetv1 import MobileNetV1, mobilenet_v1
from tinytrain.models.mobilenetv2 import MobileNetV2, mobilenet_v2
from tinytrain.models.mobilenetv3 import MobileNetV3, mobilenet_v3_large, mobilenet_v3_small
from tinytrain.models.pretrained import PretrainedWeights, find_pretrained, weights_of
from tinytrain.models.registry import MODELS
from tinytrain.models.resnet import (
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50_32x4d,
    resnext101_32x8d,
    resnext101_64x4d,
    wide_resnet50_2,
    wide_resnet101_2,
)
from tinytrain.models.shufflenetv2 import (
    ShuffleNetV2,
    shufflenet_v2_x0_5,
    shufflenet_v2_x1_0,
    shufflenet_v2_x1_5,
    shufflenet_v2_x2_0,
)
from tinytrain.models.squeezenet import SqueezeNet, squeezenet1_0, squeezenet1_1
from tinytrain.models.vgg import VGG, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn
from tinytrain.nn import Module


def list_models() -> list[str]:
    """Return the names of all architectures."""
    return sorted(MODELS)


def get_model(name: str, **options: Any) -> Module:
    """Return a new network by its name; options as of its builder."""
    return MODELS.find(name)(**options)


def __getattr__(name: str) -> SimpleNamespace:
    """Return public weights by torchvision's name of their class, as `ResNet18_Weights`."""
    return weights_of(name)
