"""What is computed of bfloat16 is bfloat16, and so is its gradient: also where CuPy has no function for it."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt
import tinytrain.nn.functional as F

pytest.importorskip("ml_dtypes")


def like(x, value):
    return tt.full((1,), value, dtype=x.dtype, device=x.device)


def classes(x):
    return tt.tensor([0, 1], device=x.device)


OPS = {
    "prelu": lambda x: F.prelu(x, like(x, 0.25)),
    "threshold": lambda x: F.threshold(x, 0.1, 0.5),
    "hardshrink": F.hardshrink,
    "hardtanh": F.hardtanh,
    "hardswish": F.hardswish,
    "softplus": F.softplus,
    "selu": F.selu,
    "lp_pool": lambda x: F.lp_pool2d(x, 2, 2),
    "where": lambda x: tt.where(x > 0, x, x * 2),
    "masked_fill": lambda x: x.masked_fill(x > 0, 0.5),
    "maximum": lambda x: tt.maximum(x, x * 0.5),
    "clamp": lambda x: x.clamp(-1, 1),
    "fmax": lambda x: tt.fmax(x, x * 0.5),
    "sort": lambda x: x.sort(1, descending=True)[0],
    "topk": lambda x: x.topk(2, 1)[0],
    "median": lambda x: x.median(1)[0],
    "mode": lambda x: x.mode(1)[0],
    "cumsum": lambda x: x.cumsum(1),
    "nll_loss": lambda x: F.nll_loss(F.log_softmax(x.mean((2, 3)), 1), classes(x)),
    "kl_div": lambda x: F.kl_div(F.log_softmax(x, 1), F.softmax(x.detach(), 1), reduction="sum"),
    "rand": lambda x: x * tt.rand(x.shape, device=x.device, dtype=x.dtype),
    "floor": lambda x: x + tt.div(x, 0.5, rounding_mode="floor"),
    "dropout": lambda x: F.dropout(x, 0.5),
}


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_the_type_stays(op, device):
    values = np.random.default_rng(0).normal(size=(2, 4, 4, 4)).astype(np.float32)
    x = tt.tensor(values, device=device).to(tt.bfloat16).requires_grad_()
    y = op(x)
    y.sum().backward()
    assert (y.dtype, x.grad.dtype) == (tt.bfloat16, tt.bfloat16)


def test_the_order_of_bfloat16_is_that_of_its_values(device):
    values = np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32)
    x = tt.tensor(values, device=device).to(tt.bfloat16)
    np.testing.assert_array_equal(x.argsort(1).cpu().numpy(), x.float().cpu().numpy().argsort(1, kind="stable"))
