"""`tinytrain doctor`: versions, devices, and which kernels are in use and why; or what a weights file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tinytrain.cli.output import JsonOption, print_json, print_table

DEPENDENCIES = (
    "numpy",
    "pillow",
    "pyyaml",
    "typer",
    "rich",
    "pydantic",
    "safetensors",
    "matplotlib",
    "pooch",
    "threadpoolctl",
)
OPTIONAL = ("cupy-cuda12x", "cupy-cuda13x", "onnx", "onnxruntime", "optuna", "tensorboard", "mlflow", "wandb")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TINYTRAIN_KERNELS")


def doctor(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A weights file, or a run: what it holds instead.")
    ] = None,
    tensors_only: Annotated[
        bool, typer.Option("--tensors-only", help="Let a pickle mention, but not call, names beside its tensors.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Print versions, devices and the kernels in use; or what is in a weights file."""
    if file is not None:
        _describe(file, tensors_only, json)
        return
    findings = examine()
    if json:
        print_json(findings)
        return
    for section, content in findings.items():
        print(section)
        if section == "kernels":
            print_table([(each["set"], each["reason"], ", ".join(each["kernels"])) for each in content], indent=2)
        else:
            print_table([(key, _shown(value)) for key, value in content.items()], indent=2)


def examine() -> dict[str, Any]:
    """Return what `doctor` reports, by section."""
    import os
    import sys

    from tinytrain.cache import cache_folder
    from tinytrain.inspection.gpu import gpu_report
    from tinytrain.kernels import kernels_in_use

    return {
        "versions": versions(),
        "machine": machine(),
        "devices": _devices(),
        "gpu": gpu_report(),
        "threads": {**_blas(), **{name: os.environ.get(name) for name in THREAD_VARIABLES}},
        "kernels": kernels_in_use(),
        "places": {"python": sys.executable, "datasets": str(cache_folder("datasets"))},
    }


def _describe(file: Path, tensors_only: bool, json: bool) -> None:
    """Print what a weights file holds; nothing in it is executed."""
    from tinytrain.weights import describe

    found = describe(file, tensors_only=tensors_only)
    if json:
        print_json(found)
        return
    tensors = found["tensors"]
    typer.echo(f"{found['path']}: {found['format']}, {found['bytes']} bytes")
    typer.echo(f"tensors: {len(tensors)}, with {found['num_elements']} elements")
    if tensors:
        print_table([(each["name"], each["dtype"], str(tuple(each["shape"]))) for each in tensors], indent=2)
    if found["entries"]:
        typer.echo(f"other entries: {len(found['entries'])}")
        print_table([(each["name"], each["type"], each["value"]) for each in found["entries"]], indent=2)
    for name in found["ignored"]:
        typer.echo(f"ignored: {name}, which is named but stands for nothing here")
    for note in found["notes"]:
        typer.echo(f"note: {note}")


def machine() -> dict[str, Any]:
    """Return the system, the processor and its cores."""
    import os
    import platform

    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def versions() -> dict[str, str | None]:
    """Return the versions of the program, of Python and of what it stands on; None for what is not installed."""
    import platform

    from tinytrain import __version__

    return {
        "tinytrain": __version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in (*DEPENDENCIES, *OPTIONAL)},
    }


def _version(distribution: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """Return the processor's name; Linux tells it in a file only."""
    import platform
    from pathlib import Path

    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _devices() -> dict[str, str]:
    """Return each device with what is to be said of it; an unusable GPU with the reason."""
    from tinytrain.device import cuda_device_count, cuda_problem

    problem = cuda_problem()
    if problem is not None:
        return {"cpu": "usable", "cuda": f"not usable: {problem}"}
    return {"cpu": "usable", **{f"cuda:{i}": "usable" for i in range(cuda_device_count())}}


def _blas() -> dict[str, str]:
    """Return the name and version of the BLAS that NumPy was built with."""
    import numpy as np

    built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[index]
    return {"blas": f"{built['name']} {built.get('version', '')}".strip()}


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)
