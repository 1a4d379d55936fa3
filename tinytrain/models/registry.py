"""The table of architectures."""

from __future__ import annotations

from collections.abc import Callable

from tinytrain.nn import Module
from tinytrain.registry import Registry

MODELS: Registry[Callable[..., Module]] = Registry("model")
"""Name -> builder. Builders take `num_classes`, `in_channels` and options of their own, all by keyword."""
