"""Batches on their way from the memory of the host to a GPU, while that still works on the one before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytrain.device import Array, cupy, device, is_pinned, like_in_memory, memory_order, pinned_empty

NUM_STAGES = 2
"""So many copies may be under way; the host waits before it makes one more."""


class Uploads:
    """Copies arrays to a GPU through pinned memory on a stream of its own; the current stream waits for each copy.

    Memory that the current stream is done with in its own order may still be in use when another stream writes to it.
    So the memory of a copy is taken one copy earlier, before the step that goes on meanwhile was launched, and the copy
    waits for what was launched until then, and for nothing else.

    Args:
        where: the GPU.
    """

    def __init__(self, where: device):
        self._device = cupy().cuda.Device(where.index or 0)
        with self._device:
            self._stream = cupy().cuda.Stream(non_blocking=True)
        self._count = 0
        self._stages: list[_Stage] = [_Stage() for _ in range(NUM_STAGES)]
        self._next: list[Array] = []
        self._is_free: Any = None

    def upload(self, arrays: Sequence[np.ndarray]) -> list[Array]:
        """Return arrays on the GPU, in the same order in memory, for use on the current stream.

        Args:
            arrays: in the memory of the host. Those in pinned memory must stay as they are for `NUM_STAGES` calls.
        """
        with self._device:
            current = cupy().cuda.get_current_stream()
            targets = self._next
            if [_look(each) for each in targets] != [_look(each) for each in arrays]:
                targets = self._take(arrays)
            stage = self._stages[self._count % NUM_STAGES]
            self._count += 1
            hosts = stage.hold(arrays)
            self._stream.wait_event(self._is_free)
            for target, host in zip(targets, hosts, strict=True):
                order = memory_order(target)
                target.transpose(order).set(host.transpose(order), stream=self._stream)
            stage.copied = _recorded(self._stream)
            self._next = self._take(arrays)
            current.wait_event(stage.copied)
            return targets

    def _take(self, arrays: Sequence[np.ndarray]) -> list[Array]:
        """Return memory for copies of arrays; what the current stream did with it is done when `_is_free` is."""
        taken = [like_in_memory(each, cupy().empty) for each in arrays]
        self._is_free = _recorded(cupy().cuda.get_current_stream())
        return taken


class _Stage:
    """Pinned memory for the arrays of one copy.

    Attributes:
        copied: when the GPU has read it.
    """

    def __init__(self) -> None:
        self._buffers: list[np.ndarray] = []
        self._held: list[np.ndarray] = []
        self.copied: Any = None

    def hold(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the arrays in pinned memory, without gaps, once the copy before is done with it."""
        if self.copied is not None:
            self.copied.synchronize()
        if [_look(each) for each in self._buffers] != [_look(each) for each in arrays]:
            self._buffers = [like_in_memory(each, pinned_empty) for each in arrays]
        self._held = []
        for buffer, array in zip(self._buffers, arrays, strict=True):
            if is_pinned(array) and array.strides == buffer.strides:
                self._held.append(array)
            else:
                np.copyto(buffer, array)
                self._held.append(buffer)
        return self._held


def _recorded(stream: Any) -> Any:
    """Return an event that comes when a stream is done with what it was asked until now."""
    return stream.record(cupy().cuda.Event(disable_timing=True))


def _look(array: Array) -> tuple[Any, ...]:
    return array.shape, memory_order(array), array.dtype
