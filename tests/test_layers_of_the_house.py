"""The house stands as drawn: imports point down only, and the command line starts without arrays."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "tinytrain"

# From the top floor down. The packages of one floor do not know each other; those joined in one set are
# one thing in several files. Whoever adds a package to tinytrain gives it a place here.
FLOORS: list[list[set[str]]] = [
    [{"cli"}],
    [{"sweep"}],
    [{"config"}],
    [{"training"}, {"report"}, {"export"}],
    [{"inspection"}],  # the summary of a run tells its parameters and multiply-adds
    [{"models"}],  # a model knows its public weights
    [{"weights"}, {"datasets"}],
    [{"transforms"}, {"utils"}, {"amp"}],
    [{"nn"}, {"optim"}, {"linalg"}, {"cuda"}],
    [{"ops"}],
    [{"generator"}],
    [
        {"kernels"},
        {"autograd", "handle", "printing", "recording", "size", "tape", "tensor", "tensor_values"},
        {"accelerator"},
    ],
    [{"pending"}],
    [
        {"capturing", "transfers", "device", "dtypes", "random_streams", "bits", "sums", "threads", "memory"},
        {"cache"},
    ],
    [{"pickles"}, {"untrusted"}],
    [{"gpu_problems"}],
    [{"errors", "registry"}, {"ranges"}],
]
FLOOR = {name: i for i, floor in enumerate(FLOORS) for group in floor for name in group}
GROUP = {name: frozenset(group) for floor in FLOORS for group in floor for name in group}
DOORS = {"__init__", "__main__", "namespace"}  # the front doors show every floor

MODULES = sorted(PACKAGE.rglob("*.py"))


def top_level_name(path: Path) -> str:
    """Return the package or module of the house that a file belongs to: `nn` for nn/modules/conv.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@functools.cache
def imported_modules(path: Path) -> list[tuple[int, str]]:
    """Return (line, absolute dotted name) of everything a file imports, inside functions too."""
    return list(_imported_modules(path))


def _imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    package = [PACKAGE.name, *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == PACKAGE.name:
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, module


def test_every_package_has_its_floor():
    assert {top_level_name(path) for path in MODULES} - DOORS <= FLOOR.keys()


def test_imports_point_down_only():
    upward = []
    for path in MODULES:
        here = top_level_name(path)
        if here in DOORS:
            continue
        for line, module in imported_modules(path):
            parts = module.split(".")
            if parts[0] != PACKAGE.name or len(parts) == 1:
                continue
            there = parts[1]
            if there == "__version__":
                continue
            is_below = there in FLOOR and FLOOR[there] > FLOOR[here]
            if there not in GROUP[here] and not is_below:
                upward.append(f"tinytrain/{path.relative_to(PACKAGE)}:{line} imports {module}")
    assert not upward, "\n".join(upward)


def test_only_device_imports_cupy():
    importers = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        for _, module in imported_modules(path)
        if module.split(".")[0] in {"cupy", "cupyx"}
    }
    assert importers == {"device.py"}


def test_nothing_imports_torch():
    importers = [
        str(path)
        for path in MODULES
        for _, module in imported_modules(path)
        if module.split(".")[0] in {"torch", "torchvision"}
    ]
    assert importers == []


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], ["numpy", "cupy", "pydantic", "rich", "matplotlib", "PIL", "yaml"]),
        (["train", "--help"], ["numpy", "cupy", "rich", "matplotlib", "PIL", "yaml"]),  # Typer reads with pydantic
    ],
)
def test_the_command_line_starts_without_arrays(arguments: list[str], heavy: list[str]):
    script = (
        "import sys\n"
        "from tinytrain.cli.main import main\n"
        f"sys.argv = ['tinytrain', *{arguments!r}]\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        f"    print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.stderr.strip() == "[]"
    assert result.returncode == 0
