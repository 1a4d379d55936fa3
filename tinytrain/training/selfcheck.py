"""One training step twice: as the user's machine computes it, and by definition in float64; do the two agree?

The bounds are not guessed. Rounding errors grow on their way through a network by as much as the network lets them.
So the definition is computed a few times more with noise in place of rounding: every weight, and every layer's result
and its gradient, is off by a random share of the size that the precision brings. What that does to a tensor is what
rounding may do to it; an error well above is a fault (Parker, "Monte Carlo Arithmetic", 1997).

Where a ReLU's input is nearly zero, rounding switches it on or off, which changes gradients by far more than a
rounding. In the short types that happens everywhere, and the noise shows it. In float32 it is rare enough to happen in
the step and not under noise. But then it is chance, which another batch does not repeat, and a fault repeats itself: a
tensor counts as wrong if it is beyond its bound in each of several batches.

The optimizer's update is held to what its rule makes of the gradients that it got, for rules as Adam's turn the
smallest gradient into a whole step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinytrain import nn
from tinytrain.device import CPU, synchronize
from tinytrain.generator import manual_seed
from tinytrain.kernels import using_reference_kernels
from tinytrain.models.blocks import StochasticDepth
from tinytrain.ops.creation import from_numpy
from tinytrain.tape import no_grad
from tinytrain.tensor import Tensor
from tinytrain.threads import one_blas_thread
from tinytrain.training.experiment import Experiment
from tinytrain.training.step import learn

Batch = tuple[Tensor, Tensor]

NOISE = {"fp32": 2e-6, "tf32": 1e-3, "fp16": 1e-3, "bf16": 4e-3}
"""The standard deviation of the noise as a part of the value, by precision.

