"""Compiles CUDA C++ with the host's compiler and runs its kernels on the CPU, block after block.

`compile_source(...)` gives a `Library`; its kernels are launched with a grid, a block and a list of arguments as in
CUDA. What is compiled is kept in a temporary folder, by a hash of all that it was made of.

Environment:
    CXX: the compiler, `g++` by default.
    TINYTRAIN_EMULATION_ORDER: `backwards` runs blocks and threads from the last to the first; a kernel whose result
        changes has a race.
    TINYTRAIN_EMULATION_CACHE: the folder of what was compiled.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

INCLUDE = Path(__file__).parent / "include"
_FLAGS = (
    *("-x", "c++", "-std=c++17", "-O2", "-fPIC", "-w", "-march=native", "-ffp-contract=fast", "-fno-strict-aliasing"),
    *("-fno-finite-math-only", "-fno-exceptions", "-fsanitize=alignment,bounds,integer-divide-by-zero"),
    *("-fno-sanitize-recover=all", "-include", str(INCLUDE / "cuda_shim.h")),
)
_IGNORED = re.compile(
    r"-{1,2}(std|use_fast_math|gpu-architecture|arch|fmad|ftz|prec-div|prec-sqrt|maxrregcount|lineinfo)\b"
)
_DYNAMIC_SHARED = re.compile(
    r"extern\s+__shared__\s+((?:__align__\s*\(\s*\d+\s*\)|alignas\s*\(\s*\d+\s*\))\s*)?([\w:\s<>]+?)\s*(\w+)\s*\[\s*\]\s*;"
)
_KERNEL = re.compile(r"__attribute__\(\(noinline, used\)\)\s*(?:__attribute__\(\(\w+\)\)\s*)*void\s+(\w+)\s*\(")


class CompileError(Exception):
    """The host's compiler refused the source; the message is what it said."""


class LaunchError(Exception):
    """A kernel did something that a GPU would fault on, or that has no defined result."""


def compile_source(source: str, options: Sequence[str] = (), names: Iterable[str] = ()) -> Library:
    """Compile CUDA C++ for the host.

    Args:
        source: the text of a `.cu` file.
        options: NVRTC's: `-DNAME=value` and `-I folder` are heeded, those on code generation are not.
        names: expressions such as `scale<float>` that name kernels; kernels that are no templates need not be named.

    Raises:
        CompileError: with the compiler's words.
        ValueError: an option that is unknown here.
    """
    return _compile(source, tuple(options), tuple(names))


class Library:
    """The kernels of one compiled source."""

    def __init__(self, path: Path, symbols: dict[str, str]):
        self._library = ctypes.PyDLL(str(path))  # PyDLL keeps Python's lock: the scheduler is one for all threads
        self._symbols = symbols

    @property
    def names(self) -> list[str]:
        """The kernels' names and name expressions."""
        return list(self._symbols)

    def kernel(self, name: str) -> Kernel:
        """Return a kernel by its name or name expression.

        Raises:
            KeyError: there is none.
        """
        return Kernel(name, self._library, self._symbols[name])


class Kernel:
    """A kernel that can be launched."""

    def __init__(self, name: str, library: ctypes.PyDLL, symbol: str):
        self.name = name
        describe = getattr(library, f"{symbol}_signature")
        describe.restype = ctypes.c_char_p
        self.signature: list[str] = describe().decode().split()
        self._launch = getattr(library, symbol)
        self._launch.restype = ctypes.c_char_p

    def __call__(
        self, grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any], shared_bytes: int = 0
    ) -> None:
        """Run the kernel over a grid, to its end.

        Args:
            grid: blocks in x, y, z.
            block: threads of a block in x, y, z.
            arguments: NumPy arrays (their memory), NumPy scalars (of the parameter's size), Python ints and bytes.
            shared_bytes: dynamic shared memory of a block.

        Raises:
            LaunchError: what a GPU would not do, or not do reliably.
        """
        grid, block = _three(grid), _three(block)
        if not all(grid) or grid[0] > 2**31 - 1 or max(grid[1:]) > 65535:
            raise LaunchError(f"{self.name}: no grid can have {grid} blocks")
        if not all(block) or block[0] * block[1] * block[2] > 1024 or block[2] > 64:
            raise LaunchError(f"{self.name}: no block can have {block} threads")
        if len(arguments) != len(self.signature):
            raise LaunchError(f"{self.name} takes {len(self.signature)} arguments; got {len(arguments)}")
        cells = [_cell(self.name, i, each, self.signature[i]) for i, each in enumerate(arguments)]
        pointers = (ctypes.c_void_p * max(len(cells), 1))(*[ctypes.addressof(each) for each in cells])
        backwards = os.environ.get("TINYTRAIN_EMULATION_ORDER") == "backwards"
        problem = self._launch(
            (ctypes.c_uint * 3)(*grid),
            (ctypes.c_uint * 3)(*block),
            ctypes.c_size_t(shared_bytes),
            pointers,
            int(backwards),
        )
        if problem:
            raise LaunchError(f"{self.name}: {problem.decode()}")


def _three(sizes: Sequence[int]) -> tuple[int, int, int]:
    x, y, z = (*(int(each) for each in sizes), 1, 1)[:3]
    return x, y, z


