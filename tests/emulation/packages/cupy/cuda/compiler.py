"""Errors of the run-time compiler."""

from __future__ import annotations

from typing import Any


class CompileException(Exception):
    """The compiler refused the source."""

    def __init__(self, msg: str, source: str, name: str, options: Any, backend: str = "nvrtc"):
        super().__init__(msg)
        self._msg, self.source, self.name, self.options, self.backend = msg, source, name, options, backend

    def __str__(self) -> str:
        return self._msg

    def get_message(self) -> str:
        return self._msg
