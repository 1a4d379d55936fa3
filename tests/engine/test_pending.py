"""Values and gradients that wait are never seen: everything is as if each operation ran at once, in order."""

from __future__ import annotations

import copy
import io
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import autograd, nn
from tinytrain.kernels import find_kernel
from tinytrain.nn import functional as F
from tinytrain.pending import Pending

waits = pytest.mark.skipif(
    find_kernel("activation", np.zeros(1, np.float32)) is None, reason="no kernel set in use here lets values wait"
)

Scenario = Callable[[Any], dict[str, Any]]
SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str) -> Callable[[Scenario], Scenario]:
    """Register a function from a dtype to what people see, by name: tensors that it returns."""

    def register(function: Scenario) -> Scenario:
        SCENARIOS[name] = function
        return function

    return register


def images(dtype, *shape, seed=0, requires_grad=False):
    values = np.random.default_rng(seed).standard_normal(shape or (4, 16, 9, 8)).astype(np.float32)
    return tt.tensor(values).to(dtype).requires_grad_(requires_grad)


def layer(dtype, make, *args, seed=0, **options):
    """Return a layer whose parameters and statistics are drawn, none of them trivial."""
    module = make(*args, **options)
    rng = np.random.default_rng(seed + 1)
    for name, each in [*module.named_parameters(), *module.named_buffers()]:
        if each.dtype.is_floating_point:
            drawn = rng.standard_normal(tuple(each.shape)).astype(np.float32)
            positive = name.endswith("var") or (each.ndim == 1 and name.endswith("weight"))
            each.data.copy_(tt.tensor(np.abs(drawn) + 0.5 if positive else drawn / 4))
    return module.to(dtype)


