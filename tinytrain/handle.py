"""What registering a hook returns."""

from __future__ import annotations

from typing import Any


class RemovableHandle:
    """What registering a hook returns.

    Args:
        hooks: the table that the hook was entered in.
        hook: what to call.
    """

    __slots__ = ("_hooks", "id")

    _next_id = 0

    def __init__(self, hooks: dict[int, Any], hook: Any):
        self.id = RemovableHandle._next_id
        RemovableHandle._next_id += 1
        self._hooks = hooks
        hooks[self.id] = hook

    def remove(self) -> None:
        """Take the hook out; a second call does nothing."""
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
