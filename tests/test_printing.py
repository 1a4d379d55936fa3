"""Tensors print as PyTorch's documentation shows them."""

from __future__ import annotations

import numpy as np
import pytest

from tinytrain.ops.arithmetic import mul
from tinytrain.printing import get_printoptions, set_printoptions
from tinytrain.tensor import wrap


@pytest.mark.parametrize(
    ("values", "dtype", "text"),
    [
        ([[0.1, 1.2], [2.2, 3.1]], "float32", "[[0.1000, 1.2000],\n        [2.2000, 3.1000]]"),
        ([1.0, 2.0], "float32", "[1., 2.]"),
        ([1.0, float("inf"), float("nan")], "float32", "[1., inf, nan]"),
        ([1e-5, 1.0], "float32", "[1.0000e-05, 1.0000e+00]"),
        ([1.0, 2000.5], "float32", "[1.0000e+00, 2.0005e+03]"),
        ([True, False], "bool", "[ True, False]"),
        ([1, -20], "int64", "[  1, -20]"),
        (3.14159, "float32", "3.1416"),
        ([1.0], "float64", "[1.], dtype=torch.float64"),
        ([1], "uint8", "[1], dtype=torch.uint8"),
    ],
)
def test_values_print_as_torch_prints_them(values, dtype, text):
    assert repr(wrap(np.array(values, dtype))) == f"tensor({text})"


def test_empty_tensors_tell_their_size():
    assert repr(wrap(np.zeros((0,), "float32"))) == "tensor([])"
    assert repr(wrap(np.zeros((0, 3), "float32"))) == "tensor([], size=(0, 3))"
    assert repr(wrap(np.zeros((0, 3), "int64"))) == "tensor([], size=(0, 3), dtype=torch.int64)"


def test_a_large_tensor_is_summarised():
    assert repr(wrap(np.arange(1001))) == "tensor([   0,    1,    2,  ...,  998,  999, 1000])"


def test_a_leaf_and_a_result_tell_their_place_on_the_tape():
    leaf = wrap(np.array([1.0], "float32")).requires_grad_()
    assert repr(leaf) == "tensor([1.], requires_grad=True)"
    assert repr(mul(leaf, 2)) == "tensor([2.], grad_fn=<MulBackward0>)"


def test_options_are_kept_until_changed():
    try:
        set_printoptions(precision=2, sci_mode=False)
        assert repr(wrap(np.array([1e-5, 1.5], "float32"))) == "tensor([0.00, 1.50])"
        assert get_printoptions()["precision"] == 2
    finally:
        set_printoptions(profile="default")
