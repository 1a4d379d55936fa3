"""Which layer the time of a training step goes to, told by hooks at the layers' borders."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tinytrain import nn
from tinytrain.device import device as Device
from tinytrain.device import synchronize
from tinytrain.tape import Node
from tinytrain.tensor import RemovableHandle, Tensor

FORWARD, BACKWARD = "forward", "backward"


@dataclass(frozen=True)
class Segment:
    """A stretch of time that one layer, or one part of the step, had for itself.

    Attributes:
        name: dotted name of the layer ("" for the network itself), or a name in parentheses.
        phase: `forward`, `backward`, or what else a step consists of.
        begin: seconds, of `time.perf_counter`.
        end: seconds.
    """

    name: str
    phase: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


class LayerClock:
    """Stops the time at the borders of all layers; a context manager that puts its hooks there and takes them away.

    At a border every value is computed: what would wait for its reader (`tinytrain.pending`) does not, so that each
    layer pays for itself, and a network takes longer than when nobody looks. What happens between the layers of a
    module, as a residual sum, is the module's own time. In backward a layer's time begins when the gradient of its
    output is computed, and ends when that of its input is.

    Args:
        model: the network.
        device: what it computes on; its work is waited for at every border.
    """

    def __init__(self, model: nn.Module, device: Device):
        self.passes: dict[str, int] = {}
        """Of the layers that ran: 1, and 1 more for each of weight and input gradient that is wanted."""
        self._model, self._device = model, device
        self._segments: list[Segment] = []
        self._names = {module: name for name, module in model.named_modules()}
        self._handles: list[RemovableHandle] = []
        self._running: list[str] = []
        self._marked: set[Node] = set()
        self._current: tuple[str, str] | None = None
        self._since = 0.0

    def __enter__(self) -> LayerClock:
        for module in self._names:
            self._handles.append(module.register_forward_pre_hook(self._before))
            self._handles.append(module.register_forward_hook(self._after))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        for handle in self._handles:
            handle.remove()
        self._marked.clear()

    def switch(self, name: str, phase: str) -> None:
        """Say that from now on the time is another's."""
        self.stop()
        self._current = name, phase

    def stop(self) -> None:
        """Say that from now on the time is nobody's."""
        synchronize(self._device)
        now = time.perf_counter()
        if self._current is not None:
            self._segments.append(Segment(*self._current, self._since, now))
        self._current, self._since = None, now

    def take(self) -> list[Segment]:
        """Stop, and return the segments since the last time."""
        self.stop()
        segments, self._segments = self._segments, []
        return segments

    def watch_gradients(self, parameters: list[Tensor], then: Callable[[], None]) -> None:
        """Call `then` whenever a backward has brought the gradients of all these leaves."""
        missing = set(parameters)

        def note(parameter: Tensor) -> None:
            missing.discard(parameter)
            if not missing:
                missing.update(parameters)
                self._marked.clear()
                then()

        self._handles += [each.register_post_accumulate_grad_hook(note) for each in parameters]

    def _before(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        name = self._names[module]
        inputs = list(_tensors_in(args))
        for each in inputs:
            _ = each.array  # computed at whose cost it is: the enclosing module's
            self._mark(each, self._running[-1] if self._running else name)
        is_trained = any(parameter.requires_grad for parameter in module.parameters(recurse=False))
        self.passes[name] = 1 + is_trained + any(each.requires_grad for each in inputs)
        self._running.append(name)
        self.switch(name, FORWARD)

    def _after(self, module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        name = self._running.pop()
        for each in _tensors_in(output):
            _ = each.array
            self._mark(each, name)
        self.switch(self._running[-1] if self._running else name, FORWARD)

    def _mark(self, tensor: Tensor, name: str) -> None:
        """Have the time be that of `name` once the gradient of a result is computed; who comes first has it."""
        node = tensor.grad_fn
        if node is not None and node not in self._marked:
            self._marked.add(node)
            tensor.register_hook(lambda _: self.switch(name, BACKWARD))


def _tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of a module's arguments or results."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _tensors_in(each)
