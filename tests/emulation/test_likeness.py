"""The stand-in for CuPy has no name and no keyword that CuPy lacks; checked where the real package is installed."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PACKAGES = Path(__file__).parent / "packages"
MODULES = [
    "cupy",
    "cupy.cuda",
    "cupy.cuda.runtime",
    "cupy.cuda.memory",
    "cupy.cuda.compiler",
    "cupy.cuda.pinned_memory",
]
MODULES += ["cupy.cuda.device", "cupy.cuda.stream", "cupy.cuda.graph", "cupy.cuda.nvrtc", "cupy.linalg"]
MODULES += ["cupy.lib.stride_tricks", "cupy.exceptions"]
CLASSES = ["cupy.ndarray", "cupy.ufunc", "cupy.RawModule", "cupy.RawKernel", "cupy.cuda.Stream", "cupy.cuda.Event"]
CLASSES += ["cupy.cuda.Device", "cupy.cuda.MemoryPool", "cupy.cuda.MemoryPointer", "cupy.cuda.UnownedMemory"]
CLASSES += ["cupy.cuda.Graph", "cupy.cuda.PinnedMemoryPool"]
MORE_GENERAL = {"cupy.ndarray.view", "cupy.ndarray.real"}

DESCRIBE = """
import importlib, inspect, json, sys, types
modules, classes = json.loads(sys.argv[1])
result = {}
for name in modules:
    module = importlib.import_module(name)
    for each in dir(module):
        value = getattr(module, each)
        ours = getattr(value, "__module__", "").startswith("cupy") and not isinstance(value, types.ModuleType)
        if not each.startswith("_") and (ours or isinstance(value, (int, float))) and each != "annotations":
            keywords = None
            if inspect.isfunction(value):
                keywords = list(inspect.signature(value).parameters)
            result[f"{name}.{each}"] = keywords
for name in classes:
    module, _, cls = name.rpartition(".")
    cls = getattr(importlib.import_module(module), cls)
    for each in dir(cls):
        value = inspect.getattr_static(cls, each)
        if not each.startswith("_"):
            keywords = list(inspect.signature(value).parameters)[1:] if inspect.isfunction(value) else None
            result[f"{name}.{each}"] = keywords
print(json.dumps(result))
"""


def is_real_cupy_here() -> bool:
    spec = importlib.util.find_spec("cupy")
    return spec is not None and PACKAGES not in Path(spec.origin or "").parents


def names_of_the_stand_in() -> dict[str, list[str] | None]:
    environment = {**os.environ, "PYTHONPATH": f"{PACKAGES}{os.pathsep}{PACKAGES.parent.parent.parent}"}
    command = [sys.executable, "-c", DESCRIBE, json.dumps([MODULES, CLASSES])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def keywords_of(value: Any) -> set[str] | None:
    """Return the parameters of a function of CuPy, from its signature or the first line of its documentation."""
    try:
        parameters = inspect.signature(value).parameters
        if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
            return None
        return set(parameters)
    except (TypeError, ValueError):
        first = (getattr(value, "__doc__", None) or "").strip().split("\n")[0]
        match = re.match(r"\w+\.?\w*\((.*)\)", first)
        if match is None:
            return None
        return {re.split(r"[=:]", each)[0].strip().split(" ")[-1].lstrip("*") for each in match[1].split(",")}


@pytest.mark.skipif(not is_real_cupy_here(), reason="the real CuPy is not installed here")
def test_the_stand_in_has_no_name_or_keyword_that_cupy_lacks():
    wrong = []
    for name, keywords in names_of_the_stand_in().items():
        place, _, attribute = name.rpartition(".")
        try:
            owner: Any = importlib.import_module(place)
        except ImportError:
            module, _, cls = place.rpartition(".")
            owner = getattr(importlib.import_module(module), cls)
        if not hasattr(owner, attribute):
            wrong.append(name)
            continue
        real = keywords_of(getattr(owner, attribute))
        if keywords is not None and real is not None and name not in MORE_GENERAL and set(keywords) - real - {"self"}:
            wrong.append(f"{name}({', '.join(sorted(set(keywords) - real))})")
    assert wrong == []
