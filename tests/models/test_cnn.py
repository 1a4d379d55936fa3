"""The plain CNN in its two builds."""

from __future__ import annotations

from typing import Any

import pytest

from tinytrain import models, nn
from tinytrain.errors import ConfigError


def convolutions(**options: Any) -> list[tuple[int, int, int]]:
    """Return (in_channels, out_channels, groups) of the convolutions."""
    model = models.cnn(widths=(8, 16), strides=(1, 2), **options)
    return [(m.in_channels, m.out_channels, m.groups) for m in model.modules() if isinstance(m, nn.Conv2d)]


def test_the_builds_differ_in_the_kind_of_convolution_after_the_first():
    assert convolutions() == [(3, 8, 1), (8, 16, 1)]
    assert convolutions(conv="separable") == [(3, 8, 1), (8, 8, 8), (8, 16, 1)]


def test_expansion_widens_before_the_depthwise_convolution():
    assert convolutions(conv="separable", expansion=4) == [(3, 8, 1), (8, 32, 1), (32, 32, 32), (32, 16, 1)]


@pytest.mark.parametrize(("conv", "expansion"), [("standard", 2), ("separable", 0)])
def test_an_expansion_that_means_nothing_is_refused(conv: str, expansion: int):
    with pytest.raises(ConfigError, match="`expansion` is 1, or more where `conv` is separable; got"):
        models.cnn(conv=conv, expansion=expansion)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"conv": "seperable"},
            "`conv` must be one of standard, separable; got 'seperable' \\(did you mean 'separable'",
        ),
        ({"widths": (8,), "strides": (1, 2)}, "must have as many entries, one at least; got 1 and 2"),
        ({"kernel_size": 4}, "`kernel_size` must be odd and positive; got 4"),
    ],
)
def test_options_that_describe_no_network_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        models.cnn(**options)