def conv(dtype, c=16, o=16, k=3, seed=0, bias=False, **options):
    return layer(dtype, nn.Conv2d, c, o, k, padding=k // 2, bias=bias, seed=seed, **options)


def norm(dtype, c=16, seed=0, **options):
    return layer(dtype, nn.BatchNorm2d, c, seed=seed, **options)


def weighted(y, seed=9):
    """Return a sum of all elements with fixed weights, so that gradients are not all alike."""
    weights = np.random.default_rng(seed).standard_normal(tuple(y.shape)).astype(np.float32)
    return (y * tt.tensor(weights).to(y.dtype)).sum()


def gradients(**modules):
    return {
        f"gradient of {name}.{key}": p.grad
        for name, module in modules.items()
        for key, p in module.named_parameters()
        if p.grad is not None
    }


@scenario("a network of convolutions, normalisations, a skip, pools and a concatenation")
def _(dtype):
    a, b, c, d = (conv(dtype, seed=i) for i in range(4))
    d = conv(dtype, c=32, k=1, seed=3)
    na, nb, nc, nd = (norm(dtype, seed=i) for i in range(4))
    x = images(dtype)
    y = F.max_pool2d(F.relu(na(a(x))), 2)
    z = F.relu(nb(b(y)))
    z = F.relu(nc(c(z)) + y)
    z = F.relu6(nd(d(tt.cat([z, y], 1))))
    pooled = F.adaptive_avg_pool2d(z, 1)
    weighted(pooled).backward()
    return {"pooled": pooled, **gradients(a=a, b=b, c=c, d=d, na=na, nb=nb, nc=nc, nd=nd)}


@scenario("forward hooks read the values of every module")
def _(dtype):
    model = nn.Sequential(conv(dtype), norm(dtype), nn.ReLU(), conv(dtype, seed=1), norm(dtype, seed=1), nn.ReLU6())
    seen = {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda m, args, out, name=name: seen.__setitem__(name, out.detach().clone()))
    weighted(model(images(dtype))).backward()
    return {**{f"value of {key}": value for key, value in seen.items()}, **gradients(model=model)}


@scenario("forward hooks replace the values")
def _(dtype):
    model = nn.Sequential(conv(dtype), norm(dtype), nn.ReLU(), conv(dtype, seed=1))
    model[1].register_forward_hook(lambda m, args, out: out * 2)
    model[2].register_forward_pre_hook(lambda m, args: (args[0] - 0.25,))
    y = model(images(dtype))
    weighted(y).backward()
    return {"y": y, **gradients(model=model)}


def _layers(dtype, x):
    """Return the parameters and every intermediate value of conv, norm, relu, conv, norm, sum, relu, conv."""
    a, b, c, na, nb = conv(dtype), conv(dtype, seed=1), conv(dtype, seed=2), norm(dtype), norm(dtype, seed=1)
    values = {"raw": a(x)}
    values["normalised"] = na(values["raw"])
    values["activated"] = F.relu(values["normalised"])
    values["second raw"] = b(values["activated"])
    values["second normalised"] = nb(values["second raw"])
    values["sum"] = values["second normalised"] + values["activated"]
    values["activated sum"] = F.relu(values["sum"])
    values["last"] = c(values["activated sum"])
    return {"a": a, "b": b, "c": c, "na": na, "nb": nb}, values


@scenario("hooks on intermediate values see the gradient of that very value")
def _(dtype):
    modules, values = _layers(dtype, images(dtype, requires_grad=True))
    seen = {}
    for name, each in values.items():
        each.register_hook(lambda g, name=name: seen.__setitem__(name, g.clone()))
    weighted(values["last"]).backward()
    assert seen.keys() == values.keys()
    return {**seen, **gradients(**modules)}


for _name in ("raw", "normalised", "activated", "second normalised", "sum", "activated sum", "last"):

    @scenario(f"a hook sees the gradient of {_name} alone")
    def _(dtype, name=_name):
        modules, values = _layers(dtype, images(dtype))
        seen = {}
        values[name].register_hook(lambda g: seen.__setitem__("seen", g.clone()))
        weighted(values["last"]).backward()
        return {**seen, **gradients(**modules)}

    @scenario(f"a hook replaces the gradient of {_name}")
    def _(dtype, name=_name):
        x = images(dtype, requires_grad=True)
        modules, values = _layers(dtype, x)
        values[name].register_hook(lambda g: g * g + 1)
        weighted(values["last"]).backward()
        return {"gradient of x": x.grad, **gradients(**modules)}

    @scenario(f"grad with respect to {_name}")
    def _(dtype, name=_name):
        x = images(dtype, requires_grad=True)
        modules, values = _layers(dtype, x)
        wanted = [values[name], x, modules["a"].weight, modules["b"].weight, modules["na"].bias]
        if name != "raw":
            wanted.append(values["raw"])
        found = autograd.grad(weighted(values["last"]), wanted, allow_unused=True)
        assert x.grad is None
        return {str(i): g for i, g in enumerate(found)}

    @scenario(f"the gradient of {_name} is retained")
    def _(dtype, name=_name):
        modules, values = _layers(dtype, images(dtype))
        values[name].retain_grad()
        weighted(values["last"]).backward()
        return {"retained": values[name].grad, **gradients(**modules)}

    @scenario(f"{_name} is read by others too")
    def _(dtype, name=_name):
        modules, values = _layers(dtype, images(dtype))
        extra, more = conv(dtype, seed=7), conv(dtype, k=1, seed=8)
        v = values[name]
        loss = weighted(values["last"]) + weighted(extra(v)) + weighted(more(v)) + weighted(v * v) + weighted(F.relu(v))
        loss.backward()
        return {"loss": loss, **gradients(**modules, extra=extra, more=more)}


@scenario("only some inputs are filled")
def _(dtype):
    x = images(dtype, requires_grad=True)
    modules, values = _layers(dtype, x)
    weighted(values["last"]).backward(inputs=[x, modules["b"].weight])
    assert modules["a"].weight.grad is None
    return {"x": x.grad, "b": modules["b"].weight.grad}


@scenario("two walks over a retained graph")
def _(dtype):
    x = images(dtype, requires_grad=True)
    modules, values = _layers(dtype, x)
    loss = weighted(values["last"])
    loss.backward(retain_graph=True)
    first = {f"first {key}": g.clone() for key, g in gradients(**modules).items()}
    loss.backward()
    return {**first, "x": x.grad, **gradients(**modules)}


@scenario("gradients of two batches are added")
def _(dtype):
    x = images(dtype, requires_grad=True)
    for _ in range(2):
        modules, values = _layers(dtype, x)
        for module in modules.values():
            for p in module.parameters():
                p.grad = tt.ones_like(p)
        weighted(values["last"]).backward()
    return {"x": x.grad, **gradients(**modules)}


@scenario("activations in place")
def _(dtype):
    a, b, na, nb = conv(dtype), conv(dtype, seed=1), norm(dtype), norm(dtype, seed=1)
    y = na(a(images(dtype)))
    before = y.detach().clone()
    z = F.relu(y, inplace=True)
    assert z is y
    w = nb(b(z))
    w.relu_()
    weighted(w).backward()
    return {"before": before, "y": y, "w": w, **gradients(a=a, b=b, na=na, nb=nb)}


@scenario("a sum in place with an identity, and with a projected one")
def _(dtype):
    a, b, c, na, nb, nc = *(conv(dtype, seed=i) for i in range(3)), *(norm(dtype, seed=i) for i in range(3))
    x = F.relu(na(a(images(dtype))))
    y = nb(b(x))
    y += x
    y = F.relu(y, inplace=True)
    z = nc(c(y))
    z += nb(b(y))
    z.relu_()
    weighted(z).backward()
    return {"z": z, **gradients(a=a, b=b, c=c, na=na, nb=nb, nc=nc)}


ACTIVATIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "hardtanh": lambda x: F.hardtanh(x, -0.25, 0.75),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "leaky_relu that turns the sign": lambda x: F.leaky_relu(x, -0.5),
    "leaky_relu of slope 0": lambda x: F.leaky_relu(x, 0.0),
    "hardswish": F.hardswish,
    "silu": F.silu,
}
for _name, _activate in ACTIVATIONS.items():

    @scenario(f"{_name} behind convolution, normalisation and sum")
    def _(dtype, activate=_activate):
        a, b, c, d = (conv(dtype, seed=i, bias=i == 0) for i in range(4))
        nb, nc = norm(dtype, seed=1), norm(dtype, seed=2)
        y = activate(a(images(dtype)))
        z = activate(nb(b(y)))
        w = activate(nc(c(z)) + activate(nb(b(z))))
        v = d(activate(nc(c(w)) + nb(b(w))))
        weighted(v).backward()
        return {"w": w, "v": v, **gradients(a=a, b=b, c=c, d=d, nb=nb, nc=nc)}


