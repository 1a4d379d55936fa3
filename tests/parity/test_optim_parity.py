"""Update rules and schedules take PyTorch's steps."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import tinytrain as tt  # noqa: E402
from tinytrain import optim  # noqa: E402

RULES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "dampening": 0.3, "maximize": True}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True, "betas": (0.8, 0.9), "eps": 1e-6}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.2, "maximize": True}),
    ("NAdam", {"lr": 0.01}),
    ("NAdam", {"lr": 0.01, "weight_decay": 0.1, "momentum_decay": 0.01, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.01, "betas": (0.9, 0.9)}),
    ("RAdam", {"lr": 0.01, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "alpha": 0.9, "momentum": 0.5, "centered": True, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
]


def twin_parameters() -> tuple[list, list]:
    rng = np.random.default_rng(0)
    values = [rng.normal(size=shape).astype(np.float32) for shape in ((3, 4), (5,), ())]
    ours = [tt.tensor(v, requires_grad=True) for v in values]
    return [torch.tensor(v, requires_grad=True) for v in values], ours


def set_gradients(theirs: list, ours: list, step: int) -> None:
    rng = np.random.default_rng(step + 1)
    for p, q in zip(theirs, ours, strict=True):
        g = rng.normal(size=p.shape).astype(np.float32)
        p.grad, q.grad = torch.tensor(g), tt.tensor(g)


@pytest.mark.parametrize(("name", "options"), RULES)
def test_rule_takes_pytorchs_steps(name, options):
    theirs, ours = twin_parameters()
    rule_theirs, rule_ours = getattr(torch.optim, name)(theirs, **options), getattr(optim, name)(ours, **options)
    for step in range(12):
        set_gradients(theirs, ours, step)
        rule_theirs.step()
        rule_ours.step()
        if step == 5:  # a way through the saved state changes nothing
            state = rule_ours.state_dict()
            rule_ours = getattr(optim, name)(ours, **options)
            rule_ours.load_state_dict(state)
    for p, q in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "Adagrad"])
def test_rule_takes_pytorchs_arguments_with_their_defaults(name):
    ours = inspect.signature(getattr(optim, name)).parameters
    for argument, parameter in inspect.signature(getattr(torch.optim, name)).parameters.items():
        if argument in ("foreach", "capturable", "differentiable", "fused"):
            continue  # how PyTorch computes, not what
        assert ours[argument].default == parameter.default, argument


@pytest.mark.parametrize(
    ("name", "options"),
    [("SGD", {"lr": -1}), ("SGD", {"nesterov": True}), ("Adam", {"betas": (1.0, 0.9)}), ("Adam", {"eps": -1})],
)
def test_rule_refuses_what_pytorch_refuses(name, options):
    theirs, ours = twin_parameters()
    with pytest.raises(ValueError):  # noqa: PT011  # PyTorch's message is not ours
        getattr(torch.optim, name)(theirs, **options)
    with pytest.raises(ValueError, match=rf"{name}: |Nesterov"):
        getattr(optim, name)(ours, **options)


SCHEDULES = [
    lambda o, s: s.StepLR(o, 3, 0.5),
    lambda o, s: s.MultiStepLR(o, [2, 5, 5, 8], 0.3),
    lambda o, s: s.ExponentialLR(o, 0.9),
    lambda o, s: s.ConstantLR(o, 0.25, 4),
    lambda o, s: s.LinearLR(o, 0.1, 0.9, 6),
    lambda o, s: s.PolynomialLR(o, 7, 2.0),
    lambda o, s: s.CosineAnnealingLR(o, 5, 0.01),
    lambda o, s: s.CosineAnnealingWarmRestarts(o, 3, 2, 0.01),
    lambda o, s: s.CosineAnnealingWarmRestarts(o, 4),
    lambda o, s: s.LambdaLR(o, lambda step: 0.8**step),
    lambda o, s: s.MultiplicativeLR(o, lambda step: 0.9 if step % 2 else 1.0),
    lambda o, s: s.OneCycleLR(o, 0.5, total_steps=20),
    lambda o, s: s.OneCycleLR(o, 0.5, epochs=5, steps_per_epoch=4, three_phase=True, anneal_strategy="linear"),
    lambda o, s: s.OneCycleLR(o, 0.5, total_steps=17, cycle_momentum=False, pct_start=0.25),
    lambda o, s: s.SequentialLR(o, [s.LinearLR(o, 0.1, total_iters=4), s.CosineAnnealingLR(o, 10)], [4]),
    lambda o, s: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1, 2), s.ExponentialLR(o, 0.9), s.StepLR(o, 2)], milestones=[3, 8]
    ),
    lambda o, s: s.ChainedScheduler([s.LinearLR(o, 0.1, total_iters=4), s.ExponentialLR(o, 0.9)]),
]


@pytest.mark.parametrize("build", SCHEDULES)
def test_schedule_gives_pytorchs_rates(build):
    rates = []
    for library, parameters in zip((torch.optim, optim), twin_parameters(), strict=True):
        optimizer = library.SGD(parameters, lr=0.5, momentum=0.9)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch deprecates the order of calls that this test makes
            schedule = build(optimizer, library.lr_scheduler)
            found = []
            for _ in range(16):
                found.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
                optimizer.step()
                schedule.step()
                assert schedule.get_last_lr() == [optimizer.param_groups[0]["lr"]]
        rates.append(found)
    np.testing.assert_allclose(rates[1], rates[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("build", SCHEDULES[:14])
def test_schedule_goes_to_pytorchs_steps(build):
    rates = []
    for library, parameters in zip((torch.optim, optim), twin_parameters(), strict=True):
        optimizer = library.SGD(parameters, lr=0.5, momentum=0.9)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch deprecates this for all but warm restarts
            schedule = build(optimizer, library.lr_scheduler)
            found = []
            for epoch in (3, None, 9, 0, None, 12, 5):
                schedule.step(epoch)
                found.append(schedule.get_last_lr())
        rates.append(found)
    np.testing.assert_allclose(rates[1], rates[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", [{"T_0": 3}, {"T_0": 2, "T_mult": 2}])
def test_warm_restarts_go_to_pytorchs_places_between_steps(options):
    states = []
    for library, parameters in zip((torch.optim, optim), twin_parameters(), strict=True):
        schedule = library.lr_scheduler.CosineAnnealingWarmRestarts(library.SGD(parameters, lr=0.5), **options)
        found = []
        for epoch in (0.25, 1.5, None, 2.75, 3, 5.5, None, 9.25, 1, None):
            schedule.step(epoch)
            found.append([schedule.last_epoch, schedule.T_cur, schedule.T_i, *schedule.get_last_lr()])
        states.append(found)
    np.testing.assert_allclose(states[1], states[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_plateau_schedule_gives_pytorchs_rates(mode, threshold_mode):
    metrics = [1.0, 0.9, 0.91, 0.92, 0.9, 0.9, 0.85, 1.2, 1.3, 1.4, 1.3, 1.3, 1.29, 1.3, 1.3]
    rates = []
    for library, parameters in zip((torch.optim, optim), twin_parameters(), strict=True):
        optimizer = library.SGD(parameters, lr=0.5)
        schedule = library.lr_scheduler.ReduceLROnPlateau(
            optimizer, mode, 0.5, 2, 0.01, threshold_mode, cooldown=1, min_lr=0.05
        )
        found = []
        for metric in metrics:
            schedule.step(metric)
            found.append(optimizer.param_groups[0]["lr"])
        rates.append(found)
    assert rates[0] == rates[1]
