"""Public weights of known networks: where they are, what they expect, how good they are.

The files and figures are torchvision's: https://docs.pytorch.org/vision/stable/models.html. What gets and reads them is
imported when that happens, as most programs build networks without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

import numpy as np

from tinytrain.errors import WeightsError, did_you_mean
from tinytrain.nn import Module

_URL = "https://download.pytorch.org/models/"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class PretrainedWeights:
    """A public weights file for images of ImageNet's 1000 classes.

    Attributes:
        model: the builder's name.
        name: of the weights, as torchvision's.
        file: name of the file, which ends in the first digits of its SHA-256.
        mebibytes: size of the file.
        top1: accuracy on ImageNet's validation images, in percent.
        top5: the same among the five likeliest.
        resize: shorter side of an image before the centre of 224 x 224 pixels is cut out, in pixels.
        interpolation: how images are resized.
    """

    model: str
    name: str
    file: str
    mebibytes: float
    top1: float
    top5: float
    resize: int = 256
    interpolation: str = "bilinear"

    @property
    def url(self) -> str:
        """Where the file is."""
        return _URL + self.file

    @property
    def sha256(self) -> str:
        """The first digits of the file's SHA-256."""
        return re.split(r"[-.]", self.file)[-2]

    @property
    def class_names(self) -> list[str]:
        """The classes, by index."""
        return list(imagenet_classes())

    @property
    def meta(self) -> dict[str, Any]:
        """What torchvision's scripts ask for: `categories`, the class names."""
        return {"categories": self.class_names}

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of the builder that go with the weights where nobody says otherwise."""
        return {"transform_input": True, "aux_logits": False} if self.model == "googlenet" else {}

    @property
    def eval_transforms(self) -> list[Any]:
        """What images go through, as the `transforms.eval` section of a config.

        GoogLeNet's own normalisation is the one by 0.5; `transform_input` would make it from ImageNet's.
        """
        mean, std = ((0.5,) * 3, (0.5,) * 3) if self.model == "googlenet" else (_MEAN, _STD)
        return self._steps(mean, std)

    def transforms(self) -> Callable[[Any], Any]:
        """Return what turns an image into what the builder's network takes, with `options` in force."""
        from tinytrain.transforms import build_pipeline

        return build_pipeline(self._steps(_MEAN, _STD))

    def read(self, *, download: bool, progress: bool = True) -> dict[str, np.ndarray]:
        """Return the file's tensors by the names that the network gives them.

        Args:
            download: whether the network may be used where the file is on no disk.
            progress: whether a bar is shown meanwhile, on a terminal.

        Raises:
            WeightsError: the file is not to be had, or is damaged.
        """
        from tinytrain.models.retrieval import retrieve
        from tinytrain.weights import read_weights

        path = retrieve(self.url, self.sha256, download=download, progress=progress)
        tensors = read_weights(path).tensors
        return {re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)\.", r"\1\2.", k): v for k, v in tensors.items()}

    def load(self, model: Module, *, download: bool, progress: bool = True) -> None:
        """Load the weights into a network of 1000 classes, all of whose tensors they give.

        Args:
            model: changed in place.
            download: as of `read`.
            progress: as of `read`.

        Raises:
            WeightsError: as of `read`, or the network is another.
        """
        from tinytrain.weights import load_weights

        matching = load_weights(model, self.read(download=download, progress=progress))
        if matching.missing:
            raise WeightsError(
                f"{self.file} does not fit the network: it lacks {', '.join(matching.missing[:3])}",
                remedy=f"These are weights of {self.model} for 1000 classes and images of 3 channels",
            )

    def _steps(self, mean: tuple[float, ...], std: tuple[float, ...]) -> list[Any]:
        resize = {"size": self.resize, "interpolation": self.interpolation}
        normalize = {"mean": list(mean), "std": list(std)}
        return [{"Resize": resize}, {"CenterCrop": {"size": 224}}, "ToTensor", {"Normalize": normalize}]


