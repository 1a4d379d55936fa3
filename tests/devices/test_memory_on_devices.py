"""Adding at places named twice works for every type, and memory that runs out is told in numbers."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.cli.main import run
from tinytrain.device import cuda_problem, cupy, memory_problem, module_of, move, require
from tinytrain.kernels.scattering import scatter_add

needs_gpu = pytest.mark.skipif(cuda_problem() is not None, reason=str(cuda_problem()))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"])
def test_what_is_named_twice_is_added_twice(device, dtype):
    where = require(device)
    target = module_of(where).zeros((4, 2), dtype)
    index = module_of(where).asarray([3, 1, 3])
    scatter_add(target, index, module_of(where).asarray(np.array([[1, 0], [1, 1], [1, 1]], dtype)))
    expected = np.array([[0, 0], [1, 1], [0, 0], [2, 1]], dtype)
    np.testing.assert_array_equal(move(target, require("cpu")), expected)
    assert target.dtype == dtype


@pytest.mark.gpu
@needs_gpu
def test_memory_that_runs_out_is_told_with_what_was_asked_for_and_what_is_held():
    tt.cuda.empty_cache()
    pool = cupy().get_default_memory_pool()
    held = tt.zeros(1 << 18, device="cuda")
    pool.set_limit(size=pool.total_bytes() + (1 << 20))
    try:
        with pytest.raises(MemoryError) as caught:
            tt.zeros(1 << 28, device="cuda")
    finally:
        pool.set_limit(size=0)
    text = memory_problem(caught.value)
    assert text is not None
    assert text.startswith("the GPU has too little memory: 1.00 GiB more were asked for; this program holds ")
    assert text.endswith("Lower data.batch_size, set train.precision to bf16 or fp16, or data.resident to false")
    assert memory_problem(MemoryError("of the host")) is None
    assert bool((held == 0).all())


@pytest.mark.gpu
@needs_gpu
def test_a_gpu_too_full_for_the_first_step_is_no_mistake_of_the_model(tmp_path, monkeypatch, capsys):
    config = tmp_path / "small.yaml"
    config.write_text("data: {dataset: digits}\nmodel: {name: cnn, widths: [8], strides: [1]}\ndevice: cuda\n")
    monkeypatch.setattr("tinytrain.config.build.run_once", lambda *_: tt.zeros(1 << 28, device="cuda"))
    pool = cupy().get_default_memory_pool()
    pool.set_limit(size=pool.total_bytes() + (16 << 20))
    try:
        assert run(["train", str(config), "--run-dir", str(tmp_path / "run")]) == 4
    finally:
        pool.set_limit(size=0)
    assert capsys.readouterr().err.startswith("error: the GPU has too little memory: 1.00 GiB more were asked for; ")
