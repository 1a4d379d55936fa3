"""PyTorch and torchvision as oracles. torchvision's two registration modules are not needed and are left out,
for they break where torchvision was built for another release of PyTorch.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import numpy as np
import pytest

from tinytrain.tensor import Tensor, wrap

torch = pytest.importorskip("torch")


def import_torchvision(name: str = "torchvision") -> ModuleType:
    """Return torchvision or one of its modules; the test is skipped where it is not installed."""
    for registrations in ("torchvision._meta_registrations", "torchvision._autograd_registrations"):
        sys.modules.setdefault(registrations, ModuleType(registrations))
    pytest.importorskip("torchvision")
    return importlib.import_module(name)


def to_torch(tensor: Tensor) -> torch.Tensor:
    """Return a tensor's values as PyTorch's tensor."""
    return torch.from_numpy(np.ascontiguousarray(tensor.array))


def from_array(array: np.ndarray) -> tuple[Tensor, torch.Tensor]:
    """Return the same values as our tensor and as PyTorch's."""
    return wrap(array.copy()), torch.from_numpy(array.copy())