def find_pretrained(model: str, name: str = "DEFAULT") -> PretrainedWeights:
    """Return the public weights of a model.

    Args:
        model: the builder's name.
        name: of the weights, as `IMAGENET1K_V1`; `DEFAULT` for the best.

    Raises:
        ValueError: there are none for the model, or none of that name.
    """
    known = PRETRAINED.get(model)
    if known is None:
        raise ValueError(f"there are no public weights for {model}; there are for {', '.join(PRETRAINED)}")
    if name != "DEFAULT" and name not in known:
        raise ValueError(
            f"there are no weights of {model} called {name!r}{did_you_mean(name, known)}: "
            f"there are {', '.join(known)} and DEFAULT"
        )
    return known[name] if name != "DEFAULT" else list(known.values())[-1]


def weights_of(class_name: str) -> SimpleNamespace:
    """Return the weights of a model as attributes of a thing with torchvision's name for it: `ResNet18_Weights`.

    Raises:
        AttributeError: there is no such name.
    """
    known = PRETRAINED.get(class_name.removesuffix("_Weights").lower())
    if known is None or not class_name.endswith("_Weights"):
        raise AttributeError(f"module 'tinytrain.models' has no attribute {class_name!r}")
    return SimpleNamespace(**known, DEFAULT=list(known.values())[-1])


@cache
def imagenet_classes() -> tuple[str, ...]:
    """Return the names of ImageNet's 1000 classes (Russakovsky et al., 2015), by index."""
    text = files("tinytrain.models").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


