"""Batches through shared memory: one pickle stream, and the arrays' bytes beside it, in one segment.

Pickle's protocol 5 hands out the memory of every array instead of copying it into the stream, so any structure that
a collate function returns travels at the cost of one copy in and one copy out.
"""

from __future__ import annotations

import io
import pickle
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np

from tinytrain.tensor import Tensor, wrap

_ALIGNMENT = 64  # bytes; a cache line

Spans = list[tuple[int, int]]


class Outbox:
    """A named segment of one worker that grows to the largest batch it has carried.

    Args:
        name: of the segment; a larger successor is called `name` with a higher number at the end.
    """

    def __init__(self, name: str):
        self._name = name
        self._generation = 0
        self._segment: SharedMemory | None = None

    def put(self, obj: Any) -> tuple[str, Spans]:
        """Write an object; return the segment's name and the spans (offset, bytes) of the stream and the buffers.

        Raises:
            OSError: there is no memory for the segment.
        """
        buffers: list[pickle.PickleBuffer] = []
        stream = io.BytesIO()
        _Pickler(stream, protocol=5, buffer_callback=buffers.append).dump(obj)
        parts = [stream.getbuffer(), *(buffer.raw() for buffer in buffers)]
        spans, end = [], 0
        for part in parts:
            spans.append((end, part.nbytes))
            end += -(-part.nbytes // _ALIGNMENT) * _ALIGNMENT
        segment = self._segment_of(end)
        memory = segment.buf
        assert memory is not None
        for part, (offset, size) in zip(parts, spans, strict=True):
            memory[offset : offset + size] = part
        return segment.name, spans

    def unlink(self) -> None:
        """Remove the segment from the system; who has it open keeps it."""
        if self._segment is not None:
            self._segment.close()
            self._segment.unlink()
            self._segment = None

    def _segment_of(self, size: int) -> SharedMemory:
        if self._segment is None or self._segment.size < size:
            self.unlink()
            self._generation += 1
            self._segment = SharedMemory(f"{self._name}.{self._generation}", create=True, size=max(size, 1))
        return self._segment


class Inbox:
    """The reading end of an `Outbox` in another process.

    Args:
        name: the Outbox's.
    """

    def __init__(self, name: str):
        self._name = name
        self._generation = 0
        self._segment: SharedMemory | None = None

    def get(self, name: str, spans: Spans) -> Any:
        """Return a copy of the object written."""
        if self._segment is None or self._segment.name != name:
            if self._segment is not None:
                self._segment.close()
            self._segment = SharedMemory(name)
            self._generation = int(name.rpartition(".")[2])
        memory = self._segment.buf
        assert memory is not None
        (offset, size), *others = spans
        # NumPy asks the system for huge pages for its arrays: fewer faults on fresh memory.
        buffers = [np.array(memory[start : start + length]) for start, length in others]
        return pickle.loads(memory[offset : offset + size], buffers=buffers)

    def unlink(self) -> None:
        """Remove what the other end left: the segment read last, or a successor that was never announced."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None
        for generation in (self._generation, self._generation + 1):
            try:
                segment = SharedMemory(f"{self._name}.{generation}")
            except FileNotFoundError:
                continue
            segment.close()
            segment.unlink()


class _Pickler(pickle.Pickler):
    """Hands out the memory of dense arrays in any order of axes; NumPy does so for row- and column-major ones."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is Tensor:
            return _tensor, (*_dense(obj.array), obj.requires_grad)
        if type(obj) is np.ndarray and not (obj.flags.c_contiguous or obj.flags.f_contiguous):
            return _array, _dense(obj)
        return NotImplemented


def _dense(array: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return a row-major array and the order of axes that makes it `array`; a view where the memory is dense."""
    order = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    return np.ascontiguousarray(array.transpose(order)), tuple(np.argsort(order).tolist())


def _array(values: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    return values.transpose(order)


def _tensor(values: np.ndarray, order: tuple[int, ...], requires_grad: bool) -> Tensor:
    tensor = wrap(values.transpose(order))
    return tensor.requires_grad_() if requires_grad else tensor
