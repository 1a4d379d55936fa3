"""`benchmarks/gpu.py` runs to its end, so that a visit to a GPU is not lost to a slip; shown on the emulated GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.emulation.host import compiler_problem

pytestmark = pytest.mark.skipif(compiler_problem() is not None, reason=str(compiler_problem()))

REPOSITORY = Path(__file__).resolve().parent.parent
EMULATION = REPOSITORY / "tests" / "emulation" / "packages"


def visit(folder: Path, *words: str) -> tuple[subprocess.CompletedProcess[str], dict]:
    """Run the benchmark on tiny networks; return how it ended and what it wrote down."""
    paths = [str(EMULATION), str(REPOSITORY)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TINYTRAIN_EMULATED_GPU": "1"}
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "gpu.py"), "--smoke", "--output", str(folder), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done, json.loads((folder / "gpu.json").read_text())


def table(report: dict, job: str, name: str) -> list[dict]:
    return [row for row in report["jobs"][job]["rows"] if row["table"] == name]


@pytest.mark.timeout(600)
@pytest.mark.skipif(not EMULATION.is_dir(), reason="there is no emulated GPU")
def test_every_job_runs_to_its_end(tmp_path):
    done, report = visit(tmp_path)
    assert {name: each["state"] for name, each in report["jobs"].items()} == dict.fromkeys(report["jobs"], "done"), (
        done.stdout
    )
    assert done.returncode == 0
    assert {row["what"] for row in table(report, "environment", "device")} >= {"properties"}
    (tests,) = table(report, "kernels", "tests")
    assert tests["PASSED"] > 0
    assert tests.get("FAILED", 0) == 0
    assert {row["precision"] for row in table(report, "networks", "networks")} == {"fp32", "tf32", "bf16", "fp16"}
    assert {row["what"] for row in table(report, "limits", "limits")} >= {"copy", "product, float32"}
    for job in ("steps tiny 4", "steps tiny-standard 4"):
        rows = table(report, job, "steps")
        assert {row["precision"] for row in rows} == {"bf16", "fp32"}
        assert all(row["ours ms"] > 0 and row["of bandwidth"] > 0 for row in rows)
    (training,) = table(report, "cifar10", "cifar10")
    assert (training["epochs"], training["precision"]) == (1, "fp16")
    assert "== steps tiny 4: done" in done.stdout


@pytest.mark.timeout(300)
@pytest.mark.skipif(not EMULATION.is_dir(), reason="there is no emulated GPU")
def test_what_there_is_no_time_for_is_left_out_and_said(tmp_path):
    done, report = visit(tmp_path, "--seconds", "-1", "--only", "limits", "cifar10")
    assert {name: each["state"] for name, each in report["jobs"].items()} == {
        "limits": "left out",
        "cifar10": "left out",
    }
    assert "left out: limits, cifar10" in done.stdout
    assert done.returncode == 0


def test_a_job_that_crashes_keeps_what_it_had_found_and_takes_nothing_with_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    import gpu

    part = gpu.Part(tmp_path / "steps.jsonl")
    part.add("steps", key="a", ms=1.0)
    part.add("steps", key="b", ms=2.0)
    part.add("steps", key="a", ms=3.0)
    with part.path.open("a") as file:
        file.write('{"table": "steps", "key": "c", "m')  # cut short
    assert part.rows() == [{"table": "steps", "ms": 3.0}, {"table": "steps", "ms": 2.0}]
