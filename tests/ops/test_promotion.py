"""The type of what operands of several types give, and what becomes of numbers that the type cannot hold."""

from __future__ import annotations

import math

import pytest

import tinytrain as tt
import tinytrain.nn.functional as F

LOW = ["float16", "bfloat16"]
NUMBERS = {
    "clamp": lambda x: x.clamp(0.0, 6.0),
    "clamp from one side": lambda x: x.clamp(min=0.5),
    "clip": lambda x: x.clip(max=6.5),
    "clamp between tensor and number": lambda x: x.clamp(tt.tensor(0.0), 1.5),
    "add of integers": lambda x: x.add(whole(1, 1), alpha=1.5),
    "sub of integers": lambda x: x.sub(whole(1, 1), alpha=1.5),
    "addcmul of integers": lambda x: tt.addcmul(x, whole(1, 1), whole(1, 1), value=1.5),
    "addcdiv": lambda x: tt.addcdiv(x, x, x, value=1.5),
    "where": lambda x: tt.where(x > 0, x, 0.5),
    "nan_to_num": lambda x: tt.nan_to_num(x, nan=0.5),
}


def whole(*values, dtype=tt.int64):
    return tt.tensor(values, dtype=dtype)


def bytes_of(*values):
    return whole(*values, dtype=tt.uint8)


@pytest.fixture(params=LOW)
def low(request):
    if request.param == "bfloat16":
        pytest.importorskip("ml_dtypes")
    return getattr(tt, request.param)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_does_not_widen_floats_of_16_bits(name, low):
    assert NUMBERS[name](tt.ones(2, dtype=low)).dtype is low


def test_nan_to_num_replaces_what_is_not_finite_in_16_bits(low):
    x = tt.tensor([math.nan, math.inf, -math.inf, 2], dtype=low)
    assert tt.nan_to_num(x, nan=0.5).tolist() == [0.5, tt.finfo(low).max, tt.finfo(low).min, 2]
    assert tt.nan_to_num(x, posinf=8, neginf=9).tolist() == [0, 8, 9, 2]


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


def test_a_number_that_integers_cannot_hold_wraps():
    x = bytes_of(1, 2)
    assert (x * -1).tolist() == [255, 254]
    assert (x + 300).tolist() == [45, 46]
    assert (x - (-1)).tolist() == [2, 3]
    assert (-1 - x).tolist() == [254, 253]
    assert (x // -1).tolist() == [0, 0]
    assert (x + 2**63).tolist() == [1, 2]
    assert (whole(1, 2, dtype=tt.int32) + 2**40).tolist() == [1, 2]
    assert (whole(1, 2, dtype=tt.int8) + 200).tolist() == [-55, -54]
    assert (x & -1).tolist() == [1, 2]
    assert tt.add(x, x, alpha=-1).tolist() == [0, 0]
    assert x.add_(300).tolist() == [45, 46]


def test_a_number_wraps_before_integers_are_compared_with_it():
    x = bytes_of(1, 2)
    assert (x > -1).tolist() == [False, False]  # 255
    assert (x == 300).tolist() == [False, False]  # 44
    assert (x == 257).tolist() == [True, False]
    assert (whole(1, 2, dtype=tt.int32) < 2**40).tolist() == [False, False]  # 0
    assert tt.isin(x, 257).tolist() == [True, False]


def test_a_negative_number_wraps_where_it_is_stored_in_an_unsigned_type():
    x, first = bytes_of(1, 2), tt.tensor([True, False])
    assert tt.where(first, -1, x).tolist() == [255, 2]
    assert x.masked_fill(first, -1).tolist() == [255, 2]
    assert x.clamp(min=-1).tolist() == [255, 255]
    assert x.clamp(max=-1).tolist() == [1, 2]
    assert x.clone().fill_(-1).tolist() == [255, 255]


def at(x, index, value):
    x[index] = value


@pytest.mark.parametrize(
    "store",
    [
        lambda x: x.clamp(-1, 300),
        lambda x: x.clamp(tt.tensor(-1), 300),
        lambda x: tt.where(x > 1, x, 300),
        lambda x: x.masked_fill(x > 1, 300),
        lambda x: x.masked_fill(x > 1, -1.5),
        lambda x: x.fill_(300),
        lambda x: at(x, 0, 300),
        lambda x: at(x, x > 1, 300),
        lambda x: x.index_fill(0, whole(0), 300),
        lambda x: x.scatter(0, whole(0), 300),
        lambda x: F.pad(x, (1, 1), value=-1),
        lambda x: F.pad(x, (1, 1), value=300),
        lambda x: tt.add(x, x, alpha=300),
        lambda x: x**300,
        lambda x: tt.tensor([math.nan], dtype=x.dtype),
    ],
)
def test_a_number_that_cannot_be_stored_is_refused(store):
    with pytest.raises(RuntimeError, match="value cannot be converted to type uint8 without overflow"):
        store(bytes_of(1, 2))