@scenario("a shortcut of fewer, padded channels, and gradients that are added in several orders of memory")
def _(dtype):
    a, b, c = conv(dtype, stride=2, o=32), conv(dtype, c=32, o=32, seed=1), conv(dtype, seed=2)
    na, nb, nc = norm(dtype, c=32), norm(dtype, c=32, seed=1), norm(dtype, seed=2)
    x = F.relu(nc(c(images(dtype))))
    shortcut = F.pad(F.max_pool2d(x, 1, 2), (0, 0, 0, 0, 5, 11))
    z = F.relu(nb(b(F.relu(na(a(x))))) + shortcut)
    turned = z.transpose(2, 3)
    (weighted(z) + weighted(turned, seed=8) + weighted(F.pad(z, (-1, 2, 1, 0)), seed=7)).backward()
    return {"z": z, **gradients(a=a, b=b, c=c, na=na, nb=nb, nc=nc)}


@scenario("views of waiting values")
def _(dtype):
    a, n, b = conv(dtype), norm(dtype), conv(dtype, seed=1)
    y = n(a(images(dtype)))
    z = F.relu(y)
    parts = [y[1:3], z.permute(0, 2, 3, 1), z.flatten(1), y.reshape(-1), z[:, ::2], y.transpose(1, 2), z.unsqueeze(0)]
    loss = sum(weighted(each) for each in parts) + weighted(b(z))
    loss.backward()
    return {**{str(i): each for i, each in enumerate(parts)}, **gradients(a=a, n=n, b=b)}


for _name, _options in {
    "momentum None": {"momentum": None},
    "affine False": {"affine": False},
    "track_running_stats False": {"track_running_stats": False},
    "a large eps and momentum": {"eps": 0.5, "momentum": 0.7},
}.items():

    @scenario(f"a normalisation with {_name}")
    def _(dtype, options=_options):
        a, n, b = conv(dtype), norm(dtype, **options), conv(dtype, seed=1)
        for seed in range(2):
            y = b(F.relu(n(a(images(dtype, seed=seed)))))
            weighted(y).backward()
        n.eval()
        z = b(F.relu(n(a(images(dtype, seed=3)))))
        weighted(z).backward()
        return {"y": y, "z": z, **dict(n.named_buffers()), **gradients(a=a, n=n, b=b)}


