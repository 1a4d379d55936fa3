"""The compiled kernels, where they are built and wanted."""

from __future__ import annotations

import functools
import importlib
import os
from types import ModuleType

EXTENSION: ModuleType | None
PROBLEM: str | None
"""Why there is no extension, with the remedy; None where there is one."""

try:
    EXTENSION, PROBLEM = importlib.import_module("tinytrain.kernels.native._native"), None
except ModuleNotFoundError:
    EXTENSION, PROBLEM = None, "not built: install again where there is a C++ compiler"
except ImportError as error:
    EXTENSION, PROBLEM = None, f"built, but cannot be loaded: {error}"


@functools.cache
def native() -> ModuleType | None:
    """Return the extension; None where it was not built, or where `TINYTRAIN_KERNELS=reference` keeps it out."""
    return None if os.environ.get("TINYTRAIN_KERNELS") == "reference" else EXTENSION
