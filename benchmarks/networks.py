"""The networks that are measured, by name, with the batches that they learn from."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

import tinytrain as tt
from tinytrain import models, nn


@dataclass(frozen=True)
class Network:
    """A network and the batch that a training step gets.

    Attributes:
        name: what the command line calls it.
        build: makes it in training mode.
        image: (c, h, w).
        batch: images of a training step.
        classes: size of the output.
    """

    name: str
    build: Callable[[], nn.Module]
    image: tuple[int, int, int]
    batch: int
    classes: int

    def model(self, *, with_statistics: bool = False) -> nn.Module:
        """Return the network, the same weights at every call.

        Args:
            with_statistics: normalisations know those of 8 images, as after a training: with those of a fresh network
                the values in evaluation shrink from layer to layer.
        """
        tt.manual_seed(0)
        model = self.build()
        if with_statistics:
            norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
            for norm in norms:
                norm.momentum = 1.0
            with tt.no_grad():
                model(tt.from_numpy(self.data(8)[0]))
            for norm in norms:
                norm.momentum = 0.1
        return model

    def data(self, batch: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return images (n, c, h, w), normally distributed, and class indices (n,).

        Args:
            batch: n; None: that of a training step.
        """
        rng, n = np.random.default_rng(0), batch or self.batch
        return rng.standard_normal((n, *self.image), np.float32), rng.integers(0, self.classes, n)


def six_blocks(conv: str, channels: int, *, narrower: int = 1) -> nn.Sequential:
    """Return six blocks of convolution, batch norm and ReLU, a global average and a linear layer.

    Args:
        conv: `separable` makes each convolution a depthwise and a pointwise one, with a block each; or `standard`.
        channels: of the images.
        narrower: divides the widths.
    """
    layers: list[nn.Module] = []
    for full, stride in zip((32, 64, 128, 128, 256, 256), (1, 1, 2, 1, 2, 1), strict=True):
        width = full // narrower
        if conv == "separable":
            layers += [nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)]
            layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, width, 1, bias=False)]
        else:
            layers += [nn.Conv2d(channels, width, 3, stride, 1, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


def _digits(conv: str) -> nn.Module:
    return models.cnn(num_classes=10, in_channels=1, conv=conv)


def _googlenet() -> nn.Module:
    return models.googlenet(aux_logits=False, init_weights=False)


NETWORKS = {
    each.name: each
    for each in (
        Network("digits", partial(_digits, "separable"), (1, 8, 8), 64, 10),
        Network("digits-standard", partial(_digits, "standard"), (1, 8, 8), 64, 10),
        Network("6blocks-32", partial(six_blocks, "separable", 3), (3, 32, 32), 64, 10),
        Network("6blocks-32-standard", partial(six_blocks, "standard", 3), (3, 32, 32), 64, 10),
        Network("6blocks-28", partial(six_blocks, "separable", 1), (1, 28, 28), 64, 10),
        Network("6blocks-28-standard", partial(six_blocks, "standard", 1), (1, 28, 28), 64, 10),
        Network("cifar_resnet20", models.cifar_resnet20, (3, 32, 32), 128, 10),
        Network("mobilenet_v1", models.mobilenet_v1, (3, 224, 224), 16, 1000),
        Network("mobilenet_v2", models.mobilenet_v2, (3, 224, 224), 16, 1000),
        Network("resnet18", models.resnet18, (3, 224, 224), 16, 1000),
        Network("googlenet", _googlenet, (3, 224, 224), 16, 1000),
    )
}


ON_GPU = {
    **NETWORKS,
    "resnet50": Network("resnet50", models.resnet50, (3, 224, 224), 16, 1000),
    "tiny": Network("tiny", partial(six_blocks, "separable", 3, narrower=16), (3, 8, 8), 4, 10),
    "tiny-standard": Network("tiny-standard", partial(six_blocks, "standard", 3, narrower=16), (3, 8, 8), 4, 10),
}
"""Those, and what is measured on a GPU alone; the tiny ones show that the benchmark runs."""


def chosen(patterns: Sequence[str]) -> list[Network]:
    """Return the networks whose names match a pattern, as `6blocks*`; all without any.

    Raises:
        SystemExit: a pattern matches none.
    """
    for pattern in patterns:
        if not fnmatch.filter(NETWORKS, pattern):
            sys.exit(f"error: there is no network called {pattern!r}. There are {', '.join(NETWORKS)}")
    return [each for name, each in NETWORKS.items() if not patterns or any(fnmatch.fnmatch(name, p) for p in patterns)]
