"""The compiled kernels, where they are built and wanted."""

from __future__ import annotations

import functools
import importlib
import os
from types import ModuleType


@functools.cache
def native() -> ModuleType | None:
    """Return the extension; None where it was not built, or where `TINYTRAIN_KERNELS=reference` keeps it out."""
    choice = os.environ.get("TINYTRAIN_KERNELS", "auto")
    if choice == "reference":
        return None
    try:
        extension = importlib.import_module("tinytrain.kernels.native._native")
    except ImportError:
        return None
    found = extension.instruction_sets()
    extension.use(choice if choice in found else found[0])
    return extension
