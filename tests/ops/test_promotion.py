"""The type of what operands of several types give."""

from __future__ import annotations

import math

import pytest

import tinytrain as tt
import tinytrain.nn.functional as F

LOW = ["float16", "bfloat16"]


@pytest.fixture(params=LOW)
def low(request):
    if request.param == "bfloat16":
        pytest.importorskip("ml_dtypes")
    return getattr(tt, request.param)


@pytest.mark.parametrize("other", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("op", [tt.pow, F.smooth_l1_loss, lambda x, y: F.cosine_similarity(x, y, dim=0)])
def test_floats_of_16_bits_promote_with_other_floats(op, other, low):
    pytest.importorskip("ml_dtypes")
    other = getattr(tt, other)
    assert op(tt.ones(2, dtype=low), tt.ones(2, dtype=other)).dtype is tt.promote_types(low, other)


def test_powers_of_another_type_are_rounded_to_that_type():
    base = tt.tensor([3.0], dtype=tt.float16, requires_grad=True)
    found = base ** tt.tensor([0.5], dtype=tt.float64)
    assert found.item() == math.sqrt(3)
    found.backward()
    assert base.grad.dtype is tt.float16