_FILES = (  # the best of a model last
    PretrainedWeights("alexnet", "IMAGENET1K_V1", "alexnet-owt-7be5be79.pth", 233.087, 56.522, 79.066),
    PretrainedWeights(
        "convnext_tiny", "IMAGENET1K_V1", "convnext_tiny-983f1562.pth", 109.119, 82.52, 96.146, resize=236
    ),
    PretrainedWeights("densenet121", "IMAGENET1K_V1", "densenet121-a639ec97.pth", 30.845, 74.434, 91.972),
    PretrainedWeights(
        "efficientnet_b0",
        "IMAGENET1K_V1",
        "efficientnet_b0_rwightman-7f5810bc.pth",
        20.451,
        77.692,
        93.532,
        interpolation="bicubic",
    ),
    PretrainedWeights("googlenet", "IMAGENET1K_V1", "googlenet-1378be20.pth", 49.731, 69.778, 89.53),
    PretrainedWeights("mobilenet_v2", "IMAGENET1K_V1", "mobilenet_v2-b0353104.pth", 13.555, 71.878, 90.286),
    PretrainedWeights("mobilenet_v2", "IMAGENET1K_V2", "mobilenet_v2-7ebf99e0.pth", 13.598, 72.154, 90.822, resize=232),
    PretrainedWeights("mobilenet_v3_large", "IMAGENET1K_V1", "mobilenet_v3_large-8738ca79.pth", 21.114, 74.042, 91.34),
    PretrainedWeights(
        "mobilenet_v3_large", "IMAGENET1K_V2", "mobilenet_v3_large-5c1a4163.pth", 21.107, 75.274, 92.566, resize=232
    ),
    PretrainedWeights("mobilenet_v3_small", "IMAGENET1K_V1", "mobilenet_v3_small-047dcff4.pth", 9.829, 67.668, 87.402),
    PretrainedWeights("resnet18", "IMAGENET1K_V1", "resnet18-f37072fd.pth", 44.661, 69.758, 89.078),
    PretrainedWeights("resnet34", "IMAGENET1K_V1", "resnet34-b627a593.pth", 83.275, 73.314, 91.42),
    PretrainedWeights("resnet50", "IMAGENET1K_V1", "resnet50-0676ba61.pth", 97.781, 76.13, 92.862),
    PretrainedWeights("resnet50", "IMAGENET1K_V2", "resnet50-11ad3fa6.pth", 97.79, 80.858, 95.434, resize=232),
    PretrainedWeights("resnet101", "IMAGENET1K_V1", "resnet101-63fe2227.pth", 170.511, 77.374, 93.546),
    PretrainedWeights("resnet101", "IMAGENET1K_V2", "resnet101-cd907fc2.pth", 170.53, 81.886, 95.78, resize=232),
    PretrainedWeights("resnet152", "IMAGENET1K_V1", "resnet152-394f9c45.pth", 230.434, 78.312, 94.046),
    PretrainedWeights("resnet152", "IMAGENET1K_V2", "resnet152-f82ba261.pth", 230.474, 82.284, 96.002, resize=232),
    PretrainedWeights("resnext50_32x4d", "IMAGENET1K_V1", "resnext50_32x4d-7cdf4587.pth", 95.789, 77.618, 93.698),
    PretrainedWeights(
        "resnext50_32x4d", "IMAGENET1K_V2", "resnext50_32x4d-1a0047aa.pth", 95.833, 81.198, 95.34, resize=232
    ),
    PretrainedWeights("resnext101_32x8d", "IMAGENET1K_V1", "resnext101_32x8d-8ba56ff5.pth", 339.586, 79.312, 94.526),
    PretrainedWeights(
        "resnext101_32x8d", "IMAGENET1K_V2", "resnext101_32x8d-110c445d.pth", 339.673, 82.834, 96.228, resize=232
    ),
    PretrainedWeights(
        "resnext101_64x4d", "IMAGENET1K_V1", "resnext101_64x4d-173b62eb.pth", 319.318, 83.246, 96.454, resize=232
    ),
    PretrainedWeights("wide_resnet50_2", "IMAGENET1K_V1", "wide_resnet50_2-95faca4d.pth", 131.82, 78.468, 94.086),
    PretrainedWeights(
        "wide_resnet50_2", "IMAGENET1K_V2", "wide_resnet50_2-9ba9bcbe.pth", 263.124, 81.602, 95.758, resize=232
    ),
    PretrainedWeights("wide_resnet101_2", "IMAGENET1K_V1", "wide_resnet101_2-32ee1156.pth", 242.896, 78.848, 94.284),
    PretrainedWeights(
        "wide_resnet101_2", "IMAGENET1K_V2", "wide_resnet101_2-d733dc28.pth", 484.747, 82.51, 96.02, resize=232
    ),
    PretrainedWeights("shufflenet_v2_x0_5", "IMAGENET1K_V1", "shufflenetv2_x0.5-f707e7126e.pth", 5.282, 60.552, 81.746),
    PretrainedWeights("shufflenet_v2_x1_0", "IMAGENET1K_V1", "shufflenetv2_x1-5666bf0f80.pth", 8.791, 69.362, 88.316),
    PretrainedWeights(
        "shufflenet_v2_x1_5", "IMAGENET1K_V1", "shufflenetv2_x1_5-3c479a10.pth", 13.557, 72.996, 91.086, resize=232
    ),
    PretrainedWeights(
        "shufflenet_v2_x2_0", "IMAGENET1K_V1", "shufflenetv2_x2_0-8be3c8ee.pth", 28.433, 76.23, 93.006, resize=232
    ),
    PretrainedWeights("squeezenet1_0", "IMAGENET1K_V1", "squeezenet1_0-b66bff10.pth", 4.778, 58.092, 80.42),
    PretrainedWeights("squeezenet1_1", "IMAGENET1K_V1", "squeezenet1_1-b8a52dc0.pth", 4.729, 58.178, 80.624),
    PretrainedWeights("vgg11", "IMAGENET1K_V1", "vgg11-8a719046.pth", 506.84, 69.02, 88.628),
    PretrainedWeights("vgg11_bn", "IMAGENET1K_V1", "vgg11_bn-6002323d.pth", 506.881, 70.37, 89.81),
    PretrainedWeights("vgg13", "IMAGENET1K_V1", "vgg13-19584684.pth", 507.545, 69.928, 89.246),
    PretrainedWeights("vgg13_bn", "IMAGENET1K_V1", "vgg13_bn-abd245e5.pth", 507.59, 71.586, 90.374),
    PretrainedWeights("vgg16", "IMAGENET1K_V1", "vgg16-397923af.pth", 527.796, 71.592, 90.382),
    PretrainedWeights("vgg16_bn", "IMAGENET1K_V1", "vgg16_bn-6c64b313.pth", 527.866, 73.36, 91.516),
    PretrainedWeights("vgg19", "IMAGENET1K_V1", "vgg19-dcbb9e9d.pth", 548.051, 72.376, 90.876),
    PretrainedWeights("vgg19_bn", "IMAGENET1K_V1", "vgg19_bn-c79401a0.pth", 548.143, 74.218, 91.842),
)

PRETRAINED: Mapping[str, Mapping[str, PretrainedWeights]] = {
    model: {each.name: each for each in _FILES if each.model == model}
    for model in dict.fromkeys(each.model for each in _FILES)
}
"""Builder's name -> name of the weights -> weights."""
