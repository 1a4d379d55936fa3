"""All of a visit to a GPU in one call, under ten minutes: `python benchmarks/gpu.py [--data FOLDER] [--output FOLDER]`.

What is worth most comes first: what machine this is; whether every kernel and every network gives what the CPU gives;
how fast memory and arithmetic are; training steps beside PyTorch's, eager, channels-last and compiled, of networks for
32x32 and 224x224 images; and, where FOLDER holds CIFAR-10, how long 94 % takes. `--output` gets `gpu.json`, written
anew after every job, and what each job printed. Each job is a process of its own with a time limit, so that one that
crashes or hangs takes nothing with it; what it had found out by then counts. When time is short the rest is left out,
and said.

Without PyTorch there are no ratios; whatever cannot be measured is told with its reason. `--smoke` runs all of it on
tiny networks, to see that it works.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import print_rows

BUDGET = 560.0
"""Seconds of it all, unless `--seconds` says otherwise."""


@dataclass(frozen=True)
class Job:
    """Something to find out, in a process of its own.

    Attributes:
        words: what is to be done, and with what.
        least: seconds that it needs to be worth beginning.
        most: seconds after which it is ended.
    """

    words: tuple[str, ...]
    least: float
    most: float

    @property
    def name(self) -> str:
        """What it is called in the report."""
        return " ".join(self.words)


JOBS = [
    Job(("environment",), 5, 60),
    Job(("kernels",), 30, 140),
    Job(("networks",), 15, 60),
    Job(("limits",), 5, 25),
    Job(("steps", "6blocks-32", "512"), 15, 70),
    Job(("steps", "mobilenet_v2", "256"), 20, 80),
    Job(("steps", "resnet50", "64"), 20, 80),
    Job(("cifar10",), 20, 60),
    Job(("steps", "6blocks-32-standard", "512"), 15, 60),
    Job(("steps", "6blocks-32", "128"), 15, 60),
    Job(("steps", "resnet18", "128"), 20, 60),
    Job(("steps", "6blocks-32-standard", "128"), 15, 60),
]
SMOKE = [
    Job(("environment",), 0, 60),
    Job(("kernels",), 0, 100),
    Job(("networks",), 0, 100),
    Job(("limits",), 0, 60),
    Job(("steps", "tiny", "4"), 0, 100),
    Job(("steps", "tiny-standard", "4"), 0, 100),
    Job(("cifar10",), 0, 100),
]

BESIDE = ("kernels", "networks")
"""Jobs that do not mind when PyTorch compiles its networks beside them, so that their steps find them compiled."""


class Part:
    """The rows that a job has found so far, in a file that outlives it.

    Args:
        path: of the file, a JSON document a line.
    """

    def __init__(self, path: Path):
        self.path = path

    def add(self, table: str, **row: Any) -> None:
        """Write a row down; one with the key of an earlier row takes its place.

        Args:
            table: what it belongs to.
            row: `key` may say which row it is.
        """
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"table": table, **row}, default=str) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows, without those that were replaced, and without a line cut short."""
        found: dict[Any, dict[str, Any]] = {}
        if self.path.exists():
            for number, line in enumerate(self.path.read_text(encoding="utf-8").splitlines()):
                try:
                    row = json.loads(line)
                except json.JSONDecodeError:
                    continue  # the process ended while it wrote
                found[(row["table"], row.pop("key", number))] = row
        return list(found.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="FOLDER", type=Path, help="with CIFAR-10's files")
    parser.add_argument("--output", metavar="FOLDER", type=Path, default=Path("gpu-results"), help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=BUDGET, help="for all of it (%(default).0f)")
    parser.add_argument("--only", metavar="JOB", nargs="+", help="jobs, by the first word: steps limits ...")
    parser.add_argument("--smoke", action="store_true", help="tiny networks, to see that it works")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _do(options.child, options)
        return
    options.output.mkdir(parents=True, exist_ok=True)
    jobs = [job for job in (SMOKE if options.smoke else JOBS) if not options.only or job.words[0] in options.only]
    report = Visit(jobs, options).run()
    sys.exit(0 if all(each["state"] in ("done", "left out") for each in report["jobs"].values()) else 1)


