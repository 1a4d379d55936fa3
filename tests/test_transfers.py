"""Copies to a GPU meet no memory that is still in use, in whatever order the streams get on.

The device here is a list of what each stream was asked to do, which a random order then does: what one stream must not
do before another one it waits for. It tells of a step that reads something else than its batch.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinytrain import transfers
from tinytrain.device import device as Place
from tinytrain.transfers import Uploads


class Event:
    def __init__(self, **options: Any):
        self.is_done = False
        self.device: Device | None = None

    def synchronize(self) -> None:
        assert self.device is not None
        while not self.is_done:
            self.device.advance()


class Stream:
    def __init__(self, device: Device):
        self.device = device
        self.work: list[Callable[[], bool]] = []
        self.freed: list[np.ndarray] = []
        device.streams.append(self)

    def ask(self, action: Callable[[], Any]) -> None:
        self.work.append(lambda: (action(), True)[1])

    def record(self, event: Event) -> Event:
        event.device = self.device
        self.ask(lambda: setattr(event, "is_done", True))
        return event

    def wait_event(self, event: Event) -> None:
        self.work.append(lambda: event.is_done)


class Device:
    """Does the work of its streams, one piece after the other of a stream chosen at random."""

    def __init__(self, seed: int):
        self.streams: list[Stream] = []
        self.main = Stream(self)
        self.chance = random.Random(seed)

    def advance(self) -> None:
        stream = self.chance.choice([each for each in self.streams if each.work])
        if stream.work[0]():
            stream.work.pop(0)

    def finish(self) -> None:
        while any(each.work for each in self.streams):
            self.advance()

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Hand out memory that was given back, as a pool does: at once, though the stream may still use it."""
        fitting = [each for each in self.main.freed if each.shape == shape]
        if not fitting:
            return Array(self, np.empty(shape, dtype))
        self.main.freed = [each for each in self.main.freed if each is not fitting[0]]
        return Array(self, fitting[0])


class Array:
    def __init__(self, device: Device, memory: np.ndarray):
        self.device, self.memory = device, memory
        self.shape, self.dtype, self.strides, self.ndim = memory.shape, memory.dtype, memory.strides, memory.ndim

    def transpose(self, axes: Any) -> Array:
        return self

    def set(self, values: np.ndarray, stream: Stream) -> None:
        stream.ask(lambda: np.copyto(self.memory, values))

    def give_back(self) -> None:
        self.device.main.freed.append(self.memory)


def uploads_to(device: Device, monkeypatch: pytest.MonkeyPatch) -> Uploads:
    cuda = SimpleNamespace(
        Device=lambda index: nullcontext(),
        Stream=lambda non_blocking: Stream(device),
        Event=Event,
        get_current_stream=lambda: device.main,
    )
    monkeypatch.setattr(transfers, "cupy", lambda: SimpleNamespace(cuda=cuda, empty=device.empty))
    monkeypatch.setattr(transfers, "pinned_empty", np.empty)
    return Uploads(Place("cuda", 0))


@pytest.mark.parametrize("accumulated", [1, 2, 3])
@pytest.mark.parametrize("seed", range(20))
def test_every_step_reads_its_own_batch(seed: int, accumulated: int, monkeypatch: pytest.MonkeyPatch):
    device = Device(seed)
    uploads = uploads_to(device, monkeypatch)
    read: list[int] = []
    for step in range(12):
        held = []
        for part in range(accumulated):
            number = step * accumulated + part
            held += uploads.upload([np.full(3 + (number % 5 == 4), number)])
        for each in held:
            device.main.ask(lambda memory=each.memory: read.append(int(memory[0])))
            each.give_back()
            other = device.empty((3,), int)  # what the step computes with, in memory that it was given back
            device.main.ask(lambda memory=other.memory: memory.fill(-1))
            other.give_back()
    device.finish()
    assert read == list(range(12 * accumulated))


def test_a_copy_goes_on_while_the_step_before_computes(monkeypatch: pytest.MonkeyPatch):
    device = Device(0)
    uploads = uploads_to(device, monkeypatch)
    for number in range(3):
        uploads.upload([np.full(3, number)])
    device.main.work.append(lambda: False)  # a step that does not end
    (last,) = uploads.upload([np.full(3, 3)])
    for _ in range(1000):
        device.advance()
    assert last.memory.tolist() == [3, 3, 3]
