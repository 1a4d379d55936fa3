"""Builds the native kernels; all else about the package is in pyproject.toml.

The kernels are C++ sources, compiled once for every instruction set of the processor family and chosen from at
import: a wheel runs on older processors than the one that built it. Where there is no compiler the package installs
without them, and the reference kernels do the work.
"""

from __future__ import annotations

import itertools
import os
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

SOURCE = Path("tinytrain/kernels/native/src")
FLAGS = ["-std=c++17", "-O3", "-g0", "-fno-math-errno", "-fvisibility=hidden", "-Wno-psabi", "-pthread"]
FLAGS += ["-Wno-unused-function"]  # of what headers offer each source takes a part
KERNELS = {"kernels.cpp": [], "exact.cpp": ["-ffp-contract=off"]}
"""What is compiled for every instruction set, with flags of its own."""

X86 = platform.machine().lower() in ("x86_64", "amd64")
AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma", "-mprfchw", "-mprefer-vector-width=512"]
INSTRUCTION_SETS = {"baseline": []}
if X86:
    INSTRUCTION_SETS |= {"avx2": ["-mavx2", "-mfma"], "avx512": AVX512}
AMX = [*AVX512, "-mamx-tile", "-mamx-bf16"]
"""For amx.cpp, which adds to the kernels for AVX-512 what is faster with AMX."""


class BuildKernels(build_ext):
    """Compiles the kernels for each instruction set and links the objects into the one extension."""

    def build_extension(self, ext: Extension) -> None:
        import numpy

        ext.include_dirs = [numpy.get_include(), str(SOURCE)]
        builds = [
            (name, source, [*flags, *own])
            for (name, flags), (source, own) in itertools.product(INSTRUCTION_SETS.items(), KERNELS.items())
        ]
        if X86 and self.accepts(AMX):
            builds.append(("amx", "amx.cpp", AMX))
            ext.define_macros.append(("TT_HAS_AMX", None))

        def compile_for(build: tuple[str, str, list[str]]) -> list[str]:
            name, source, flags = build
            return self.compiler.compile(
                [str(SOURCE / source)],
                output_dir=str(Path(self.build_temp) / name),
                include_dirs=ext.include_dirs,
                extra_preargs=[*FLAGS, *flags, f"-DTT_ISA={name}", f'-DTT_NAME="{name}"'],
                depends=ext.depends,
            )

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for objects in pool.map(compile_for, builds):
                ext.extra_objects += objects
        super().build_extension(ext)

    def accepts(self, flags: list[str]) -> bool:
        """Whether the compiler knows these flags; those for AMX are younger than the rest."""
        source = Path(self.build_temp) / "empty.cpp"
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text("#include <immintrin.h>\n", encoding="utf-8")
        try:
            self.compiler.compile([str(source)], output_dir=self.build_temp, extra_preargs=flags)
        except CompileError:
            return False
        return True


setup(
    ext_modules=[
        Extension(
            "tinytrain.kernels.native._native",
            [str(SOURCE / "module.cpp"), str(SOURCE / "pool.cpp"), str(SOURCE / "memory.cpp")],
            depends=[str(each) for each in sorted(SOURCE.glob("*"))],
            extra_compile_args=FLAGS,
            extra_link_args=["-pthread", *(["-Wl,-s"] if platform.system() == "Linux" else [])],
            language="c++",
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildKernels},
)
