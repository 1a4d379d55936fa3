"""One launch over many arrays on a GPU does what the rules in `tinytrain.optim` do to each."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt
from tests.kernels.gpu import dtype_of, elements, exact
from tests.kernels.native_reference import near
from tinytrain import nn, optim
from tinytrain.kernels.cuda import tables, updates
from tinytrain.kernels.fused import updates as fused_updates

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("gpu")]

SHAPES = [(7,), (), (3, 5), (4096,), (64, 3, 3, 3), (1,), (10001,), (0,), (128, 64)]

RULES = {
    "sgd": (optim.SGD, {"lr": 0.1}),
    "sgd with everything": (
        optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01, "maximize": True},
    ),
    "sgd with nesterov": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "adam": (optim.Adam, {"lr": 0.01, "weight_decay": 0.1}),
    "adam with amsgrad": (optim.Adam, {"lr": 0.01, "amsgrad": True, "maximize": True}),
    "adamw": (optim.AdamW, {"lr": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.99)}),
    "rmsprop": (optim.RMSprop, {"lr": 0.01, "weight_decay": 0.1}),
    "rmsprop with everything": (optim.RMSprop, {"lr": 0.01, "momentum": 0.9, "centered": True, "maximize": True}),
    "lion": (optim.Lion, {"lr": 0.01, "weight_decay": 0.1, "maximize": True}),
}
rules = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def draw(seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape)).astype(dtype) for shape in SHAPES]


class OnBoth:
    """The same parameters under the definition in float64 on the host, and under the kernels on the GPU."""

    def __init__(self, rule, gpu, element):
        make, options = rule
        self.gpu, self.element = gpu, element
        self.host = [tt.tensor(each.astype(np.float32).astype(np.float64), requires_grad=True) for each in draw(0)]
        self.optimizer = make(self.host, **options)
        self.group = {key: value for key, value in self.optimizer.param_groups[0].items() if key != "params"}
        self.params = [gpu.asarray(each.numpy().astype(np.float32)) for each in map(tt.Tensor.detach, self.host)]
        self.states = [{} for _ in SHAPES]
        self.update = fused_updates.UPDATES[self.optimizer.update.kernel]

    def step(self, seed, is_left_out=False):
        """Take a step on both sides; the first one is the definition's, which makes the states."""
        grads = [each.astype(dtype_of(self.element)) for each in draw(seed)]
        if not is_left_out:
            for param, grad in zip(self.host, grads, strict=True):
                param.grad = tt.tensor(grad.astype(np.float64))
            self.optimizer.step()
        if not self.states[0]:
            self.take_over()
            return
        on_gpu = [self.gpu.asarray(each) for each in grads]
        assert list(self.update(self.params, on_gpu, self.states, self.group)) == []
        assert all((exact(a) == b.astype(np.float64)).all() for a, b in zip(on_gpu, grads, strict=True))

    def take_over(self):
        self.params = [self.gpu.asarray(each.detach().numpy().astype(np.float32)) for each in self.host]
        self.states = [
            {
                key: self.gpu.asarray(value.astype(np.float32)) if isinstance(value, np.ndarray) else value
                for key, value in self.optimizer.state[param].items()
            }
            or {"nothing": 0}
            for param in self.host
        ]

    def check(self):
        if isinstance(self.optimizer, optim.Lion):
            # The sign of a direction near 0 depends on its last digit.
            pairs = zip(self.params, self.host, strict=True)
            apart = np.concatenate([(exact(a) - b.detach().numpy()).ravel() for a, b in pairs])
            assert (np.abs(apart) < 2e-6).mean() > 0.999
            return
        for param, host, state in zip(self.params, self.host, self.states, strict=True):
            assert near(exact(param), host.detach().numpy(), 2e-6)
            for key, value in self.optimizer.state[host].items():
                if isinstance(value, np.ndarray):
                    assert near(exact(state[key]), value, 2e-6)
                else:
                    assert state[key] == value


@elements
@rules
def test_a_rule_is_computed_to_the_rounding_of_float32(rule, element, gpu):
    both = OnBoth(rule, gpu, element)
    for seed in range(1, 6):
        both.step(seed)
    both.check()


@rules
def test_a_void_step_changes_nothing(rule, gpu):
    both = OnBoth(rule, gpu, "float16")
    both.step(1)
    is_void = gpu.zeros((), "float32")
    with updates.during_step(is_void):
        both.step(2)
        both.check()
        is_void[...] = 1
        before = [exact(each) for each in both.params]
        steps = [state.get("step") for state in both.states]
        both.step(3, is_left_out=True)
        assert all((exact(a) == b).all() for a, b in zip(both.params, before, strict=True))
        for state, step in zip(both.states, steps, strict=True):
            if step is not None:
                state["step"] = step
        is_void[...] = 0
        both.step(5)
    both.check()


def test_numbers_that_are_uploaded_later_are_those_of_the_next_launch(gpu):
    params, grads = [gpu.ones(5000, "float32")], [gpu.ones(5000, "float32")]
    [(plan, positions)], left = tables.plan_for(params, grads, (None,))
    assert (positions, left) == ([0], [])
    for lr, expected in ((0.5, 0.5), (0.25, 0.25)):
        plan.upload((lr, 0, 1, 0, False, False))
        plan.launch("sgd")
        assert (exact(params[0]) == expected).all()
    assert tables.plan_for(params, grads, (None,))[0][0][0] is plan
    assert tables.plan_for(params, grads, ([gpu.ones(5000, "float32")],))[0][0][0] is not plan


