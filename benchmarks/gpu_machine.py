"""What machine this is, and what its GPU can do at best."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytrain.cli.doctor import examine
from tinytrain.device import cuda_problem, cupy

if TYPE_CHECKING:
    from gpu import Part

COPIED = 1 << 30  # bytes, many times what the caches hold
SIDE = 8192  # of the matrices
QUERIES = "name,driver_version,clocks.max.sm,clocks.max.mem,power.limit,clocks.sm,temperature.gpu,persistence_mode"


def describe_machine(part: Part, output: Path) -> None:
    """Write down versions, the properties of the device, and cuDNN's description of it.

    Args:
        part: gets the rows.
        output: folder that gets `device.json` and `cudnn-device.json`; plans can be tested with the latter where
            there is no GPU.
    """
    for section, content in examine().items():
        if isinstance(content, dict):
            for key, value in content.items():
                part.add(section, key=key, what=key, value=str(value))
        else:
            for each in content:
                part.add(section, what=each["set"], value=each["reason"])
    if shutil.which("nvidia-smi"):
        asked = ["nvidia-smi", f"--query-gpu={QUERIES}", "--format=csv,noheader"]
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)
        part.add("nvidia-smi", what=QUERIES, value=(answer.stdout or answer.stderr).strip())
    for name in ("torch", "torchvision", "triton", "ml_dtypes"):
        try:
            value = metadata.version(name)
        except metadata.PackageNotFoundError:
            value = "not installed"
        part.add("versions", key=name, what=name, value=value)
    problem = cuda_problem()
    if problem is not None:
        raise SystemExit(f"error: {problem}")
    properties = {key: _plain(value) for key, value in cupy().cuda.runtime.getDeviceProperties(0).items()}
    (output / "device.json").write_text(json.dumps(properties, indent=1) + "\n", encoding="utf-8")
    part.add("device", properties=properties, what="properties", value="device.json")
    try:
        description = importlib.import_module("cudnn").create_device_properties(0).serialize()
    except Exception as error:  # whatever the library raises where it does not start; the visit goes on
        part.add("device", what="cuDNN's description", value=f"none: {type(error).__name__}: {error}")
        return
    text = description if isinstance(description, str) else json.dumps(_plain(description))
    (output / "cudnn-device.json").write_text(text + "\n", encoding="utf-8")
    part.add("device", description=text, what="cuDNN's description", value="cudnn-device.json")


def measure_machine(part: Part, *, smoke: bool) -> None:
    """Measure a copy in the GPU's memory, and matrix products by type."""
    xp = cupy()
    size, side = (1 << 16, 64) if smoke else (COPIED, SIDE)
    source = xp.ones(size // 4, xp.float32)
    target = xp.empty_like(source)

    def copy() -> None:
        target[...] = source

    part.add("limits", key="copy", what="copy", GB_per_s=2 * size / best_seconds(copy) / 1e9)
    for name, make in _types().items():
        a = make(side)
        product = xp.empty_like(a)
        try:
            seconds = best_seconds(lambda a=a, product=product: xp.matmul(a, a, out=product))
        except (RuntimeError, TypeError, ValueError) as error:
            part.add("limits", key=name, what=f"product, {name}", reason=f"{type(error).__name__}: {error}")
            continue
        part.add("limits", key=name, what=f"product, {name}", TFLOP_per_s=2 * side**3 / seconds / 1e12)
    _measure_torch(part, side)


def _measure_torch(part: Part, side: int) -> None:
    """Measure PyTorch's matrix products, which know TF32 too, where it is there with a GPU."""
    try:
        import torch
    except ImportError:
        return
    if not torch.cuda.is_available():
        return
    for name in ("float32", "tf32", "float16", "bfloat16"):
        torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
        a = torch.ones(side, side, dtype=getattr(torch, name, torch.float32), device="cuda")
        seconds = best_seconds(lambda a=a: a @ a)
        what = f"product of PyTorch's, {name}"
        part.add("limits", key=what, what=what, TFLOP_per_s=2 * side**3 / seconds / 1e12)


def best_seconds(work: Callable[[], Any], *, rounds: int = 7, times: int = 5) -> float:
    """Return the shortest time of some work on the GPU, by CUDA's clock, after a first time that does not count."""
    xp = cupy()
    work()
    found = []
    for _ in range(rounds):
        begin, end = xp.cuda.Event(), xp.cuda.Event()
        begin.record()
        for _ in range(times):
            work()
        end.record()
        end.synchronize()
        found.append(xp.cuda.get_elapsed_time(begin, end) / times / 1e3)
    return max(min(found), 1e-9)


def _types() -> dict[str, Callable[[int], Any]]:
    """Return what makes a square matrix, by the name of its type."""
    xp = cupy()
    found: dict[str, Callable[[int], Any]] = {
        name: lambda side, name=name: xp.ones((side, side), name) for name in ("float32", "float16")
    }
    try:
        bfloat16 = np.dtype(importlib.import_module("ml_dtypes").bfloat16)
    except ImportError:
        return found
    return {**found, "bfloat16": lambda side: xp.ones((side, side), np.float32).astype(bfloat16)}


def _plain(value: Any) -> Any:
    """Return a value of CUDA's as JSON knows it."""
    if isinstance(value, bytes):
        return value.rstrip(b"\0").decode("utf-8", "replace")
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if isinstance(value, (int, float, str, bool, type(None))) else str(value)
