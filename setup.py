"""Builds the native kernels; all else about the package is in pyproject.toml.

The kernels are two C++ sources, compiled once for every instruction set of the processor family and chosen from at
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

SOURCE = Path("tinytrain/kernels/native/src")
FLAGS = ["-std=c++17", "-O3", "-g0", "-fno-math-errno", "-fvisibility=hidden", "-Wno-psabi", "-pthread"]
KERNELS = {"kernels.cpp": [], "exact.cpp": ["-ffp-contract=off"]}
X86 = platform.machine().lower() in ("x86_64", "amd64")
INSTRUCTION_SETS = {
    "baseline": [],
    **({"avx2": ["-mavx2", "-mfma"]} if X86 else {}),
    **(
        {"avx512": ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma", "-mprefer-vector-width=512"]}
        if X86
        else {}
    ),
}


class BuildKernels(build_ext):
    """Compiles the kernels for each instruction set and links the objects into the one extension."""

    def build_extension(self, ext: Extension) -> None:
        import numpy

        ext.include_dirs = [numpy.get_include(), str(SOURCE)]

        def compile_for(what: tuple[str, str]) -> list[str]:
            name, source = what
            return self.compiler.compile(
                [str(SOURCE / source)],
                output_dir=str(Path(self.build_temp) / name),
                include_dirs=ext.include_dirs,
                extra_preargs=[
                    *FLAGS,
                    *INSTRUCTION_SETS[name],
                    *KERNELS[source],
                    f"-DTT_ISA={name}",
                    f'-DTT_NAME="{name}"',
                ],
                depends=ext.depends,
            )

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for objects in pool.map(compile_for, itertools.product(INSTRUCTION_SETS, KERNELS)):
                ext.extra_objects += objects
        super().build_extension(ext)


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
