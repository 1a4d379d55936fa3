"""Inside `autocast`, ops compute in the types that PyTorch's lists name, and gradients of weights stay float32."""

from __future__ import annotations

import inspect
import sys
import threading
from typing import Any

import numpy as np
import pytest

import tinytrain as tt
import tinytrain.nn.functional as F
from tinytrain import dtypes, nn
from tinytrain.errors import UsageError
from tinytrain.ops import autocasting, contraction
from tinytrain.pending import Pending


@pytest.fixture(params=["float16", "bfloat16"])
def lower(request: pytest.FixtureRequest) -> dtypes.dtype:
    if request.param == "bfloat16":
        pytest.importorskip("ml_dtypes")
    return getattr(tt, request.param)


@pytest.fixture
def rules_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the CPU follow the lists of a GPU."""
    monkeypatch.setitem(autocasting.RULES, "cpu", autocasting.RULES["cuda"])


def test_outside_nothing_is_cast_and_off_is_off(lower):
    x, w = tt.randn(2, 3), tt.randn(4, 3)
    assert F.linear(x, w).dtype is tt.float32
    with tt.autocast("cpu", lower):
        assert F.linear(x, w).dtype is lower
        with tt.autocast("cpu", enabled=False):
            assert not tt.is_autocast_enabled("cpu")
            assert F.linear(x, w).dtype is tt.float32
        assert F.linear(x, w).dtype is lower
    assert not tt.is_autocast_enabled("cpu")
    assert F.linear(x, w).dtype is tt.float32


def test_autocast_of_another_device_changes_nothing_here(monkeypatch):
    monkeypatch.setattr(autocasting, "cuda_is_available", lambda: True)
    with tt.autocast("cuda"):
        assert tt.is_autocast_enabled("cuda")
        assert tt.is_autocast_enabled()
        assert F.linear(tt.randn(2, 3), tt.randn(4, 3)).dtype is tt.float32


def test_types_are_pytorchs_by_default():
    assert tt.get_autocast_dtype("cpu") is tt.bfloat16
    assert tt.get_autocast_dtype("cuda") is tt.float16
    with tt.autocast("cpu", tt.float16):
        assert tt.get_autocast_dtype("cpu") is tt.float16
    assert tt.is_autocast_available("cpu")
    assert not tt.is_autocast_available("mps")
    assert tt.amp.autocast is tt.autocast


def test_a_function_can_be_decorated(lower):
    @tt.autocast("cpu", lower)
    def twice(x: tt.Tensor) -> tt.Tensor:
        """Return x x."""
        return x @ x

    assert twice(tt.randn(3, 3)).dtype is lower
    assert twice.__name__ == "twice"
    assert not tt.is_autocast_enabled("cpu")


def test_an_error_inside_leaves_autocast_as_it_was(lower):
    with tt.autocast("cpu", lower):
        with pytest.raises(RuntimeError, match="cannot be multiplied"):
            tt.randn(2, 3) @ tt.randn(2, 3)
        assert tt.is_autocast_enabled("cpu")
        assert (tt.randn(3, 3) @ tt.randn(3, 3)).dtype is lower
    with pytest.raises(KeyError), tt.autocast("cpu", lower):
        raise KeyError
    assert not tt.is_autocast_enabled("cpu")


def test_other_threads_are_left_alone(lower):
    found = []
    with tt.autocast("cpu", lower):
        thread = threading.Thread(target=lambda: found.append(tt.is_autocast_enabled("cpu")))
        thread.start()
        thread.join()
    assert found == [False]


def test_wrong_arguments_are_told():
    with pytest.raises(ValueError, match="Expected `device_type` of type `str`"):
        tt.autocast(tt.device("cpu"))
    with pytest.raises(RuntimeError, match=r"unsupported autocast device_type 'tpu'; expected one of cpu, cuda"):
        tt.autocast("tpu")
    with pytest.warns(UserWarning, match="the target dtype is not supported. Disabling autocast"):
        assert not tt.autocast("cpu", tt.float64).enabled


def test_without_a_gpu_its_autocast_says_so_and_is_off(monkeypatch):
    monkeypatch.setattr(autocasting, "cuda_is_available", lambda: False)
    with pytest.warns(UserWarning, match="CUDA is not available. Disabling autocast"):
        assert not tt.autocast("cuda").enabled


def test_bfloat16_without_its_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(UsageError) as caught:
        _ = dtypes.dtype("bfloat16").numpy
    assert str(caught.value) == (
        "bfloat16 needs the package ml_dtypes, which is missing. "
        "pip install 'tinytrain[bf16]' (part of [cuda12] and [cuda13], too)"
    )


def test_gradients_are_float32_at_the_parameters(lower):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
    with tt.autocast("cpu", lower):
        logits = model(tt.randn(5, 3, 4, 4))
        loss = F.cross_entropy(logits, tt.tensor([0, 1, 0, 1, 1]))
    assert logits.dtype is lower
    assert loss.dtype is tt.float32
    loss.backward()
    assert {name: p.grad.dtype for name, p in model.named_parameters()} == {
        name: tt.float32 for name, _ in model.named_parameters()
    }
    assert {buffer.dtype for buffer in model.buffers()} == {tt.float32, tt.int64}


def test_gradients_are_near_those_of_float32(lower):
    def gradients(*, cast: bool) -> list[np.ndarray]:
        tt.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(32, 5))
        images, targets = tt.randn(16, 3, 4, 4), tt.arange(16) % 5
        with tt.autocast("cpu", lower, enabled=cast):
            loss = F.cross_entropy(model(images), targets)
        loss.backward()
        return [p.grad.numpy() for p in model.parameters()]

    for a, b in zip(gradients(cast=True), gradients(cast=False), strict=True):
        assert np.abs(a - b).max() <= 0.05 * np.abs(b).max() + 1e-3


def test_batch_norm_takes_16_bits_beside_float32_parameters_and_statistics(lower):
    norm = nn.BatchNorm2d(3)
    x = tt.randn(4, 3, 5, 5)
    expected = nn.BatchNorm2d(3)
    y, z = norm(x.to(lower)), expected(x.to(lower).float())
    assert y.dtype is lower
    assert norm.running_mean.dtype is norm.running_var.dtype is tt.float32
    np.testing.assert_allclose(norm.running_var.numpy(), expected.running_var.numpy(), rtol=1e-5)
    np.testing.assert_allclose(y.detach().float().numpy(), z.detach().numpy(), rtol=1e-2, atol=1e-2)


def test_a_weight_is_cast_once_until_it_changes_or_autocast_ends(lower):
    layer, x = nn.Linear(3, 4, bias=False), tt.randn(2, 3)
    with tt.autocast("cpu", lower):
        layer(x)
        (kept,) = autocasting._mode.kept.values()
        with tt.autocast("cpu", lower):
            layer(x)
        assert autocasting._mode.kept[id(layer.weight)].cast is kept.cast
        with tt.no_grad():
            layer.weight.add_(1.0)
        np.testing.assert_allclose(
            layer(x).detach().float().numpy(), (x @ layer.weight.detach().T).numpy(), rtol=2e-2, atol=5e-2
        )
        assert autocasting._mode.kept[id(layer.weight)].cast is not kept.cast
        layer.weight.data = tt.zeros(4, 3)
        assert not layer(x).any()
    assert not autocasting._mode.kept


def test_two_uses_of_a_kept_cast_add_their_gradients(lower):
    weight = tt.eye(2).requires_grad_()
    x = tt.tensor([[1.0, 2.0]])
    with tt.autocast("cpu", lower):
        (F.linear(x, weight).sum() + F.linear(2 * x, weight).sum()).backward()
    assert weight.grad.tolist() == [[3.0, 6.0], [3.0, 6.0]]


def test_a_cast_made_without_gradients_does_not_lose_them_later(lower):
    weight = tt.eye(2).requires_grad_()
    with tt.autocast("cpu", lower):
        with tt.no_grad():
            F.linear(tt.ones(1, 2), weight)
        F.linear(tt.ones(1, 2), weight).sum().backward()
    assert weight.grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_nothing_is_kept_where_the_cache_is_off(lower):
    layer = nn.Linear(3, 4)
    with tt.autocast("cpu", lower, cache_enabled=False):
        assert not tt.is_autocast_cache_enabled()
        layer(tt.randn(2, 3))
        assert not autocasting._mode.kept
    assert tt.is_autocast_cache_enabled()


def test_a_weights_gradient_that_is_not_computed_yet_waits_in_float32(lower):
    class Ones(Pending):
        computed = 0

        def compute(self) -> np.ndarray:
            self.computed += 1
            return np.ones(self.shape, self.dtype)

    weight = tt.zeros(2, 3).requires_grad_()
    cast = autocasting._cast_weight(weight, lower)
    source = Ones(cast.array)
    (waiting,) = cast.grad_fn.gradients(source)
    assert isinstance(waiting, Pending)
    assert (waiting.dtype, waiting.shape, source.computed) == (np.float32, (2, 3), 0)
    found = waiting.settle()
    assert found.dtype == np.float32
    assert found.tolist() == np.ones((2, 3)).tolist()


def test_float64_and_integers_are_never_cast(lower):
    with tt.autocast("cpu", lower):
        assert (tt.ones(2, 2, dtype=tt.float64) @ tt.ones(2, 2, dtype=tt.float64)).dtype is tt.float64
        assert (tt.ones(2, 2, dtype=tt.int64) @ tt.ones(2, 2, dtype=tt.int64)).dtype is tt.int64


# What `ATen/autocast_mode.h` of PyTorch 2.13 lists for CUDA, by calls on `x`, (2, 3), and `w`, (3, 3), in a given type.
LOWERED = {
    "linear": lambda x, w: F.linear(x, w),
    "matmul": lambda x, w: x @ w,
    "mm": lambda x, w: tt.mm(x, w),
    "mv": lambda x, w: tt.mv(x, w[0]),
    "addmm": lambda x, w: tt.addmm(x, x, w),
    "addmv": lambda x, w: tt.addmv(x[:, 0], x, w[0]),
    "addr": lambda x, w: tt.addr(w, w[0], w[1]),
    "bmm": lambda x, w: tt.bmm(x[None], w[None]),
    "baddbmm": lambda x, w: tt.baddbmm(x[None], x[None], w[None]),
    "einsum": lambda x, w: tt.einsum("ij,jk->ik", x, w),
    "prelu": lambda x, w: F.prelu(x, w[0]),
    "conv1d": lambda x, w: F.conv1d(x[None], w[:2, :2, None]),
}
IN_FLOAT32 = {
    **{
        name: lambda x, w, name=name: getattr(tt, name)(x)
        for name in "exp expm1 log log2 log10 log1p reciprocal rsqrt tan cosh sinh square sum prod norm".split()
    },
    "pow": lambda x, w: x**2.0,
    "pow of a number": lambda x, w: 2.0**x,
    "softmax": lambda x, w: F.softmax(x, 1),
    "softmin": lambda x, w: F.softmin(x, 1),
    "log_softmax": lambda x, w: F.log_softmax(x, 1),
    "cumsum": lambda x, w: x.cumsum(0),
    "cumprod": lambda x, w: x.cumprod(0),
    "logsumexp": lambda x, w: x.logsumexp(1),
    "softplus": lambda x, w: F.softplus(x),
    "layer_norm": lambda x, w: F.layer_norm(x, (3,)),
    "group_norm": lambda x, w: F.group_norm(x[None], 1),
    "dist": lambda x, w: tt.dist(x, x),
    "cosine_similarity": lambda x, w: F.cosine_similarity(x, x),
    "mse_loss": lambda x, w: F.mse_loss(x, x),
    "l1_loss": lambda x, w: F.l1_loss(x, x),
    "cross_entropy": lambda x, w: F.cross_entropy(x, tt.tensor([0, 1])),
    "nll_loss": lambda x, w: F.nll_loss(x, tt.tensor([0, 1])),
    "kl_div": lambda x, w: F.kl_div(x, x, reduction="batchmean"),
    "bce with logits": lambda x, w: F.binary_cross_entropy_with_logits(x, x),
    "interpolate": lambda x, w: F.interpolate(x[None], scale_factor=2.0),
}
AS_THEY_COME = {
    "add": lambda x, w: x + x,
    "mul": lambda x, w: x * 2.0,
    "relu": lambda x, w: F.relu(x),
    "sigmoid": lambda x, w: tt.sigmoid(x),
    "tanh": lambda x, w: tt.tanh(x),
    "sqrt": lambda x, w: x.sqrt(),
    "mean": lambda x, w: x.mean(),
    "max": lambda x, w: x.max(),
    "cat": lambda x, w: tt.cat([x, x]),
    "gelu": lambda x, w: F.gelu(x),
    "silu": lambda x, w: F.silu(x),
    "hardswish": lambda x, w: F.hardswish(x),
    "batch_norm": lambda x, w: F.batch_norm(x, None, None, training=True),
    "avg_pool1d": lambda x, w: F.avg_pool1d(x[None], 2),
    "adaptive_avg_pool1d": lambda x, w: F.adaptive_avg_pool1d(x[None], 1),
    "area": lambda x, w: F.interpolate(x[None], 2, mode="area"),
}


def both_inputs(lower: dtypes.dtype) -> list[tuple[tt.Tensor, tt.Tensor]]:
    x, w = tt.rand(2, 3) + 0.5, tt.rand(3, 3) + 0.5
    return [(x, w), (x.to(lower), w.to(lower))]


@pytest.mark.parametrize("op", LOWERED)
def test_products_compute_in_16_bits_on_a_gpu(op, lower, rules_of_a_gpu):
    for x, w in both_inputs(lower):
        with tt.autocast("cpu", lower):
            assert LOWERED[op](x, w).dtype is lower


@pytest.mark.parametrize("op", IN_FLOAT32)
def test_what_needs_range_computes_in_float32_on_a_gpu(op, lower, rules_of_a_gpu):
    for x, w in both_inputs(lower):
        with tt.autocast("cpu", lower):
            assert IN_FLOAT32[op](x, w).dtype is tt.float32


@pytest.mark.parametrize("op", AS_THEY_COME)
def test_the_rest_takes_what_it_gets_on_a_gpu(op, lower, rules_of_a_gpu):
    for x, w in both_inputs(lower):
        with tt.autocast("cpu", lower):
            assert AS_THEY_COME[op](x, w).dtype is x.dtype


def test_a_dtype_that_is_asked_for_counts(lower, rules_of_a_gpu):
    x = tt.ones(2, 3).to(lower)
    with tt.autocast("cpu", lower):
        assert x.sum(dtype=tt.float64).dtype is tt.float64
        assert F.softmax(x, 1, dtype=lower).dtype is lower


def test_where_types_meet_the_wider_counts(lower, rules_of_a_gpu):
    x, y = tt.rand(2, 3), tt.rand(2, 3).to(lower)
    with tt.autocast("cpu", lower):
        assert tt.addcmul(x, y, y).dtype is tt.float32
        assert tt.addcmul(y, y, y).dtype is lower
        assert tt.dot(x[0], y[0]).dtype is tt.float32
        assert tt.atan2(y, x).dtype is tt.float32


def test_the_loss_that_overflows_in_16_bits_is_refused_on_a_gpu(lower, rules_of_a_gpu):
    with tt.autocast("cpu", lower), pytest.raises(RuntimeError, match=r"unsafe to autocast.*binary_cross_entropy_with"):
        F.binary_cross_entropy(tt.rand(3), tt.rand(3))


@pytest.mark.parametrize("name", sorted({name for rules in autocasting.RULES.values() for name in rules}))
def test_every_listed_op_asks_for_its_rule(name, monkeypatch):
    monkeypatch.setitem(autocasting.RULES, "cpu", {name: autocasting.REFUSED})
    op = find(name)
    needed = [each for each in inspect.signature(op).parameters.values() if each.default is inspect.Parameter.empty]
    with tt.autocast("cpu", tt.float16), pytest.raises(RuntimeError, match=f"{name} is unsafe to autocast"):
        op(*[tt.ones(1)] * len(needed))


def find(name: str) -> Any:
    places = (tt, F, contraction)
    return next(getattr(place, name) for place in places if hasattr(place, name))


def test_sums_and_means_in_16_bits_keep_float32s_digits(lower):
    x = tt.ones(3000).to(lower)
    assert x.sum().item() == pytest.approx(3000, rel=4e-3)
    assert x.mean().item() == 1.0
    assert x.var().item() == 0.0
    assert (0.01 * x).float().mean().item() == pytest.approx((0.01 * x).mean().item(), rel=4e-3)


def test_types_promote_as_in_pytorch():
    pytest.importorskip("ml_dtypes")
    assert tt.promote_types(tt.bfloat16, tt.float16) is tt.float32
    assert tt.promote_types(tt.bfloat16, tt.float64) is tt.float64
    assert tt.promote_types(tt.int64, tt.bfloat16) is tt.bfloat16
    assert (tt.ones(2, dtype=tt.bfloat16) + tt.ones(2, dtype=tt.float16)).dtype is tt.float32
    assert tt.finfo(tt.bfloat16).eps == 2**-7
    assert tt.bfloat16.itemsize == 2
    assert repr(tt.bfloat16) == "torch.bfloat16"


def test_matmul_precision_is_one_of_pytorchs_words():
    assert tt.get_float32_matmul_precision() == "highest"
    tt.set_float32_matmul_precision("high")
    assert tt.get_float32_matmul_precision() == "high"
    tt.set_float32_matmul_precision("highest")
    with pytest.raises(RuntimeError, match=r"expected one of highest, high, medium as .*; got 'tf32'"):
        tt.set_float32_matmul_precision("tf32")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_operands_may_be_given_by_name(dtype):
    x, y, w = (tt.randn(*shape).to(getattr(tt, dtype)) for shape in ((2, 3), (2, 3), (4, 3, 3)))
    for function, operands in (
        (F.cosine_similarity, {"x1": x, "x2": y}),
        (F.bilinear, {"input1": x, "input2": y, "weight": w}),
        (F.softmax, {"input": x, "dim": 1}),
        (tt.exp, {"input": x}),
    ):
        expected = function(*operands.values())
        found = function(**operands)
        assert found.dtype is expected.dtype is x.dtype
        np.testing.assert_array_equal(found.array, expected.array)
        with tt.autocast("cpu", tt.float16):
            np.testing.assert_array_equal(function(**operands).array, function(*operands.values()).array)
