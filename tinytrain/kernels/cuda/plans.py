"""Which of a library's plans computes an operation: measured once, then the same one in every run.

A library like cuDNN has many kernels for one convolution, and none is the fastest for every shape and device. The
candidates are timed on the device when a shape comes for the first time; the choice is kept in memory and on disk, by
device, versions and operation. Different plans add up in different orders, so the kept choice is also what makes a run
repeat itself to the bit: after its file was deleted another plan may be chosen, and with it other last bits.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from math import ceil, inf
from pathlib import Path
from statistics import median

from tinytrain.cache import cache_folder

NUM_SAMPLES = 5
SAMPLE_SECONDS = 2e-4  # a sample launches short plans several times: one launch is near the timer's resolution
MAX_LAUNCHES = 10
HOPELESS = 2.0  # a plan whose first sample is so many times slower than the best so far is not timed again


class NoPlanError(RuntimeError):
    """The library has no plan for an operation, or one that was tried cannot run; other kernels have to serve."""


class UnplannedError(RuntimeError):
    """A plan would have to be chosen while the stream is captured, when nothing may be timed or loaded."""


class PlanCache:
    """Choices on disk, one small JSON file each, so that several programs may choose at once.

    The first to write a choice decides for all. A file that is damaged or tells of something else is passed over with a
    warning and written anew.

    Args:
        environment: what the times depend on besides the operation: device, compute capability, versions.
        folder: where the files lie; None: `plans` in the user's cache folder.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path | None = None):
        self.environment = dict(environment)
        name = re.sub(r"[^a-z0-9.]+", "-", " ".join(self.environment.values()).lower()).strip("-")
        self.folder = (cache_folder("plans") if folder is None else folder) / name
        self._can_write = True

    def find(self, operation: str) -> str | None:
        """Return the name of the plan that was chosen for an operation; None where none was."""
        plan, complaint = self._read(operation)
        if complaint is not None:
            warnings.warn(f"{self._path(operation)}: {complaint}; the plan is chosen anew", stacklevel=2)
        return plan

    def keep(self, operation: str, plan: str, seconds: float, *, instead_of: str | None = None) -> str:
        """Write a choice and return the one that is in force: another program may have been first.

        Args:
            operation: what is computed.
            plan: name of the plan.
            seconds: how long it takes; for people who look into the file.
            instead_of: a kept choice that turned out not to exist any more, to be replaced.
        """
        content = {"environment": self.environment, "operation": operation, "plan": plan}
        text = json.dumps({**content, "microseconds": round(seconds * 1e6, 2)}, indent=1) + "\n"
        path = self._path(operation)
        try:
            if not _write(path, text):
                first, _ = self._read(operation)
                if first is not None and first != instead_of:
                    return first
                _write(path, text, replace=True)
        except OSError as error:
            if self._can_write:
                self._can_write = False
                warnings.warn(
                    f"{path.parent}: cannot be written ({error}); plans are chosen anew in every run, so that runs may "
                    "differ in their last bits. TINYTRAIN_HOME names another folder",
                    stacklevel=2,
                )
        return plan

    def _read(self, operation: str) -> tuple[str | None, str | None]:
        """Return the kept choice for an operation, or what is wrong with its file; neither where there is no file."""
        try:
            found = json.loads(self._path(operation).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None, None
        except (OSError, ValueError, RecursionError) as error:
            return None, f"cannot be read ({error})"
        expected = {"environment": self.environment, "operation": operation}
        if not isinstance(found, dict) or not isinstance(found.get("plan"), str):
            return None, "expected an object with the name of a `plan`"
        if {key: found.get(key) for key in expected} != expected:
            return None, f"expected the choice for {operation!r} on {self.environment}; it tells of something else"
        return found["plan"], None

    def _path(self, operation: str) -> Path:
        """Return the file of an operation."""
        text = json.dumps([self.environment, operation], sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def fastest(candidates: Sequence[str], seconds: Callable[[str, int], float]) -> tuple[str, float]:
    """Return the candidate with the smallest median time, and that time in seconds; of equals the first.

    Args:
        candidates: names of plans, likely ones first.
        seconds: launches a plan so many times and returns how long one launch took on the device; it raises
            `NoPlanError` for a plan that cannot run after all, which is then passed over.

    Raises:
        NoPlanError: none of the candidates can run.
    """
    best, best_time = None, inf
    for candidate in candidates:
        try:
            seconds(candidate, 1)  # the first launch loads the kernel
            first = seconds(candidate, 1)
            if first > HOPELESS * best_time:
                continue
            launches = min(max(ceil(SAMPLE_SECONDS / max(first, 1e-9)), 1), MAX_LAUNCHES)
            time = median(seconds(candidate, launches) for _ in range(NUM_SAMPLES))
        except NoPlanError:
            continue
        if time < best_time:
            best, best_time = candidate, time
    if best is None:
        raise NoPlanError(f"none of {len(candidates)} plans can run")
    return best, best_time


def _write(path: Path, text: str, *, replace: bool = False) -> bool:
    """Write a file in one step, so that nobody sees a part of it; False where there is one that is to stay.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        if not replace:
            try:
                os.link(name, path)
                return True
            except FileExistsError:
                return False
            except OSError:  # a file system without hard links; whatever else is wrong is met again below
                if path.exists():
                    return False
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    return True
