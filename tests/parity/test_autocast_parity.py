"""`autocast` gives the types that PyTorch's gives, op by op; ops in 16 bits give its values; scalers move as its do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import nn, optim

from .oracle import Twins, Unsupported, difference, seed_both, tensors_in, torch
from .required import is_required
from .test_opinfo import ANY_OF_EQUALS, OPS, UNINITIALISED, samples, wanted

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]

SIXTEEN_BITS = [torch.bfloat16, torch.float16]
MOST_SAMPLES = 25
FLOAT_OPS = [op for op in OPS if torch.float32 in op.dtypes]
REQUIRED_OPS = [op for op in FLOAT_OPS if is_required(op.name, op.variant_test_name)]


def in_type(value: Any, dtype: Any) -> Any:
    """Return a value of PyTorch with its float tensors, detached, in a type."""
    return Twins()._map(value, lambda t: t.detach().to(dtype) if t.is_floating_point() else t, lambda other: other)


def types_of(result: Any) -> list[str]:
    return [str(each.dtype) for each in tensors_in(result)]


@pytest.mark.parametrize("lower", SIXTEEN_BITS, ids=str)
@pytest.mark.parametrize("op", FLOAT_OPS, ids=lambda op: op.formatted_name)
def test_results_have_pytorchs_types_within_autocast(op, lower):
    ours = wanted(op)
    compared = 0
    for index, sample in samples(op, torch.float32, requires_grad=False):
        for dtype in (torch.float32, lower) if index < MOST_SAMPLES else ():
            if sample.kwargs.get("sparse"):
                continue
            arguments = in_type((sample.input, tuple(sample.args), dict(sample.kwargs)), dtype)
            twins = Twins()
            try:
                with torch.autocast("cpu", lower):
                    input, args, kwargs = twins.theirs(arguments)
                    expected = op.op(input, *args, **kwargs)
            except Exception:  # not for these types in PyTorch
                continue
            try:
                input, args, kwargs = twins.ours(arguments)
            except Unsupported:
                continue
            with tt.autocast("cpu", tt.bfloat16 if lower is torch.bfloat16 else tt.float16):
                found = ours(input, *args, **kwargs)
            assert types_of(found) == types_of(expected), f"sample {index} of {dtype}"
            compared += 1
    if not compared:
        pytest.skip("PyTorch takes none of the samples within autocast, or we have no such values")


@pytest.mark.parametrize("lower", SIXTEEN_BITS, ids=str)
@pytest.mark.parametrize("op", REQUIRED_OPS, ids=lambda op: op.formatted_name)
def test_ops_in_16_bits_give_pytorchs_values(op, lower):
    if lower not in op.dtypes:
        pytest.skip("not for this type in PyTorch")
    ours = wanted(op)
    eps = torch.finfo(lower).eps
    for index, sample in samples(op, lower, requires_grad=False):
        if index >= MOST_SAMPLES:
            break
        twins, arguments = Twins(), (sample.input, tuple(sample.args), dict(sample.kwargs))
        try:
            our_input, our_args, our_kwargs = twins.ours(arguments)
        except Unsupported:
            continue
        their_input, their_args, their_kwargs = twins.theirs(arguments)
        try:
            seed_both()
            expected = op.op(their_input, *their_args, **their_kwargs)
        except Exception:  # not for these arguments in this type
            continue
        seed_both()
        found = ours(our_input, *our_args, **our_kwargs)
        assert difference(found, expected, values=False) is None, f"sample {index}"
        if op.name in UNINITIALISED or op.name in ANY_OF_EQUALS:
            continue
        for a, b in zip(tensors_in(found), tensors_in(expected), strict=True):
            size = max(1.0, float(b.double().nan_to_num(posinf=0, neginf=0).abs().max())) if b.numel() else 1.0
            assert difference(a, b, tolerance=(4 * eps, 2 * eps * size)) is None, f"sample {index}"


@pytest.mark.parametrize("lower", SIXTEEN_BITS, ids=str)
def test_a_network_learns_as_pytorchs_within_autocast(lower):
    def build(library: Any) -> Any:
        layers = library.nn
        return layers.Sequential(
            layers.Conv2d(3, 8, 3, padding=1, bias=False), layers.BatchNorm2d(8), layers.ReLU(),
            layers.Conv2d(8, 8, 3, groups=8), layers.Hardswish(), layers.AdaptiveAvgPool2d(1), layers.Flatten(),
            layers.Linear(8, 5),
        )  # fmt: skip

    torch.manual_seed(0)
    theirs, ours = build(torch), build(tt)
    ours.load_state_dict({name: tt.from_numpy(value.numpy()) for name, value in theirs.state_dict().items()})
    images, targets = torch.randn(16, 3, 8, 8), torch.arange(16) % 5
    with torch.autocast("cpu", lower):
        expected = torch.nn.functional.cross_entropy(theirs(images), targets)
    with tt.autocast("cpu", tt.bfloat16 if lower is torch.bfloat16 else tt.float16):
        found = nn.functional.cross_entropy(ours(tt.from_numpy(images.numpy())), tt.from_numpy(targets.numpy()))
    expected.backward()
    found.backward()
    eps = torch.finfo(lower).eps
    assert found.item() == pytest.approx(expected.item(), rel=2 * eps)
    for (name, p), q in zip(theirs.named_parameters(), ours.parameters(), strict=True):
        assert str(q.grad.dtype) == str(p.grad.dtype) == "torch.float32"
        size = float(p.grad.abs().max())
        np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), rtol=0, atol=8 * eps * size + 1e-4, err_msg=name)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_a_scaler_moves_and_skips_as_pytorchs(name):
    options = {"init_scale": 2.0**10, "growth_factor": 1.7, "backoff_factor": 0.3, "growth_interval": 3}
    theirs, ours = torch.amp.GradScaler("cpu", **options), tt.amp.GradScaler("cpu", **options)
    p = torch.tensor([1.0, -2.0, 0.5], requires_grad=True)
    q = tt.tensor(p.detach().numpy().copy(), requires_grad=True)
    their_rule, our_rule = getattr(torch.optim, name)([p], lr=0.1), getattr(optim, name)([q], lr=0.1)
    slopes = [1.0, 2.0, math.inf, 0.5, 1.5, -1.0, 3.0, math.nan, math.inf, 1.0, 1.0, 1.0, 2.0]
    for step, slope in enumerate(slopes):
        for scaler, rule, weight in ((theirs, their_rule, p), (ours, our_rule, q)):
            rule.zero_grad()
            scaler.scale((weight * slope).sum()).backward()
            if step % 2:
                scaler.unscale_(rule)
            scaler.step(rule)
            scaler.update()
        assert ours.get_scale() == theirs.get_scale()
        np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol=1e-5, atol=1e-6)
    state = ours.state_dict()
    assert state.pop("skipped_steps") == sum(not math.isfinite(slope) for slope in slopes)
    assert state == theirs.state_dict()
    fresh = tt.amp.GradScaler("cpu")
    fresh.load_state_dict(theirs.state_dict())
    assert fresh.get_scale() == theirs.get_scale()
