"""The same network in PyTorch: from torchvision where it has it, else layer by layer from ours.

Layers have PyTorch's names and arguments, so a twin is built by reading them off. A module with a `forward` of its own,
such as a residual block, becomes a module that runs the very code of that `forward`, with PyTorch's functions in place
of ours. Weights are carried over.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import tinytrain as tt
from tinytrain import nn

# torchvision registers ops with PyTorch when imported, which some builds cannot do; networks do not need them.
for _name in ("_meta_registrations", "_autograd_registrations"):
    sys.modules.setdefault(f"torchvision.{_name}", types.ModuleType(_name))

OF_TORCHVISION: dict[str, dict[str, Any]] = {
    "mobilenet_v2": {},
    "resnet18": {},
    "googlenet": {"aux_logits": False, "init_weights": False},
}
"""Networks taken from torchvision, with their options."""

OUTPUT_TOLERANCE, GRADIENT_TOLERANCE = 1e-3, 2e-2
"""Largest errors, root of the mean square, as a part of PyTorch's values: of logits by how they differ between images.
Gradients pass ReLUs, where a rounding error may switch a unit off."""


def twin_of(model: nn.Module, name: str = "") -> torch.nn.Module:
    """Return a PyTorch network with the layers and the weights of ours.

    Args:
        model: the network.
        name: its name where it may be one of torchvision's.
    """
    if name in OF_TORCHVISION:
        from torchvision import models

        twin = getattr(models, name)(weights=None, **OF_TORCHVISION[name])
    else:
        twin = _translate(model)
    twin.load_state_dict({key: torch.from_numpy(value.numpy().copy()) for key, value in model.state_dict().items()})
    return twin


def check_twins(ours: nn.Module, theirs: torch.nn.Module, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return the errors of logits in training and in evaluation, and of gradients, as parts of PyTorch's values.

    Both networks' normalisations have the batch's statistics afterwards: with those of a fresh network, the images of a
    deep one make no difference in evaluation.

    Args:
        ours: the network.
        theirs: its twin.
        x: images (n, c, h, w).
        y: class indices (n,).

    Raises:
        SystemExit: the two do not compute the same.
    """
    found, expected = (_results(library, model, x, y) for library, model in ((tt, ours), (torch, theirs)))
    errors = {key: _error(found[key], expected[key]) for key in expected}
    for key, error in errors.items():
        if not error <= (GRADIENT_TOLERANCE if key == "gradients" else OUTPUT_TOLERANCE):
            sys.exit(f"error: the two networks do not compute the same: {errors}")
    return errors


def _results(library: Any, model: Any, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Return what one step of a network gives, in either library."""
    library.manual_seed(0)  # dropout draws the same in both
    images, targets = library.from_numpy(x), library.from_numpy(y)
    norms = [module for module in model.modules() if type(module).__name__ == "BatchNorm2d"]
    for norm in norms:
        norm.momentum = 1.0
    logits = model.train()(images)
    library.nn.functional.cross_entropy(logits, targets).backward()
    found = {"training": logits.detach().numpy()}
    found["gradients"] = np.concatenate([w.grad.numpy().ravel() for w in model.parameters()])
    with library.no_grad():
        found["evaluation"] = model.eval()(images).numpy()
    for norm in norms:
        norm.momentum = 0.1
    model.zero_grad()
    model.train()
    return found


def _error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected - expected.mean(axis=0)))


def _translate(module: nn.Module) -> torch.nn.Module:
    """Return PyTorch's module of the same class name, or one that runs our `forward`; weights are not carried over."""
    theirs = getattr(torch.nn, type(module).__name__, None)
    if isinstance(module, nn.Sequential):
        return torch.nn.Sequential(*(_translate(child) for child in module))
    if theirs is not None and not any(True for _ in module.children()):
        return theirs(**_arguments(module, theirs))
    return _with_our_forward(module)


def _arguments(module: nn.Module, theirs: type) -> dict[str, Any]:
    """Return the arguments that a layer was made with, by the names of PyTorch's constructor."""
    names = [name for name in inspect.signature(theirs).parameters if name not in ("device", "dtype", "args", "kwargs")]
    found = {name: getattr(module, name) for name in names if hasattr(module, name)}
    if "bias" in found:
        found["bias"] = found["bias"] is not None
    return found


def _with_our_forward(module: nn.Module) -> torch.nn.Module:
    methods = {
        name: _with_torch_names(value)
        for base in reversed(type(module).__mro__)
        if base.__module__.startswith("tinytrain.") and base not in nn.Module.__mro__
        for name, value in vars(base).items()
        if inspect.isfunction(value) and name != "__init__"
    }
    twin = type(type(module).__name__, (torch.nn.Module,), methods)()
    for name, value in vars(module).items():
        if not name.startswith("_") and name != "training":
            setattr(twin, name, value)
    for name, child in module.named_children():
        twin.add_module(name, _translate(child))
    return twin


def _with_torch_names(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the same code in which the names of our library mean PyTorch's."""
    known = function.__globals__
    names = {name: value for name, value in known.items() if not name.startswith("__") or name == "__builtins__"}
    for name in function.__code__.co_names:
        value = names.get(name)
        if inspect.ismodule(value) and value.__name__.startswith("tinytrain"):
            names[name] = {"nn": torch.nn, "functional": torch.nn.functional}[value.__name__.rpartition(".")[2]]
        elif getattr(value, "__module__", "").startswith("tinytrain.ops"):
            names[name] = getattr(torch, name)
    return types.FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
