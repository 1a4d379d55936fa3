"""SIGINT and SIGTERM while a training runs: noted at once, acted on between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from tinytrain.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class AtOnce(Interrupted):
    """A second signal: the program stops wherever it is, and saves nothing."""


class Interruptions:
    """A context in which a signal waits for `check`, at the latest for the end; a second one does not.

    Outside the main thread, where Python gives no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruptions:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if error is None:
            self.check()

    def check(self) -> None:
        """Stop here if a signal came.

        Raises:
            Interrupted: one did.
        """
        if self.received is not None:
            raise Interrupted(self.received)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise AtOnce(number)
        self.received = number