@scenario("normalisations of what is no convolution's")
def _(dtype):
    x = images(dtype, requires_grad=True)
    norms = {f"n{i}": norm(dtype, seed=i) for i in range(6)}
    n0, n1, n2, n3, n4, n5 = norms.values()
    a = conv(dtype)
    y = F.relu(n0(x) + n1(F.relu(n0(a(x)))) + n2(F.relu(n3(a(x)))))
    y = F.relu(n4(F.max_pool2d(y, 2)) + n4(F.avg_pool2d(y, 2)))
    y = n5(y * y)
    weighted(y).backward()
    return {"y": y, "x": x.grad, **gradients(a=a, **norms)}


@scenario("normalisations behind linear layers")
def _(dtype):
    x = images(dtype, 64, 40, requires_grad=True)
    a, b = layer(dtype, nn.Linear, 40, 32), layer(dtype, nn.Linear, 32, 32, seed=1, bias=False)
    na, nb = layer(dtype, nn.BatchNorm1d, 32), layer(dtype, nn.BatchNorm1d, 32, seed=1)
    y = F.relu(na(a(x)))
    z = F.leaky_relu(nb(b(y)) + y)
    weighted(z).backward()
    found = gradients(a=a, b=b, na=na, nb=nb)
    # A bias in front of a normalisation changes nothing: of its gradient there is what rounding leaves of 64 summands.
    assert float(found.pop("gradient of a.bias").norm()) < 1e-5
    return {"z": z, "x": x.grad, **found}


@scenario("a network over one axis")
def _(dtype):
    x = images(dtype, 4, 6, 50, requires_grad=True)
    a = layer(dtype, nn.Conv1d, 6, 16, 5, padding=2, bias=False)
    b = layer(dtype, nn.Conv1d, 16, 16, 3, stride=2, groups=16, bias=False, seed=1)
    c = layer(dtype, nn.Conv1d, 16, 8, 3, dilation=2, seed=2)
    na, nb = layer(dtype, nn.BatchNorm1d, 16), layer(dtype, nn.BatchNorm1d, 16, seed=1)
    y = F.max_pool1d(F.relu(na(a(x))), 2)
    z = F.relu(nb(b(y)))
    w = F.adaptive_avg_pool1d(F.relu(c(z)), 1)
    weighted(w).backward()
    return {"w": w, "x": x.grad, **gradients(a=a, b=b, c=c, na=na, nb=nb)}


@scenario("grouped and depthwise convolutions")
def _(dtype):
    a, b, c = conv(dtype, groups=4), conv(dtype, groups=16, seed=1), conv(dtype, o=32, groups=16, seed=2)
    d = conv(dtype, c=32, o=8, k=5, groups=8, seed=3, stride=2)
    na, nb, nc = norm(dtype), norm(dtype, seed=1), norm(dtype, c=32, seed=2)
    y = F.relu(nb(b(F.relu6(na(a(images(dtype)))))))
    y = d(F.relu(nc(c(y))))
    weighted(y).backward()
    return {"y": y, **gradients(a=a, b=b, c=c, d=d, na=na, nb=nb, nc=nc)}


@scenario("input and weight both wait for their gradients")
def _(dtype):
    x, w = images(dtype, requires_grad=True), images(dtype, 16, 16, 3, 3, seed=1, requires_grad=True)
    weighted(F.conv2d(x, w)).backward()
    y, v = x.detach().clone().requires_grad_(), w.detach().clone().requires_grad_()
    found = autograd.grad(weighted(F.conv2d(y * 2, v / 3)), [v, y])
    square = images(dtype, 8, 8, 6, 6, requires_grad=True)
    weighted(F.conv2d(square, square, padding=3)).backward()
    return {"x": x.grad, "w": w.grad, "v": found[0], "y": found[1], "square": square.grad}


@scenario("layers used twice")
def _(dtype):
    a, n = conv(dtype), norm(dtype)
    x = images(dtype, requires_grad=True)
    y = F.relu(n(a(F.relu(n(a(x))))))
    weighted(y).backward()
    return {"y": y, "x": x.grad, **dict(n.named_buffers()), **gradients(a=a, n=n)}


for _frozen in ("a", "na", "b", "nb", "a na", "a na b", "a na b nb"):

    @scenario(f"{_frozen} frozen")
    def _(dtype, frozen=_frozen):
        modules, _ = _layers(dtype, images(dtype))
        for name in frozen.split():
            modules[name].requires_grad_(False)
        x = images(dtype)
        a, b, c, na, nb = modules.values()
        y = F.relu(na(a(x)))
        y = c(F.relu(nb(b(y)) + y))
        weighted(y).backward()
        return {"y": y, **gradients(**modules)}