Twice the unit roundoff for the short types; for float32 what long sums and Winograd's transforms come to.
"""

ROUNDOFF = 2.0**-24
"""Of float32, in which parameters are kept in every precision."""

MARGIN = 3.0
"""A bound is so many times the largest error that noise made."""

RUNS = 3
"""Runs with noise."""

FAINT = 1e-3
"""Tensors whose elements are smaller than this part of the usual size of their kind are measured by that part of it."""

_RANDOM = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


@dataclass(frozen=True)
class Deviation:
    """How far one tensor is from the definition's.

    Attributes:
        kind: `output`, `loss`, `gradient`, `statistic` or `update`; a statistic is how much the step changed a buffer,
            an update how much it changed a parameter.
        name: the tensor's name in the `state_dict`; empty for output and loss.
        layer: the class of the module that has it.
        error: Euclidean norm of the difference as a part of that of the definition's tensor; infinite where the tensor
            holds what is no number.
        bound: the error that rounding may bring.
    """

    kind: str
    name: str
    layer: str
    error: float
    bound: float

    @property
    def of_bound(self) -> float:
        """The error as a part of the bound."""
        return self.error / self.bound

    @property
    def is_within(self) -> bool:
        """Whether the error is within the bound."""
        return self.error <= self.bound


@dataclass
class StepRecord:
    """What a training step gives, in float64 on the CPU.

    Attributes:
        values: kind to name to tensor; kinds and names as of `Deviation`.
    """

    values: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


def compare_steps(
    tested: Experiment,
    definition: Experiment,
    batches: Iterable[Batch],
    *,
    precision: str = "fp32",
    watch: Callable[[str], None] = lambda doing: None,
) -> list[Deviation]:
    """Return how far one step of an experiment is from the definition, every tensor, the worst first.

    Layers that draw random numbers are left out on both sides, for the two draw others.

    Args:
        tested: on its device, in its precision.
        definition: the same on the CPU in float32; its weights become float64.
        batches: images and targets on the CPU; the first decides, unless tensors are beyond their bounds in it. Of a
            tensor the batch counts in which it is the nearest to the definition.
        precision: that of `tested`, a key of `NOISE`.
        watch: told what is computed next.
    """
    widen(definition)
    best: dict[tuple[str, str], Deviation] = {}
    for number, batch in enumerate(batches, 1):
        told = "" if number == 1 else f"; batch {number}, for chance does not repeat itself"
        watch(f"one step on {tested.device}{told}")
        found = take_step(tested, batch)
        watch(f"the same step by definition, in float64{told}")
        expected = step_by_definition(definition, batch)
        watch(f"the same with noise, {RUNS} times{told}")
        noisy = noisy_steps(definition, batch, NOISE[precision])
        for each in deviations(found, expected, noisy, definition, precision=precision):
            key = each.kind, each.name
            best[key] = min(best.get(key, each), each, key=lambda d: d.of_bound)
        if all(each.is_within for each in best.values()):
            break
    return sorted(best.values(), key=lambda d: -d.of_bound)


def widen(e: Experiment) -> None:
    """Make the weights of an experiment on the CPU float64, so that it can stand for the definition."""
    e.model.double()
    if isinstance(e.loss, nn.Module):
        e.loss.double()


def step_by_definition(definition: Experiment, batch: Batch) -> StepRecord:
    """Return what one step gives by the reference kernels in float64."""
    with using_reference_kernels(), one_blas_thread():
        return take_step(definition, (_as_float64(batch[0]), _as_float64(batch[1])))


def noisy_steps(definition: Experiment, batch: Batch, size: float, *, runs: int = RUNS) -> list[StepRecord]:
    """Return what one step gives by definition with noise, several times.

    Args:
        definition: widened.
        batch: images and targets.
        size: of the noise, as in `NOISE`.
        runs: how often.
    """
    records = []
    with using_reference_kernels(), one_blas_thread():
        for run in range(runs):
            with _noise(definition.model, size, seed=run) as disturb:
                records.append(take_step(definition, (disturb(_as_float64(batch[0])), _as_float64(batch[1]))))
    return records


def deviations(
    found: StepRecord, expected: StepRecord, noisy: Sequence[StepRecord], definition: Experiment, *, precision: str
) -> Iterator[Deviation]:
    """Yield how far every tensor of a step is from the definition.

    Args:
        found: of the step that is looked at.
        expected: of the same by definition.
        noisy: of the same with noise.
        definition: widened.
        precision: of `found`, a key of `NOISE`.
    """
    model, noise = definition.model, NOISE[precision]
    layers = {name: type(module).__name__ for name, module in model.named_modules()}
    for kind, tensors in expected.values.items():
        if kind == "update":
            continue
        for name, value in tensors.items():
            size = _size(value, tensors)
            by_noise = max(_error(record.values[kind][name], value, size) for record in noisy)
            error = _error(found.values[kind].get(name), value, size)
            yield Deviation(kind, name, _layer(name, layers), error, MARGIN * max(by_noise, noise))
    parameters = {name: _float64(parameter) for name, parameter in model.named_parameters()}
    with using_reference_kernels():
        updates = update_by_definition(definition, found.values["gradient"])
    for name, value in updates.items():
        size = _size(value, updates)
        rounding = ROUNDOFF * float(np.linalg.norm(parameters[name])) / size  # parameters are float32
        error = _error(found.values["update"][name], value, size)
        yield Deviation("update", name, _layer(name, layers), error, MARGIN * (rounding + NOISE["fp32"]))


def take_step(e: Experiment, batch: Batch) -> StepRecord:
    """Return what one step of training gives; model and optimizer are as before afterwards.

    A step that is skipped since the scaled loss overflows is taken again with the lower scale, as in a training.

    Args:
        e: whose optimizer has taken no step.
        batch: images and targets.
    """
    skipped = e.scaler.skipped_steps()
    record = _take_step(e, batch)
    return record if e.scaler.skipped_steps() == skipped else take_step(e, batch)


def _take_step(e: Experiment, batch: Batch) -> StepRecord:
    manual_seed(e.seed)
    e.model.train()
    for module in e.model.modules():
        if isinstance(module, (*_RANDOM, StochasticDepth)):
            module.eval()
    with _kept(e):
        before = _state(e.model)
        (learned,) = learn(e, [batch])
        synchronize(e.device)
        changes = {name: value - before[name] for name, value in _state(e.model).items()}
        gradients = {name: _float64(p.grad) for name, p in e.model.named_parameters() if p.grad is not None}
    return StepRecord(
        {
            "output": {"": _float64(learned.logits)},
            "loss": {"": _float64(learned.loss)},
            "gradient": gradients,
            "statistic": {name: changes[name] for name, _ in e.model.named_buffers() if name in changes},
            "update": {name: changes[name] for name in gradients},
        }
    )


def update_by_definition(definition: Experiment, gradients: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return how a first step of the optimizer changes the parameters that have a gradient, by the rule in float64.

    Args:
        definition: in float64; as before afterwards.
        gradients: by parameter, as the optimizer gets them.
    """
    parameters = dict(definition.model.named_parameters())
    with _kept(definition):
        before = _state(definition.model)
        for name, gradient in gradients.items():
            parameters[name].grad = from_numpy(gradient)
        definition.optimizer.step()
        after = _state(definition.model)
    return {name: after[name] - before[name] for name in gradients}