def _cell(name: str, position: int, value: Any, parameter: str) -> Any:
    """Return the memory that a parameter is read from, checked against the parameter's kind and size."""
    kind, size = parameter[0], int(parameter[1:])
    if isinstance(value, np.ndarray):
        data, given = value.ctypes.data.to_bytes(8, "little"), "p"
    elif isinstance(value, np.generic):
        data, given = value.tobytes(), {"f": "f", "i": "i", "u": "i", "b": "i"}.get(value.dtype.kind, "s")
    elif isinstance(value, bool):
        data, given = bytes([value]), "i"
    elif isinstance(value, int):
        data, given = value.to_bytes(8, "little", signed=value < 0), "i"
        if kind == "i" and size < 8 and -(2 ** (8 * size - 1)) <= value < 2 ** (8 * size):
            data = data[:size]  # little-endian: the kernel reads the low bytes
    elif isinstance(value, float):
        data, given = np.float64(value).tobytes(), "f"
    elif isinstance(value, bytes):
        data, given = value, "s"
    else:
        raise TypeError(f"{name}: argument {position} is a {type(value).__name__}")
    fits = given == kind or kind == "s" or given == "s" or (given == "i" and kind == "p")
    if len(data) != size or not fits:
        raise LaunchError(
            f"{name}: argument {position} is {value!r} of {len(data)} bytes; the parameter is {parameter}"
        )
    return (ctypes.c_char * max(size, 16)).from_buffer_copy(data.ljust(max(size, 16), b"\0"))


@functools.cache
def _compile(source: str, options: tuple[str, ...], names: tuple[str, ...]) -> Library:
    folders, defines = _read_options(options)
    headers = [(folder, path) for folder in folders for path in sorted(folder.rglob("*.*h")) if path.is_file()]
    digest = hashlib.sha256()
    for text in (source, *defines, *names, *_FLAGS, _compiler()):
        digest.update(text.encode() + b"\0")
    for path in [path for _, path in headers] + sorted(INCLUDE.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    folder = _cache_folder() / digest.hexdigest()[:32]
    library, index = folder / "kernels.so", folder / "names.txt"
    if not library.exists():
        _build(source, defines, names, folders, headers, folder)
    symbols = dict(line.split("\t") for line in index.read_text().splitlines())
    return Library(library, symbols)


def _build(
    source: str,
    defines: list[str],
    names: tuple[str, ...],
    folders: list[Path],
    headers: list[tuple[Path, Path]],
    target: Path,
) -> None:
    """Compile into the folder `target`; another process may do the same meanwhile."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        place = Path(temporary)
        for root, path in headers:
            copy = place / f"include{folders.index(root)}" / path.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(f'#line 1 "{path}"\n{_with_dynamic_shared(path.read_text())}')
        includes = [f"-I{place / f'include{i}'}" for i in range(len(folders))] + [f"-I{INCLUDE}"]
        flags = [*_FLAGS, *defines, *includes]
        main = place / "kernels.cu"
        main.write_text(f'#line 1 "kernels.cu"\n{_with_dynamic_shared(source)}')
        expanded = _run([_compiler(), *flags, "-E", "-P", str(main)])
        found = dict.fromkeys([*names, *_plain_kernels(expanded)])
        symbols = {name: f"tinytrain_kernel_{i}" for i, name in enumerate(found)}
        with main.open("a") as file:
            file.writelines(f"\nTINYTRAIN_KERNEL({symbol}, {name})" for name, symbol in symbols.items())
        unit, library = place / "kernels.o", place / "kernels.so"
        _run([_compiler(), *flags, "-c", str(main), "-o", str(unit)])
        _run([_compiler(), "-shared", str(unit), "-o", str(library)])
        (place / "names.txt").write_text("".join(f"{name}\t{symbol}\n" for name, symbol in symbols.items()))
        target.mkdir(exist_ok=True)
        os.replace(place / "names.txt", target / "names.txt")
        os.replace(library, target / "kernels.so")


def _with_dynamic_shared(text: str) -> str:
    """Return the source with arrays of dynamic shared memory pointing at the emulated block's."""
    return _DYNAMIC_SHARED.sub(r"\2* const \3 = reinterpret_cast<\2*>(emulation::dynamic_shared);", text)


def _plain_kernels(expanded: str) -> list[str]:
    """Return the kernels of a preprocessed source that are no templates."""
    names = []
    for match in _KERNEL.finditer(expanded):
        before = expanded[: match.start()]
        declaration = before[max(before.rfind(each) for each in ";}{") + 1 :]
        if "template" not in declaration:
            names.append(match[1])
    return names


def _read_options(options: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the include folders and the definitions of NVRTC's options."""
    folders, defines, rest = [], [], list(options)
    while rest:
        option = rest.pop(0)
        if option in ("-I", "-D", "--include-path", "--define-macro"):
            option = ("-I" if "I" in option or "include" in option else "-D") + rest.pop(0)
        option = option.replace("--include-path=", "-I").replace("--define-macro=", "-D")
        if option.startswith("-I"):
            folder = Path(option[2:])
            if not (folder / "cuda_fp16.h").exists():  # the toolkit's own headers are ours here
                folders.append(folder)
        elif option.startswith("-D"):
            defines.append(option)
        elif not _IGNORED.match(option):
            raise ValueError(f"option {option!r} is not known to the emulation")
    return folders, defines


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(done.stderr)
    return done.stdout


@functools.cache
def compiler_problem() -> str | None:
    """Return why nothing can be compiled; None where it can."""
    found = shutil.which(_compiler())
    works = found is not None and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0
    return None if works else f"the emulated GPU compiles with {_compiler()}, which is not there (CXX names another)"


def _compiler() -> str:
    return os.environ.get("CXX", "g++")


def _cache_folder() -> Path:
    named = os.environ.get("TINYTRAIN_EMULATION_CACHE")
    return Path(named) if named else Path(tempfile.gettempdir()) / f"tinytrain-emulation-{os.getuid()}"