@scenario("hooks of modules see and change gradients")
def _(dtype):
    model = nn.Sequential(conv(dtype), norm(dtype), nn.ReLU(), conv(dtype, seed=1), norm(dtype, seed=1), nn.ReLU())
    seen = {}

    def look(name):
        def hook(module, grad_input, grad_output):
            seen[f"into {name}"] = grad_output[0].clone()
            if grad_input[0] is not None:
                seen[f"out of {name}"] = grad_input[0].clone()

        return hook

    for name, module in model.named_children():
        module.register_full_backward_hook(look(name))
    model[3].register_full_backward_hook(lambda m, into, out: (into[0] * 3,))
    model[1].register_full_backward_pre_hook(lambda m, out: (out[0] + 1,))
    x = images(dtype, requires_grad=True)
    weighted(model(x)).backward()
    return {**seen, "x": x.grad, **gradients(model=model)}


@scenario("hooks of parameters replace gradients")
def _(dtype):
    modules, values = _layers(dtype, images(dtype))
    for module in modules.values():
        for p in module.parameters():
            p.register_hook(lambda g: g * 2 + 1)
    weighted(values["last"]).backward()
    return gradients(**modules)


@scenario("parameters that are stepped as soon as their gradient is there")
def _(dtype):
    x = images(dtype, requires_grad=True)
    modules, values = _layers(dtype, x)

    def step(p):
        with tt.no_grad():
            p.sub_(p.grad * 0.1)

    for module in modules.values():
        for p in module.parameters():
            p.register_post_accumulate_grad_hook(step)
    weighted(values["last"]).backward()
    found = {f"{n}.{k}": p for n, m in modules.items() for k, p in m.named_parameters()}
    return {"x": x.grad, **found}


@scenario("pools, dropout, scaling and concatenation of waiting values")
def _(dtype):
    a, n, b, s = conv(dtype), norm(dtype), conv(dtype, c=48, k=1, seed=1), conv(dtype, k=1, seed=2, bias=True)
    y = F.hardswish(n(a(images(dtype))))
    gate = F.hardsigmoid(s(F.relu(F.adaptive_avg_pool2d(y, 1))))
    z = tt.cat([F.max_pool2d(y, 3, 1, 1), F.avg_pool2d(y, 3, 1, 1), y * gate], 1)
    w = b(z).mean((2, 3)) + F.adaptive_max_pool2d(b(z), 1).flatten(1)
    weighted(w).backward()
    return {"w": w, **gradients(a=a, n=n, b=b, s=s)}


@scenario("values that are added to themselves and to each other")
def _(dtype):
    a, n, m = conv(dtype), norm(dtype), norm(dtype, seed=1)
    raw = a(images(dtype))
    y, z = n(raw), m(raw)
    w = F.relu(y + y) + F.relu(z + y) + (y + z) + F.relu(F.relu(z))
    weighted(a(w)).backward()
    return {"w": w, **gradients(a=a, n=n, m=m)}


@scenario("sums that are broadcast, scaled and of two types")
def _(dtype):
    a, n = conv(dtype), norm(dtype)
    y = n(a(images(dtype)))
    w = (y + y[:1]) + tt.add(y, F.relu(y), alpha=2) + (y + 1) + (y + y.mean((2, 3), keepdim=True))
    v = y + tt.ones(4, 16, 9, 8, dtype=tt.float64)
    assert v.dtype is tt.float64
    (weighted(a(w)) + weighted(v)).backward()
    return {"w": w, **gradients(a=a, n=n)}


@scenario("a transposed convolution and an image without a batch")
def _(dtype):
    a, n, t = conv(dtype), norm(dtype), layer(dtype, nn.ConvTranspose2d, 16, 8, 4, stride=2, padding=1)
    y = t(F.relu(n(a(images(dtype)))))
    z = conv(dtype, c=8, seed=3)(F.relu(y))[0]
    u = F.relu(a(images(dtype, 16, 20, 20, seed=5)))
    (weighted(z) + weighted(u)).backward()
    return {"z": z, "u": u, **gradients(a=a, n=n, t=t)}


