"""Train small image classifiers on an own tensor and autograd engine, with PyTorch's names.

`import tinytrain as tt` offers what `import torch` does. Names are loaded when they are first used, so that the
command line starts at once.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinytrain.namespace import *

__version__ = "0.1.0"

_SHADOWED = ("device", "tensor")
"""Names of files that are also names of a class and a function; the package shows the latter."""


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module 'tinytrain' has no attribute {name!r}")
    if name not in _SHADOWED and find_spec(f"tinytrain.{name}") is not None:
        return importlib.import_module(f"tinytrain.{name}")
    namespace = importlib.import_module("tinytrain.namespace")
    if name not in namespace.__all__:
        raise AttributeError(f"module 'tinytrain' has no attribute {name!r}")
    value = globals()[name] = getattr(namespace, name)
    return value


def __dir__() -> list[str]:
    namespace = importlib.import_module("tinytrain.namespace")
    return sorted({*globals(), *namespace.__all__})


class _Package(ModuleType):
    """The package as a module that does not let importing a file put it in the place of a shadowed name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _SHADOWED or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
