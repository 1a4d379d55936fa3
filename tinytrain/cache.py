"""Where what can be had again lies when no folder is named: downloads, and what was measured once."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder(name: str) -> Path:
    """Return the folder for what has that name, without making it.

    It lies in `TINYTRAIN_HOME` where that is set, else in the platform's cache folder: `XDG_CACHE_HOME` or
    `~/.cache`, on macOS `~/Library/Caches`, on Windows `LOCALAPPDATA`.
    """
    home = os.environ.get("TINYTRAIN_HOME")
    if home:
        return Path(home).expanduser() / name
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "tinytrain" / name
