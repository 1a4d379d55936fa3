"""A kernel is found by name, array class and dtype; the reference answers where nothing faster does."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import kernels, nn
from tinytrain.errors import UsageError
from tinytrain.kernels import cuda, fused
from tinytrain.kernels.fused.clipping import norms_of
from tinytrain.kernels.fused.losses import cross_entropy_forward
from tinytrain.kernels.fused.updates import find_update
from tinytrain.kernels.reference import KERNELS
from tinytrain.pending import Pending


def test_every_reference_kernel_is_found_under_its_name():
    x = np.zeros(1, np.float16)
    assert {name: kernels.kernel(name, x) for name in KERNELS} == dict(KERNELS)


def test_an_unknown_kernel_is_a_key_error_with_its_name():
    with pytest.raises(KeyError, match="conv_backwards"):
        kernels.kernel("conv_backwards", np.zeros(1))


def test_a_set_that_takes_the_array_comes_before_the_reference(monkeypatch):
    def fast(*arguments):
        return "fast"

    only_float32 = kernels.KernelSet("fast", {"conv_forward": fast}, lambda kind, dtype: dtype == np.float32, "test")
    monkeypatch.setattr(kernels, "_sets", [only_float32, *kernels._sets_for("reference")])
    monkeypatch.setattr(kernels, "_chosen", {})
    assert kernels.kernel("conv_forward", np.zeros(1, np.float32)) is fast
    assert kernels.kernel("conv_forward", np.zeros(1, np.float64)) is KERNELS["conv_forward"]
    assert kernels.kernel("conv_input_grad", np.zeros(1, np.float32)) is KERNELS["conv_input_grad"]


def test_the_report_says_why_the_reference_is_in_use():
    report = kernels.kernels_in_use()[-1]
    assert report["set"] == "reference"
    assert report["reason"]
    assert report["kernels"] == sorted(KERNELS)


def test_forcing_the_reference_leaves_it_alone():
    assert [each.name for each in kernels._sets_for("reference")] == ["reference"]


def test_an_unknown_choice_in_the_environment_is_refused_with_the_known_ones():
    known = "auto, reference, amx, avx512, avx2, baseline"
    with pytest.raises(UsageError, match=f"TINYTRAIN_KERNELS: expected one of {known}; got 'fast'"):
        kernels._sets_for("fast")


def test_the_environment_is_read_at_import():
    script = "import tinytrain.kernels as k; print(k.kernels_in_use())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"TINYTRAIN_KERNELS": "reference", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "TINYTRAIN_KERNELS=reference" in done.stdout


def test_without_the_extension_the_reference_does_the_work_and_the_report_says_why():
    script = (
        "import sys\n"
        "sys.modules['tinytrain.kernels.native._native'] = None\n"
        "import tinytrain as tt\n"
        "from tinytrain import kernels, nn\n"
        "x = tt.ones(1, 1, 4, 4)\n"
        "print(float(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())(x).sum()))\n"
        "print(kernels.kernels_in_use()[0]['reason'])\n"
    )
    of_its_own = {name: value for name, value in os.environ.items() if name != kernels.ENVIRONMENT_VARIABLE}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=of_its_own)
    total, reason = done.stdout.splitlines()
    assert float(total) == 0
    assert reason == "not built: install again where there is a C++ compiler"


def test_the_gpu_is_not_touched_before_an_array_lies_on_it():
    script = "import sys, tinytrain.kernels; print([name for name in sys.modules if 'cupy' in name])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_report_says_why_there_are_no_kernels_on_a_gpu(monkeypatch):
    monkeypatch.setattr(cuda, "cuda_problem", lambda: "this machine has no NVIDIA GPU")
    report = {each["set"]: each for each in kernels.kernels_in_use()}["cuda"]
    assert report == {"set": "cuda", "reason": "this machine has no NVIDIA GPU", "kernels": []}


def test_kernels_on_a_gpu_take_its_floating_types_of_32_and_16_bits():
    class OnGPU:
        __module__ = "cupy._core.core"

    assert cuda.takes(OnGPU, np.dtype("float16"))
    assert cuda.takes(Pending, np.dtype("float16"))
    assert not cuda.takes(OnGPU, np.dtype("float64"))
    assert not cuda.takes(OnGPU, np.dtype("int32"))
    assert not cuda.takes(np.ndarray, np.dtype("float32"))


@pytest.mark.gpu
def test_an_array_on_a_gpu_has_fused_kernels(gpu):
    assert kernels.kernel("conv_forward", gpu.zeros(1, "float16")) is fused.KERNELS["conv_forward"]
    assert kernels.kernel("conv_forward", gpu.zeros(1, "float64")) is KERNELS["conv_forward"]
    assert kernels.kernels_in_use()[1]["kernels"] == sorted(fused.KERNELS)


def test_within_a_block_the_reference_alone_computes():
    block = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2), nn.ReLU())
    x = tt.rand(2, 1, 5, 5)
    x32 = np.zeros(1, np.float32)
    before = kernels.kernel("conv_forward", x32)
    with kernels.using_reference_kernels():
        assert kernels.kernel("conv_forward", x32) is KERNELS["conv_forward"]
        assert [each["set"] for each in kernels.kernels_in_use()] == ["reference"]
        assert isinstance(block(x).value, np.ndarray)
        assert find_update("sgd", x32) is None
        assert cross_entropy_forward(x32.reshape(1, 1), np.zeros(1, np.int64), None, -100, 0.0, "mean") is None
        assert norms_of([x32]) is None
    assert kernels.kernel("conv_forward", x32) is before


def test_the_kernels_are_back_after_a_block_that_failed():
    x = np.zeros(1, np.float32)
    before = kernels.kernel("conv_forward", x), find_update("sgd", x)
    with pytest.raises(RuntimeError, match="within"), kernels.using_reference_kernels():
        raise RuntimeError("within")
    assert (kernels.kernel("conv_forward", x), find_update("sgd", x)) == before


def test_the_reference_reads_what_was_pending_before_the_block():
    first = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    second = nn.Conv2d(8, 4, 3)
    x = tt.rand(2, 3, 8, 8)
    waiting = first(x)
    with kernels.using_reference_kernels():
        found = second(waiting)
    first[1].reset_running_stats()
    np.testing.assert_allclose(found.detach().numpy(), second(first(x)).detach().numpy(), rtol=1e-5, atol=1e-6)
