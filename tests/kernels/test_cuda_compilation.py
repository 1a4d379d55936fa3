"""Every CUDA source compiles for the architectures that users have, in every element type."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import tinytrain.kernels.cuda
from tests.kernels.gpu import ELEMENTS, draw
from tinytrain.kernels.cuda import compiler, depthwise

FOLDER = Path(tinytrain.kernels.cuda.__file__).parent / "src"
SOURCES = sorted(path.stem for path in FOLDER.glob("*.cuh") if "__global__" in path.read_text())


def columns(table, name):
    """Return the constants of depthwise kernels by window and stride; `name`: what makes them cost most."""
    same = {"THREADS": depthwise.THREADS, name: 3}
    return [
        {"KERNEL": kernel, "STRIDE": stride, "PACK": of.pack, "BAND": of.band, "RESIDENT": of.resident, **same}
        for (kernel, stride), of in table.items()
    ]


CONSTANTS = {
    "depthwise": columns(depthwise.FORWARD, "MOMENTS"),
    "depthwise_backward": columns(depthwise.BACKWARD, "GRADIENTS"),
    "depthwise_any": [{"PACK": 4, "THREADS": depthwise.THREADS}],
    "direct": [{"MICRO": 8, "PACK_C": 4, "PACK_O": 4}, {"MICRO": 4, "PACK_C": 1, "PACK_O": 1}],
    "scattering": [{"VALUE": "double"}, {"VALUE": "bfloat_t"}],
}
"""Of the sources that have constants of their own."""


def constants_of(source, element, architecture):
    """Return sets of constants that a source is compiled with."""
    if source in CONSTANTS:
        takes_most = architecture == "sm_90" and element != "float16"  # of registers
        return CONSTANTS[source] if takes_most else CONSTANTS[source][:1]
    text = compiler.source_text(source)
    packs = (4 if element == "float32" else 8, *([1] if architecture == "sm_90" else []))
    return [{"PACK": pack} for pack in (packs if "PACK" in text else (1,))]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("source", SOURCES)
def test_a_source_compiles(source, element, architecture, tmp_path):
    """And the windows of the depthwise kernels stay in registers: they are as large as can be."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("there is no nvcc here")
    (tmp_path / "kernels.cu").write_text(compiler.source_text(source))
    for constants in constants_of(source, element, architecture):
        options = compiler.compile_options(element, constants)
        command = [
            nvcc,
            f"-arch={architecture}",
            "-cubin",
            "-Xptxas",
            "-v",
            *options,
            *compiler.ADDED_BY_CUPY,
            "kernels.cu",
            "-o",
            "kernels.cubin",
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stderr, done.stderr
        if "RESIDENT" in constants:
            assert set(re.findall(r"(\d+) bytes spill", done.stderr)) == {"0"}, done.stderr


def test_headers_are_put_in_their_place_once():
    text = compiler.source_text("elementwise")
    assert text.count("struct half_t") == 1
    assert "#include" not in text
    assert "#pragma once" not in text


@pytest.mark.gpu
def test_what_is_compiled_is_kept(gpu):
    first = compiler.kernel("elementwise", "apply", "float32", PACK=4)
    assert compiler.kernel("elementwise", "apply", draw((1, 1)).dtype, PACK=4) is first
    assert compiler.kernel("elementwise", "apply", "float32", PACK=2) is not first
    with pytest.raises(KeyError, match="float64"):
        compiler.kernel("elementwise", "apply", "float64", PACK=2)


@pytest.mark.gpu
def test_grids_are_as_large_as_the_gpu_or_the_work(gpu):
    most = 8 * compiler.num_multiprocessors()
    assert compiler.num_blocks(1000, 256) == min(4, most)
    assert compiler.num_blocks(1 << 40, 256) == most
    assert compiler.num_blocks(1 << 40, 256, 1 << 20) == 1
    assert compiler.num_blocks(0, 256) == 0