def test_a_captured_launch_reads_the_numbers_of_its_replay(gpu):
    w, g, v = (gpu.ones(5000, "float32") for _ in range(3))
    [(plan, _)], _ = tables.plan_for([w], [g], ([v],))
    numbers = (0.5, 0.0, 1.0, 0.0, False, False)
    plan.upload(numbers)
    plan.launch("sgd")  # compiles, which cannot be captured
    stream = gpu.cuda.Stream(non_blocking=True)
    gpu.cuda.get_current_stream().synchronize()
    with stream:
        stream.begin_capture()
        plan.launch("sgd")
        graph = stream.end_capture()
        for lr in (1.0, 2.0, 4.0):
            plan.upload((lr, *numbers[1:]))
            graph.launch()
        stream.synchronize()
    assert (exact(w) == 1 - 0.5 - 7).all()


def test_clipping_does_not_wait_for_the_gpu(gpu):
    params = [tt.zeros(*shape, device="cuda", requires_grad=True) for shape in SHAPES if shape]
    grads = [each.astype(np.float32) for each in draw(3)]
    for param, grad in zip(params, (each for each in grads if each.ndim), strict=True):
        param.grad = tt.from_numpy(grad).to("cuda")
    norm = np.sqrt(sum((each.astype(np.float64) ** 2).sum() for each in grads if each.ndim))
    stream = gpu.cuda.Stream(non_blocking=True)
    gpu.cuda.Device().synchronize()  # such a stream does not wait for the one that the gradients came on
    with stream:
        total = nn.utils.clip_grad_norm_(params, 1.0)
        stream.synchronize()
        stream.begin_capture()  # from here on CUDA refuses to wait
        nn.utils.clip_grad_norm_(params, 0.1)
        stream.end_capture()
    assert near(exact(total.array), norm)
    for param, grad in zip(params, (each for each in grads if each.ndim), strict=True):
        assert near(exact(param.grad.array), grad / norm)


def test_arrays_that_kernels_cannot_read_are_left_alone(gpu):
    good = gpu.ones((4, 6), "float32")
    wrong = [gpu.ones((6, 4), "float32").T, gpu.ones((4, 6), "float64"), gpu.ones((4, 6), "float16")]
    params = [good, *wrong, gpu.ones((4, 6), "float32"), gpu.ones((4, 6), "float32")]
    grads = [gpu.ones((4, 6), "float32") for _ in params]
    grads[4] = gpu.ones((4, 6), "int32")
    velocities = [gpu.ones((4, 6), "float32") for _ in params]
    velocities[5] = None
    assert updates.sgd(params, grads, velocities, 0.5, 0.5, 1.0, 0.0, False, False) == [1, 2, 3, 4, 5]
    assert (exact(good) == 1 - 0.5 * 1.5).all()
    assert all((exact(each) == 1).all() for each in params[1:])


def test_memory_that_is_not_aligned_is_updated_element_by_element(gpu):
    wide, grads = gpu.ones(5001, "float32"), gpu.ones(5002, "float16")
    assert updates.sgd([wide[1:]], [grads[2:]], None, 0.5, 0.0, 1.0, 0.0, False, False) is None
    assert exact(wide).tolist() == [1] + [0.5] * 5000


def test_plans_of_arrays_that_are_gone_are_forgotten(gpu):
    for size in range(1, tables.MOST_PLANS + 10):
        updates.scale([gpu.ones(size, "float32")], 2.0)
    assert len(tables._plans) <= tables.MOST_PLANS


@elements
def test_sums_of_squares_stay_on_the_gpu(element, gpu):
    arrays = [gpu.asarray(each.astype(dtype_of(element))) for each in draw(3)]
    found = updates.square_sums(arrays)
    assert isinstance(found, gpu.ndarray)
    assert near(exact(found), np.array([(exact(each) ** 2).sum() for each in arrays]), 1e-12)
    mixed = [*arrays, gpu.full(4100, 2, "float16"), gpu.full(3, 3, "float32")]
    assert exact(updates.square_sums(mixed))[-2:].tolist() == [16400, 27]
    assert updates.square_sums([gpu.ones((3, 4), "float32").T]) is None
    assert exact(updates.square_sums([gpu.full(2, 1e30, "float32")]))[0] == 2 * np.float64(np.float32(1e30)) ** 2


@elements
def test_scaling_takes_a_number_of_the_host_or_of_the_gpu(element, gpu):
    arrays = [gpu.asarray(each.astype(dtype_of(element))) for each in draw(3)]
    before = [exact(each) for each in arrays]
    assert updates.scale(arrays, 0.5) is None
    assert updates.scale(arrays, gpu.asarray(np.float64(0.25))) is None
    assert all((exact(a) == b / 8).all() for a, b in zip(arrays, before, strict=True) if element != "float16")
    assert updates.scale([gpu.ones((3, 4), "float32").T], 2.0) == [0]