@scenario("evaluation without a tape")
def _(dtype):
    a, b, n, m = conv(dtype), conv(dtype, seed=1, bias=True), norm(dtype).eval(), norm(dtype, seed=1).eval()
    with tt.no_grad():
        x = F.relu(n(a(images(dtype))))
        y = F.relu(m(b(x)) + x)
        y += x
        y.relu_()
    return {"x": x, "y": y, "pooled": F.adaptive_avg_pool2d(y, 1)}


@scenario("training statistics without a tape")
def _(dtype):
    a, n = conv(dtype), norm(dtype)
    with tt.no_grad():
        y = F.relu(n(a(images(dtype))))
    return {"y": y, **dict(n.named_buffers())}


@scenario("gradients given in any order in memory")
def _(dtype):
    modules, values = _layers(dtype, images(dtype))
    g = np.random.default_rng(0).standard_normal((8, 9, 16, 4)).astype(np.float32).transpose(3, 2, 1, 0)
    values["activated sum"].backward(tt.tensor(np.asfortranarray(g)).to(dtype), retain_graph=True)
    values["activated"].backward(tt.ones(1, 16, 1, 1, dtype=dtype).expand(4, 16, 9, 8), retain_graph=True)
    values["normalised"].backward(tt.from_numpy(g.astype(np.float64)[..., ::-1].copy()).to(dtype).flip((3,)))
    return gradients(**modules)


@scenario("an empty batch")
def _(dtype):
    a, b, n = conv(dtype), conv(dtype, k=1, seed=1), norm(dtype).eval()
    y = F.relu(n(b(F.relu(a(images(dtype, 0, 16, 9, 8))))))
    y.sum().backward()
    return {"y": y, **gradients(a=a, b=b)}


def as_float64(value):
    return np.array(value.detach().numpy(), dtype=np.float64)


@pytest.mark.parametrize("run", SCENARIOS.values(), ids=SCENARIOS)
def test_what_people_see_is_eager(run):
    found, expected = run(tt.float32), run(tt.float64)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        if value is None:
            assert expected[name] is None, name
            continue
        a, b = as_float64(value), as_float64(expected[name])
        assert a.shape == b.shape, name
        assert np.linalg.norm(a - b) <= 1e-4 * np.linalg.norm(b) + 1e-6 * a.size**0.5, name


def parts(dtype=tt.float32, **options):
    a, n = conv(dtype), norm(dtype, **options)
    raw = a(images(dtype))
    return a, n, raw


@waits
def test_normalisations_activations_and_sums_wait():
    _, n, raw = parts()
    y = n(raw)
    for value in (y, F.relu(y), y + raw, F.relu(y + raw), F.hardswish(y), F.leaky_relu(y)):
        assert isinstance(value.value, Pending)
        assert not value.value.is_settled
        assert value.shape == raw.shape
        assert value.dtype is tt.float32
        assert value.device == raw.device
        assert value.is_contiguous()


def expected_of(make):
    """Return the value of `make(normalised)` in float64."""
    _, n, raw = parts(tt.float64)
    return as_float64(make(n(raw)))


