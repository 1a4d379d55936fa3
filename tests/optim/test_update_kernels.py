"""The kernels of update rules give what the rules give, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import optim
from tinytrain.kernels.fused.updates import find_update
from tinytrain.kernels.native.extension import native

pytestmark = pytest.mark.skipif(native() is None, reason="the native kernels are not built, or not wanted")

SHAPES = ((), (5,), (3, 7, 5), (40_000,), (16,), (1, 3))

RULES = [
    (optim.SGD, {"lr": 0.1}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "maximize": True}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    (optim.Adam, {"lr": 0.01}),
    (optim.Adam, {"lr": 0.01, "betas": (0.8, 0.99), "weight_decay": 0.1, "maximize": True}),
    (optim.Adam, {"lr": 0.01, "amsgrad": True}),
    (optim.AdamW, {"lr": 0.01, "weight_decay": 0.05, "eps": 1e-6}),
    (optim.AdamW, {"lr": 0.01, "amsgrad": True}),
    (optim.RMSprop, {"lr": 0.01}),
    (optim.RMSprop, {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1}),
    (optim.RMSprop, {"lr": 0.01, "centered": True, "momentum": 0.5, "eps": 1.0, "maximize": True}),
    (optim.Lion, {"lr": 0.01}),
    (optim.Lion, {"lr": 0.01, "weight_decay": 0.1, "betas": (0.7, 0.8), "maximize": True}),
]


def by_definition(rule):
    """Return the rule without its kernel: a subclass with an `update` of its own."""

    class Defined(rule):
        def update(self, *arguments):
            super().update(*arguments)

    return Defined


def run(rule, options, steps=4, shapes=SHAPES, dtype=np.float32, skip=lambda step, number: False):
    """Take steps with random gradients; return the values and what the rule remembers, as arrays."""
    rng = np.random.default_rng(0)
    params = [tt.tensor(rng.normal(size=shape).astype(dtype), requires_grad=True) for shape in shapes]
    optimizer = rule(params, **options)
    for step in range(steps):
        for number, param in enumerate(params):
            grad = rng.normal(size=param.shape).astype(dtype)
            grad[grad < -1.5] = 0
            param.grad = None if skip(step, number) else tt.tensor(grad)
        optimizer.step()
    saved = optimizer.state_dict()["state"]
    state = [np.asarray(each[key]) for _, each in sorted(saved.items()) for key in sorted(each)]
    return [param.detach().numpy() for param in params] + state


@pytest.mark.parametrize(("rule", "options"), RULES, ids=lambda each: getattr(each, "__name__", str(each)))
def test_kernels_give_the_bits_of_the_definition(rule, options):
    for fast, slow in zip(run(rule, options), run(by_definition(rule), options), strict=True):
        np.testing.assert_array_equal(fast, slow, strict=True)


@pytest.mark.parametrize("rule", [optim.SGD, optim.AdamW, optim.RMSprop, optim.Lion])
def test_every_instruction_set_and_number_of_threads_gives_the_same_bits(rule):
    options = {"lr": 0.01, "weight_decay": 0.1}
    expected = run(rule, options)
    extension, threads = native(), native().get_threads()
    try:
        for name in extension.instruction_sets():
            extension.use(name)
            for count in (1, 2, 3):
                extension.set_threads(count)
                for one, other in zip(run(rule, options), expected, strict=True):
                    np.testing.assert_array_equal(one, other)
    finally:
        extension.use(extension.instruction_sets()[0])
        extension.set_threads(threads)


@pytest.mark.parametrize("rule", [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Lion])
def test_parameters_that_come_later_or_pause_keep_steps_of_their_own(rule):
    def skip(step, number):
        return (number == 1 and step < 2) or (number == 2 and step == 1)

    options = {"lr": 0.01, **({"momentum": 0.9} if rule is optim.SGD else {})}
    for fast, slow in zip(run(rule, options, skip=skip), run(by_definition(rule), options, skip=skip), strict=True):
        np.testing.assert_array_equal(fast, slow)


@pytest.mark.parametrize("rule", [optim.SGD, optim.Adam, optim.RMSprop, optim.Lion])
def test_what_is_not_finite_goes_where_it_goes_by_definition(rule):
    def values(rule):
        param = tt.tensor(np.ones(5, np.float32), requires_grad=True)
        optimizer = rule([param], lr=0.1)
        for grad in ([np.nan, np.inf, -np.inf, 1e38, 0], [1, 1, 1, 1e38, 0]):
            param.grad = tt.tensor(np.array(grad, np.float32))
            with np.errstate(all="ignore"):
                optimizer.step()
        return param.detach().numpy()

    np.testing.assert_array_equal(values(rule), values(by_definition(rule)))


def test_other_types_and_memory_orders_go_by_definition():
    arrays = [np.ones((4, 6), np.float32).T, np.ones(3), np.ones(3, np.float32)]
    params = [tt.from_numpy(each).requires_grad_() for each in arrays]
    optimizer = optim.SGD(params, lr=0.5)
    assert find_update("sgd", arrays[0])(
        arrays, [np.zeros_like(each) for each in arrays], [{}, {}, {}], optimizer.defaults
    ) == [
        0,
        1,
    ]
    for param in params:
        param.grad = tt.ones_like(param)
    optimizer.step()
    assert all((each == 0.5).all() for each in arrays)


def test_a_rule_of_ones_own_is_asked_for_every_parameter():
    seen = []

    class Watched(optim.SGD):
        def update(self, param, grad, state, group):
            seen.append(param.shape)
            super().update(param, grad, state, group)

    run(Watched, {"lr": 0.1}, steps=1, shapes=((2,), (3,)))
    assert seen == [(2,), (3,)]


def test_gradients_stay_as_they_are():
    param = tt.tensor(np.ones(100, np.float32), requires_grad=True)
    optimizer = optim.SGD([param], lr=0.1, momentum=0.9, weight_decay=0.1, maximize=True)
    for _ in range(3):
        param.grad = tt.full((100,), 2.0)
        optimizer.step()
        assert (param.grad.numpy() == 2).all()