@contextmanager
def _kept(e: Experiment) -> Iterator[None]:
    """Put model and optimizer back afterwards as they are before the optimizer's first step."""
    before = {name: value.clone() for name, value in e.model.state_dict().items()}
    yield
    e.model.load_state_dict(before)
    e.model.zero_grad()
    e.optimizer.state.clear()


def _size(value: np.ndarray, tensors: Mapping[str, np.ndarray]) -> float:
    """Return the norm that an error is a part of: the tensor's own, or that of a faint one of its kind."""
    total = math.sqrt(sum(float(np.vdot(each, each)) for each in tensors.values()))
    share = math.sqrt(value.size / sum(each.size for each in tensors.values()))
    return max(float(np.linalg.norm(value)), FAINT * share * total, float(np.finfo(np.float64).tiny))


def _error(found: np.ndarray | None, expected: np.ndarray, size: float) -> float:
    """Return the norm of the difference as a part of `size`."""
    if found is None or found.shape != expected.shape:
        return math.inf
    error = float(np.linalg.norm(found - expected)) / size
    return error if math.isfinite(error) else math.inf


def _layer(name: str, layers: dict[str, str]) -> str:
    return layers.get(name.rpartition(".")[0], "") if name else ""


@contextmanager
def _noise(model: nn.Module, size: float, *, seed: int) -> Iterator[Callable[[Tensor], Tensor]]:
    """Disturb the weights of a model, and within the block the result of every layer and its gradient.

    Args:
        model: whose weights are as before afterwards.
        size: standard deviation of the noise, as a part of what it disturbs.
        seed: of the noise.

    Yields:
        A function that disturbs a tensor.
    """
    rng = np.random.default_rng(seed)

    def disturb(x: Tensor) -> Tensor:
        return x * from_numpy(1 + size * rng.standard_normal(x.shape))

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        if not (isinstance(output, Tensor) and output.is_floating_point()):
            return None
        result = disturb(output)
        if result.requires_grad:  # noise of its own: with the same, gradients that cancel would still do so
            result.register_hook(disturb)
        return result

    before = {name: value.clone() for name, value in model.state_dict().items()}
    handles = [m.register_forward_hook(hook) for m in model.modules() if not any(True for _ in m.children())]
    try:
        with no_grad():
            for parameter in model.parameters():
                parameter.copy_(disturb(parameter))
        yield disturb
    finally:
        for handle in handles:
            handle.remove()
        model.load_state_dict(before)


def _state(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: _float64(value) for name, value in model.state_dict().items()}


def _float64(tensor: Tensor) -> np.ndarray:
    """Return the values of a tensor of any type on any device, in memory of their own."""
    return np.array(tensor.detach().to(CPU).numpy(), np.float64)


def _as_float64(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor
