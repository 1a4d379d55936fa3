"""Arguments that have passed an op's checks, remembered: checking takes small ops more time than computing."""

from __future__ import annotations

import marshal
from typing import Any

_MOST = 4096


class Checked(dict[Any, Any]):
    """What checks have found, by everything that they look at; forgotten when it becomes too much."""

    def keep(self, key: Any, found: Any) -> Any:
        """Remember what was found, unless the key is None, and return it."""
        if key is not None:
            if len(self) >= _MOST:
                self.clear()
            self[key] = found
        return found


def written(options: tuple[Any, ...]) -> bytes | None:
    """Return options so that 1, 1.0 and True are not the same; None where they are not all of Python's own types."""
    try:
        return marshal.dumps(options, 2)
    except ValueError:
        return None
