"""Recorded work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cupy import _capture


class Graph:
    """What a stream recorded between `begin_capture` and `end_capture`."""

    def __init__(self, *args: Any, **kwargs: Any):
        raise NotImplementedError("a graph cannot be made but by capturing a stream")

    @classmethod
    def _of(cls, recorded: list[Callable[[], Any]]) -> Graph:
        graph = cls.__new__(cls)
        graph._recorded = recorded
        return graph

    def launch(self, stream: Any = None) -> None:
        _capture.forbid()
        for work in self._recorded:
            work()

    def upload(self, stream: Any = None) -> None:
        pass
