"""PyTorch's hints on how an optimizer computes are taken, and change nothing."""

from __future__ import annotations

import inspect

import pytest

import tinytrain as tt
from tinytrain import optim

HINTS = {
    "SGD": ("foreach", "fused"),
    "Adam": ("foreach", "fused"),
    "AdamW": ("foreach", "fused"),
    "NAdam": ("foreach",),
    "RAdam": ("foreach",),
    "RMSprop": ("foreach",),
    "Adagrad": ("foreach", "fused"),
}


@pytest.mark.parametrize("value", [None, True, False])
@pytest.mark.parametrize("name", HINTS)
def test_a_hint_is_taken_and_is_no_option(name, value):
    weight = tt.ones(1, requires_grad=True)
    optimizer = getattr(optim, name)([weight], lr=0.1, **dict.fromkeys(HINTS[name], value))
    assert not {"foreach", "fused"} & optimizer.param_groups[0].keys()
    assert not {"foreach", "fused"} & inspect.signature(type(optimizer)).parameters.keys()


def test_a_hint_that_pytorch_does_not_know_is_refused():
    with pytest.raises(TypeError, match="fused"):
        optim.NAdam([tt.ones(1, requires_grad=True)], fused=True)
