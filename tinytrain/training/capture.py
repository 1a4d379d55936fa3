"""Steps of a training as one CUDA graph, where nothing in them needs the host.

A step of a small network keeps the host busier than the GPU: hundreds of kernels, each launched from Python. A graph of
them is launched at once. It reads the same memory every time: batches are copied into its own, and what else it reads
and writes (weights, statistics, averages, what the optimizer remembers) must lie where it lay. Whenever something else
is found than what was recorded, the graph is dropped and another one recorded.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from operator import is_
from typing import Any

import numpy as np

from tinytrain import nn
from tinytrain.capturing import CaptureError, capture, replaying
from tinytrain.device import Array, like_in_memory, module_of
from tinytrain.generator import stream_of
from tinytrain.optim import Optimizer
from tinytrain.tape import Storage
from tinytrain.tensor import Tensor, share
from tinytrain.training.experiment import Experiment
from tinytrain.training.metrics import Meter
from tinytrain.training.random_state import random_state, set_random_state
from tinytrain.training.step import Learned, find_gradients, learn_and_score, score, update

MOST_CHANGES = 10
"""After so many steps in a row that are not like the one before, no further one is waited for."""

Batch = tuple[Tensor, Tensor]


class Steps:
    """Takes the steps of a training, and counts their scores.

    A step is recorded when it finds everything as the step before found it: its kernels are compiled and chosen then,
    and the optimizer has its memory. Steps of another shape, as of the last batch of an epoch, are taken as they come.

    Args:
        e: whose steps.
        say: told where steps, or their updates, cannot be captured.

    Attributes:
        captured: what the graph does: `step`, `gradients`, or `nothing`.
        reason: why it does not do the whole step, None where it does.
    """

    def __init__(self, e: Experiment, say: Callable[[str], None]):
        self._e, self._say = e, say
        self.captured = "nothing"
        self.reason: str | None = "no step was like the one before" if e.cuda_graph else "it is switched off"
        self._tries = ["step", "gradients"] if e.cuda_graph and e.device.type == "cuda" else []
        self._graph: _CapturedStep | None = None
        self._last: _Look | None = None
        self._num_changes = 0
        self._given_up: str | None = None  # why a whole step could not be recorded
        self._told: set[tuple[str, str | None]] = set()

    def take(self, batches: Sequence[Batch], meter: Meter) -> list[Learned]:
        """Take one step, as `learn`, and count its scores.

        Where it is captured, the memory of what is returned is written again by the next step.

        Args:
            batches: images and targets, one at least.
            meter: gathers the scores.
        """
        e = self._e
        batches = [(images.to(e.device, non_blocking=True), targets.to(e.device)) for images, targets in batches]
        if self._tries:
            look = _Look.of(e, batches, meter, is_whole=self._tries[0] == "step")
            if self._graph is not None and look.is_like(self._graph.look):
                return self._graph.replay(e, batches, meter)
            if self._graph is not None and look.has_same_state(self._graph.look):
                return learn_and_score(e, batches, meter)
            self._graph = None
            if look.hooked is not None:
                self._tell("nothing", f"hooks are registered on {look.hooked}")
            elif self._last is not None and look.is_like(self._last):
                return self._capture(batches, meter)
            else:
                self._last = look
                self._num_changes += 1
                if self._num_changes > MOST_CHANGES:
                    self._give_up("its shapes or its memory change from step to step")
        return learn_and_score(e, batches, meter)

    def _capture(self, batches: Sequence[Batch], meter: Meter) -> list[Learned]:
        """Record a step and take it; without a graph where it cannot be recorded."""
        while self._tries:
            try:
                self._graph = _CapturedStep(self._e, batches, meter, is_whole=self._tries[0] == "step")
            except CaptureError as error:
                self._give_up(str(error))
            else:
                self._num_changes = 0
                self._tell(self._tries[0], self._given_up)
                return self._graph.first()
        return learn_and_score(self._e, batches, meter)

    def _give_up(self, reason: str) -> None:
        """Try less from now on."""
        self._tries.pop(0)
        self._num_changes, self._last = 0, None
        self._given_up = reason
        if not self._tries:
            self._tell("nothing", reason)

    def _tell(self, captured: str, reason: str | None) -> None:
        """Say once that steps are not captured, or are in part, and why."""
        self.captured, self.reason = captured, reason
        told = {"gradients": "the update after a step's gradients is not", "nothing": "steps are not"}.get(captured)
        if told is not None and (told, reason) not in self._told:
            self._told.add((told, reason))
            self._say(f"{told} captured as a CUDA graph: {reason}")


class _CapturedStep:
    """A step that is recorded; it is ready for its first launch.

    Args:
        e: whose step; nothing of it is changed but what the host counts of the step.
        batches: of the step.
        meter: gathers the scores.
        is_whole: whether the update is recorded too, not the gradients alone.

    Raises:
        CaptureError: it cannot be recorded; everything is as it was.
    """

    def __init__(self, e: Experiment, batches: Sequence[Batch], meter: Meter, *, is_whole: bool):
        self._is_whole = is_whole
        self.look = _Look.of(e, batches, meter, is_whole=is_whole)
        xp = module_of(e.device)
        self._inputs = [(_static(images, xp.empty), _static(targets, xp.empty)) for images, targets in batches]
        before = _HostState(e, meter)
        try:
            self._graph, self._learned = capture(lambda: self._work(e, meter))
            self._check(e, batches, meter, before)
        except BaseException:
            before.restore(e, meter)
            raise
        self._rewritten = before.rewritten()
        self._grads = [(p, p.grad) for p in e.model.parameters()]
        self._e, self._meter = e, meter
        self._copy(batches)

    def first(self) -> list[Learned]:
        """Launch what was recorded for the batches that it was recorded with."""
        self._graph.launch()
        if not self._is_whole:
            update(self._e)
        return self._learned

    def replay(self, e: Experiment, batches: Sequence[Batch], meter: Meter) -> list[Learned]:
        """Take the step with other batches of the same shapes."""
        self._copy(batches)
        for parameter, grad in self._grads:
            parameter.grad = grad
        with replaying():
            if self._is_whole:
                update(e)
            score(self._learned, meter)
        self._graph.advance()
        self._graph.launch()
        for storage, writes in self._rewritten:
            storage.version += writes
        if not self._is_whole:
            update(e)
        return self._learned

    def _work(self, e: Experiment, meter: Meter) -> list[Learned]:
        learned = find_gradients(e, self._inputs)
        if self._is_whole:
            update(e)
        score(learned, meter)
        return learned

    def _check(self, e: Experiment, batches: Sequence[Batch], meter: Meter, before: _HostState) -> None:
        if before.has_drawn():
            raise CaptureError("random numbers are drawn on the host")
        if not _Look.of(e, batches, meter, is_whole=self._is_whole).is_like(self.look):
            raise CaptureError("a step replaces memory, or something else that the next one reads")

    def _copy(self, batches: Sequence[Batch]) -> None:
        for mine, theirs in zip(self._inputs, batches, strict=True):
            for static, tensor in zip(mine, theirs, strict=True):
                static.array[...] = tensor.array


def _static(tensor: Tensor, empty: Callable[..., Array]) -> Tensor:
    return share(like_in_memory(tensor.array, empty))


@dataclass(frozen=True, eq=False)
class _Look:
    """What a step finds.

    Args:
        shapes: of the batches.
        state: objects that must be the same ones.
        hooked: the name of a module or tensor with hooks, None where there is none.
    """

    shapes: list[Any]
    state: list[Any]
    hooked: str | None

    def is_like(self, other: _Look) -> bool:
        """Return whether a graph of the one does the other."""
        return self.shapes == other.shapes and self.has_same_state(other)

    def has_same_state(self, other: _Look) -> bool:
        """Return whether all but the shapes is the same."""
        is_as_long = self.hooked == other.hooked and len(self.state) == len(other.state)
        return is_as_long and all(map(is_, self.state, other.state))

    @classmethod
    def of(cls, e: Experiment, batches: Sequence[Batch], meter: Meter, *, is_whole: bool) -> _Look:
        """Return what a step finds now.

        Args:
            e, batches, meter: of the step.
            is_whole: whether the optimizer and the average are looked at too.
        """
        shapes = [(t.shape, t.array.strides, t.array.dtype) for batch in batches for t in batch]
        state: list[Any] = [getattr(e, each.name) for each in fields(e)]
        state += [meter, stream_of(e.device)]
        hooked = None
        for name, module in _named_modules(e):
            state += vars(module).values()
            for held in (module._parameters, module._buffers, module._modules):
                state += held.values()
            for tensor in _tensors_of(module):
                state += (tensor.value, tensor.requires_grad)
                hooked = name if _is_hooked(tensor) else hooked
            hooked = name if any(module._hooks.values()) else hooked
        if is_whole:
            state += _parts_of(e.optimizer)
            if e.average is not None:
                state += e.average.arrays
        return cls(shapes, state, hooked)


def _named_modules(e: Experiment) -> Iterator[tuple[str, nn.Module]]:
    yield from ((name or "the network", module) for name, module in e.model.named_modules())
    if isinstance(e.loss, nn.Module):
        yield from ((f"the loss {name}".rstrip(), module) for name, module in e.loss.named_modules())


def _tensors_of(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters(recurse=False)
    yield from module.buffers(recurse=False)


def _is_hooked(tensor: Tensor) -> bool:
    return tensor._hooks is not None and any(tensor._hooks.values())


def _parts_of(optimizer: Optimizer) -> Iterator[Any]:
    """Yield options, parameters and memory of an optimizer, but no number that every step gives anew."""
    for group in optimizer.param_groups:
        yield from (value for key, value in group.items() if key != "lr")
        yield from group["params"]
    for remembered in optimizer.state.values():
        yield from (value for value in remembered.values() if hasattr(value, "shape"))


class _HostState:
    """What the host's part of a step changes, as it was before."""

    def __init__(self, e: Experiment, meter: Meter):
        tensors = [tensor for _, module in _named_modules(e) for tensor in _tensors_of(module)]
        averages = [] if e.average is None else list(e.average.state_dict().values())
        self._arrays = [(tensor, tensor.value) for tensor in [*tensors, *averages]]
        self._versions = _versions(tensor for tensor, _ in self._arrays)
        # The optimizer counts its own writes at every launch.
        own = [p for group in e.optimizer.param_groups for p in group["params"]]
        self._counted = {id(parameter._storage) for parameter in own}
        self._remembered = {parameter: dict(state) for parameter, state in e.optimizer.state.items()}
        self._num_updates = 0 if e.average is None else e.average.num_updates
        self._count = meter.count
        self._random = random_state(e.device)
        self._python, self._numpy = random.getstate(), np.random.get_state()

    def restore(self, e: Experiment, meter: Meter) -> None:
        """Make it what it was."""
        for tensor, array in self._arrays:
            tensor.value = array
            tensor.grad = None
        for storage, version in self._versions:
            storage.version = version
        e.optimizer.state.clear()
        e.optimizer.state.update(self._remembered)
        if e.average is not None:
            e.average.num_updates = self._num_updates
        e.scaler.forget_step()
        meter.count = self._count
        set_random_state(e.device, self._random)
        random.setstate(self._python)
        np.random.set_state(self._numpy)

    def rewritten(self) -> list[tuple[Storage, int]]:
        """Return what was written to since, and how often; without what the optimizer writes to."""
        changed = [(storage, storage.version - version) for storage, version in self._versions]
        return [(storage, writes) for storage, writes in changed if writes and id(storage) not in self._counted]

    def has_drawn(self) -> bool:
        """Return whether one of Python's and NumPy's own random generators was used since."""
        _, words, *numpy = np.random.get_state()
        _, words_before, *numpy_before = self._numpy
        is_numpys = numpy != numpy_before or not np.array_equal(words, words_before)
        return is_numpys or random.getstate() != self._python


def _versions(tensors: Iterable[Tensor]) -> list[tuple[Storage, int]]:
    return [(tensor._storage, tensor._storage.version) for tensor in tensors]
