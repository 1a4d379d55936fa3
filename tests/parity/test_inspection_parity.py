"""`inspect-conv` tells PyTorch's output shapes and parameters."""

from __future__ import annotations

import numpy as np
import torch

from tinytrain.inspection.convolution import Convolution

SETTINGS = 500


def test_shapes_and_parameters_of_random_convolutions_are_pytorchs():
    rng = np.random.default_rng(0)
    compared = 0
    while compared < SETTINGS:
        groups = int(rng.choice([1, 1, 2, 3, 4]))
        inputs, outputs = (groups * int(n) for n in rng.integers(1, 5, 2))
        if rng.random() < 0.2:
            inputs = outputs = groups = int(rng.integers(2, 9))
        kernel, dilation = (tuple(int(n) for n in rng.integers(1, high, 2)) for high in (6, 4))
        size = tuple(int(n) for n in rng.integers(1, 30, 2))
        kind = rng.choice(["numbers", "numbers", "same", "valid"])
        padding = tuple(int(n) for n in rng.integers(0, 5, 2)) if kind == "numbers" else str(kind)
        stride = (1, 1) if kind == "same" else tuple(int(n) for n in rng.integers(1, 5, 2))
        layer = torch.nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bool(rng.integers(2)))
        arguments = (inputs, outputs, kernel, size, stride, padding, dilation, groups, layer.bias is not None)
        try:
            expected = tuple(layer(torch.zeros(1, inputs, *size)).shape[1:])
        except RuntimeError:
            try:
                Convolution(*arguments)
            except ValueError:
                continue
            raise
        found = Convolution(*arguments)
        assert found.output == expected
        assert found.params == sum(p.numel() for p in layer.parameters())
        assert found.separable()[1].output == expected
        compared += 1
