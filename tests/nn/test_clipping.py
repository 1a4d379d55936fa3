"""Gradients are clipped by their norm taken together, natively and by array code alike."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import nn
from tinytrain.kernels.fused import clipping
from tinytrain.kernels.native.extension import native

SIZES = [(), (7,), (40_001,), (0,), (16_384,), (3, 5, 100_000), (1,)]


def with_gradients(dtype=np.float32):
    rng = np.random.default_rng(0)
    params = [tt.zeros(size, requires_grad=True, dtype=getattr(tt, np.dtype(dtype).name)) for size in SIZES]
    for param in params:
        param.grad = tt.tensor(rng.normal(size=param.shape).astype(dtype))
    return params


@pytest.mark.parametrize("is_native", [True, False])
@pytest.mark.parametrize("max_norm", [0.5, 1e9])
def test_gradients_are_scaled_to_the_norm_of_all_together(is_native, max_norm, monkeypatch):
    if is_native and native() is None:
        pytest.skip("the native kernels are not built, or not wanted")
    if not is_native:
        monkeypatch.setattr(clipping, "offered", lambda value: None)
    params = with_gradients()
    before = [param.grad.numpy().copy() for param in params]
    norm = np.sqrt(sum((each.astype(np.float64) ** 2).sum() for each in before))
    found = nn.utils.clip_grad_norm_(params, max_norm)
    np.testing.assert_allclose(found.item(), norm, rtol=1e-6)
    factor = np.float32(min(1, max_norm / norm))
    for param, old in zip(params, before, strict=True):
        np.testing.assert_allclose(param.grad.numpy(), old * factor, rtol=1e-6)


def test_a_change_by_clipping_is_noticed_by_the_tape():
    x = tt.ones(3, requires_grad=True)
    x.grad = tt.ones(3)
    x.grad.requires_grad_()
    y = (x.grad * x.grad).sum()
    nn.utils.clip_grad_norm_([x], 0.1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


@pytest.mark.skipif(native() is None, reason="the native kernels are not built, or not wanted")
def test_norms_are_the_same_bits_for_every_number_of_threads_and_instruction_set():
    arrays = [param.grad.array for param in with_gradients()]
    extension, threads = native(), native().get_threads()
    expected = clipping.norms_of(arrays)
    try:
        for name in extension.instruction_sets():
            extension.use(name)
            for count in (1, 2, 3):
                extension.set_threads(count)
                np.testing.assert_array_equal(clipping.norms_of(arrays), expected)
    finally:
        extension.use(extension.instruction_sets()[0])
        extension.set_threads(threads)


def test_gradients_of_other_types_are_clipped_by_array_code():
    params = with_gradients(np.float64)
    assert clipping.norms_of([param.grad.array for param in params]) is None
    nn.utils.clip_grad_norm_(params, 1.0)
    assert np.sqrt(sum((param.grad.numpy() ** 2).sum() for param in params)) == pytest.approx(1)