def _do(words: Sequence[str], options: argparse.Namespace) -> None:
    """Do a job in this process."""
    from gpu_correctness import compare_networks, test_kernels
    from gpu_machine import describe_machine, measure_machine
    from gpu_steps import compile_steps, measure_steps, train_to_accuracy

    part = Part(_part(options.output, words))
    kind, *rest = words
    if kind == "environment":
        describe_machine(part, options.output)
    elif kind == "kernels":
        test_kernels(part, options.output, smoke=options.smoke)
    elif kind == "networks":
        compare_networks(part, smoke=options.smoke)
    elif kind == "limits":
        measure_machine(part, smoke=options.smoke)
    elif kind == "compile":
        compile_steps([(name, int(batch)) for name, batch in zip(rest[::2], rest[1::2], strict=True)])
    elif kind == "steps":
        measure_steps(part, rest[0], int(rest[1]), smoke=options.smoke)
    else:
        train_to_accuracy(part, options.data, options.output, smoke=options.smoke)


def _part(folder: Path, words: Sequence[str]) -> Path:
    return folder / f"{'-'.join(words[:3])}.jsonl"


class Visit:
    """Runs jobs one after the other within a budget, and writes down what they found after each.

    Args:
        jobs: in the order of their value.
        options: of the command line.
    """

    def __init__(self, jobs: Sequence[Job], options: argparse.Namespace):
        self._jobs, self._options = jobs, options
        self._deadline = time.monotonic() + options.seconds
        self._report: dict[str, Any] = {"smoke": options.smoke, "jobs": {}}
        self._beside: subprocess.Popen[bytes] | None = None

    def run(self) -> dict[str, Any]:
        """Run them all and return the report."""
        try:
            for job in self._jobs:
                if job.words[0] in BESIDE:
                    self._begin_compiling()
                else:
                    self._end_compiling()
                self._report["jobs"][job.name] = found = self._run(job)
                self._write()
                _print(job, found)
        finally:
            self._end_compiling()
        left_out = [name for name, each in self._report["jobs"].items() if each["state"] == "left out"]
        print(f"\n{self._options.output / 'gpu.json'}; left out: {', '.join(left_out) or 'nothing'}")
        return self._report

    def _run(self, job: Job) -> dict[str, Any]:
        left = self._deadline - time.monotonic()
        if left < job.least:
            return {
                "state": "left out",
                "reason": f"{max(left, 0):.0f} s were left, it needs {job.least:.0f}",
                "rows": [],
            }
        part = _part(self._options.output, job.words)
        part.unlink(missing_ok=True)
        begin = time.monotonic()
        with part.with_suffix(".log").open("wb") as log:
            process = self._start(job.words, log)
            state, reason = "done", None
            try:
                code = process.wait(min(job.most, left))
                if code:
                    state, reason = "failed", f"it ended with {code}: {_last_line(part.with_suffix('.log'))}"
            except subprocess.TimeoutExpired:
                state, reason = "ended", f"it took more than {min(job.most, left):.0f} s"
            finally:
                _stop(process)
        found = {"state": state, "seconds": time.monotonic() - begin, "rows": Part(part).rows()}
        return found if reason is None else {**found, "reason": reason}

    def _start(self, words: Sequence[str], log: Any) -> subprocess.Popen[bytes]:
        options = self._options
        command = [sys.executable, __file__, "--output", str(options.output), *(["--smoke"] if options.smoke else [])]
        command += ["--data", str(options.data)] if options.data else []
        cache = os.path.join(tempfile.gettempdir(), "tinytrain-gpu-compiled")
        environment = {"TORCHINDUCTOR_CACHE_DIR": cache, **os.environ}
        return subprocess.Popen(
            [*command, "--child", *words], stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )

    def _begin_compiling(self) -> None:
        steps = [job.words[1:] for job in self._jobs if job.words[0] == "steps"]
        if self._beside is None and steps:
            with (self._options.output / "compile.log").open("wb") as log:
                self._beside = self._start(["compile", *(word for words in steps for word in words)], log)

    def _end_compiling(self) -> None:
        if self._beside is not None:
            _stop(self._beside)

    def _write(self) -> None:
        path = self._options.output / "gpu.json"
        beside = path.with_suffix(".tmp")
        beside.write_text(json.dumps(self._report, indent=1, default=str) + "\n", encoding="utf-8")
        beside.replace(path)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def _print(job: Job, found: dict[str, Any]) -> None:
    reason = f": {found['reason']}" if "reason" in found else ""
    print(f"\n== {job.name}: {found['state']}{reason} ({found.get('seconds', 0):.0f} s)", flush=True)
    tables: dict[str, list[dict[str, Any]]] = {}
    for row in found["rows"]:
        tables.setdefault(row["table"], []).append({key: value for key, value in row.items() if key != "table"})
    for table, rows in tables.items():
        print(f"-- {table}")
        print_rows([{key: value for key, value in row.items() if not isinstance(value, (dict, list))} for row in rows])
    sys.stdout.flush()


if __name__ == "__main__":
    main()