MAKERS = {
    "the normalised": lambda y: y,
    "the activated": F.relu,
    "the twice activated": lambda y: F.relu6(F.relu(y)),
    "the sum": lambda y: F.relu(y + y),
}
CHANGES = {
    "a number is added": lambda t: t.add_(1),
    "an image is set": lambda t: t.__setitem__(0, 7.0),
    "a view is zeroed": lambda t: t[1:].zero_(),
    "it is activated": lambda t: F.relu(t, inplace=True),
    "its data is zeroed": lambda t: t.data.zero_(),
    "its array is written to": lambda t: t.detach().numpy().__setitem__(..., 3.0),
    "its detached alias is changed": lambda t: t.detach().mul_(2),
    "it is initialised": lambda t: nn.init.constant_(t, 2.0),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_what_was_made_of_a_value_keeps_it_when_the_value_changes(make, change):
    _, n, raw = parts()
    made = make(n(raw))
    with tt.no_grad():
        change(raw)
    assert np.allclose(as_float64(made), expected_of(make), atol=1e-4)
    _, n, raw = parts()
    y = n(raw)
    made = make(y)
    with tt.no_grad():
        change(y)
    if made is not y:
        assert np.allclose(as_float64(made), expected_of(make), atol=1e-4)


@pytest.mark.parametrize(
    "shape", [(64, 64), (8, 160, 1, 1), (4, 1, 20, 20)], ids=["no axis", "one pixel", "one channel"]
)
@pytest.mark.parametrize("name", ["its data is zeroed", "its array is written to", "an image is set"])
def test_so_it_does_where_the_change_is_made_to_the_very_memory(shape, name):
    make_norm = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    results = []
    for dtype in (tt.float32, tt.float64):
        n = layer(dtype, make_norm, shape[1])
        x = images(dtype, *shape)
        raw = x * 1
        made = F.relu(n(raw))
        other = F.relu(n(raw) + raw)
        with tt.no_grad():
            CHANGES[name](raw)
        results.append([as_float64(made), as_float64(other)])
    assert np.allclose(results[0][0], results[1][0], atol=1e-4)
    assert np.allclose(results[0][1], results[1][1], atol=1e-4)


@pytest.mark.parametrize("wait", ["convolution", "linear"])
def test_a_convolution_output_changed_behind_a_normalisation_is_an_error_in_backward(wait):
    if wait == "convolution":
        _, n, raw = parts()
    else:
        n = layer(tt.float32, nn.BatchNorm1d, 64)
        raw = layer(tt.float32, nn.Linear, 64, 64)(images(tt.float32, 64, 64))
    y = F.relu(n(raw))
    raw.add_(1)
    with pytest.raises(RuntimeError, match=r"NativeBatchNormBackward0 expected version 0, found version 1"):
        y.sum().backward()


def test_an_input_of_a_convolution_changed_in_place_is_an_error_in_backward():
    _, n, raw = parts()
    y = F.relu(n(raw))
    z = conv(tt.float32, seed=1)(y)
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation: ConvolutionBackward0"):
        z.sum().backward()


@pytest.mark.parametrize("dtype", [tt.float32, tt.float64])
def test_relu_remembers_its_result_and_not_its_input(dtype):
    x = images(dtype, 64, 64, requires_grad=True)
    h = x * 1
    y = F.relu(h)
    h.add_(5)
    y.sum().backward()
    assert np.array_equal(x.grad.numpy(), x.detach().numpy() > 0)

    y = F.relu(x * 1)
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation: ReluBackward0"):
        y.sum().backward()


def test_a_result_of_relu_keeps_its_slope_when_the_memory_of_its_input_is_overwritten():
    x = images(tt.float32, 64, 64, requires_grad=True)
    h = x * 1
    y = F.relu(h)
    h.detach().numpy()[:] = -1
    y.sum().backward()
    assert np.array_equal(x.grad.numpy(), x.detach().numpy() > 0)


def test_statistics_moved_later_do_not_reach_values_made_before():
    results = []
    for dtype in (tt.float32, tt.float64):
        a, n, raw = parts(dtype)
        n.eval()
        y = F.relu(n(raw))
        with tt.no_grad():
            n.running_mean.add_(3)
            n.running_var.mul_(5)
        weighted(y).backward()
        results.append([as_float64(y), *map(as_float64, gradients(a=a, n=n).values())])
    for found, expected in zip(*results, strict=True):
        assert np.linalg.norm(found - expected) <= 1e-4 * np.linalg.norm(expected)


def test_weights_stepped_later_do_not_reach_values_made_before():
    a, n, raw = parts()
    y = F.relu(n(raw))
    expected = expected_of(F.relu)
    with tt.no_grad():
        for p in (*a.parameters(), *n.parameters()):
            p.mul_(3)
    assert np.allclose(as_float64(y), expected, atol=1e-4)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_detached_value_shares_the_memory_of_the_waiting_one():
    _, n, raw = parts()
    y = F.relu(n(raw))
    alias = y.detach()
    with tt.no_grad():
        alias.numpy()[0] = 42
    assert (y.detach().numpy()[0] == 42).all()


def test_writing_into_the_array_of_a_waiting_value_changes_what_reads_it_afterwards():
    _, n, raw = parts()
    y = F.relu(n(raw))
    y.detach().numpy()[...] = 1
    found = conv(tt.float32, seed=1)(y)
    expected = conv(tt.float32, seed=1)(tt.ones(*y.shape))
    assert np.allclose(as_float64(found), as_float64(expected), atol=1e-5)


def test_waiting_values_are_copied_and_pickled_with_their_values():
    a, n, _ = parts()
    n.eval()
    with tt.no_grad():
        y = F.relu(n(a(images(tt.float32))))
        copies = [copy.deepcopy(y), copy.copy(y), pickle.loads(pickle.dumps(y)), y.clone()]
        buffer = io.BytesIO()
        expected = as_float64(y)
        tt.save({"y": F.relu(n(a(images(tt.float32))))}, buffer) if hasattr(tt, "save") else None
    for each in copies:
        assert np.array_equal(as_float64(each), expected)


def test_waiting_values_print_as_any_other():
    _, n, raw = parts()
    y = F.relu(n(raw))
    text = repr(y)
    assert text == repr(y)
    plain = tt.tensor(y.detach().numpy())
    assert repr(plain)[:-1] in text
    assert "grad_fn=<ReluBackward0>" in text


def test_gradients_of_different_leaves_share_no_memory():
    x = images(tt.float32, requires_grad=True)
    modules, values = _layers(tt.float32, x)
    twin = images(tt.float32, requires_grad=True)
    weighted(values["last"] + F.relu(twin + x)).backward()
    grads = [x.grad, twin.grad, *gradients(**modules).values()]
    arrays = [each.numpy() for each in grads]
    for i, one in enumerate(arrays):
        for p in (p for m in modules.values() for p in m.parameters()):
            assert not np.shares_memory(one, p.detach().numpy())
        assert not any(np.shares_memory(one, other) for other in arrays[:i])


def test_a_freed_graph_is_refused():
    _, n, raw = parts()
    loss = weighted(F.relu(n(raw)))
    loss.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        loss.backward()


def test_readers_that_are_gone_are_forgotten():
    _, _, raw = parts()
    raw = raw.detach() if not isinstance(raw.value, np.ndarray) else raw
    for _ in range(1000):
        F.relu(raw)
    assert len(raw._storage.readers or ()) <= 64


def test_threads_may_ask_for_a_waiting_value_at_once():
    _, n, raw = parts()
    expected = expected_of(F.relu)
    for _ in range(20):
        y = F.relu(n(raw))
        found: list[np.ndarray] = []
        threads = [threading.Thread(target=lambda y=y, found=found: found.append(as_float64(y))) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(found) == 4
        assert all(np.allclose(each, expected, atol=1e-4) for each in found)


def test_a_bias_with_gaps_in_memory_is_read():
    x, w, wide = images(tt.float32), images(tt.float32, 8, 16, 3, 3), images(tt.float32, 8, 2, seed=1)
    found = F.conv2d(x, w, wide[:, 1])
    assert np.allclose(as_float64(found), as_float64(F.conv2d(x, w) + wide[:, 1].reshape(1, 8, 1, 1)), atol=1e-5)


def test_the_moments_of_an_image_without_a_batch_are_not_taken_for_those_of_its_rows():
    image, w = images(tt.float32, 3, 8, 6), images(tt.float32, 6, 3, 8, 6)
    found = F.batch_norm(F.conv2d(image, w)[:, 0], None, None, training=True)
    y = as_float64(F.conv2d(image.double(), w.double())[:, 0])
    assert np.allclose(as_float64(found), (y - y.mean(0)) / np.sqrt(y.var(0) + 1e-5), atol=1e-3)
    line, filters = images(tt.float32, 3, 8), images(tt.float32, 6, 3, 8)
    found = F.batch_norm(F.conv1d(line, filters), None, None, training=True)
    y = as_float64(F.conv1d(line.double(), filters.double()))
    assert np.allclose(as_float64(found), (y - y.mean(0)) / np.sqrt(y.var(0) + 1e-5), atol=1e-3)


@pytest.mark.parametrize("stride", [(1.0, 1.0), (True, True)])
def test_arguments_are_refused_though_equal_ones_have_passed(stride):
    x, w = images(tt.float32), images(tt.float32, 8, 16, 3, 3)
    F.conv2d(x, w, stride=(1, 1))
    with pytest.raises(TypeError):
        F.conv2d(x, w, stride=stride)


def test_a_bias_that_is_no_tensor_is_refused_though_an_equal_one_has_passed():
    x, w, b = images(tt.float32), images(tt.float32, 8, 16, 3, 3), images(tt.float32, 8)
    F.conv2d(x, w, b)
    with pytest.raises(TypeError, match="`bias` must be a Tensor"):
        F.conv2d(x, w, b.numpy())
