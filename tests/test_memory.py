"""Freed memory is kept: a block that is freed and asked for again is not fetched from the system again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from tinytrain.memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
def fill():
    blocks = [np.ones(1 << 20), np.ones(1 << 20)]  # 8 MiB each
for _ in range(3):
    fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    """Return how many pages a program faults in when it fills 160 MiB of freed blocks anew."""
    return int(subprocess.run([sys.executable, "-c", PROGRAM, how], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep memory")
def test_freed_blocks_are_reused_without_page_faults():
    without = page_faults("plain")
    if without < 5_000:
        pytest.skip(f"this system counts {without} page faults for 160 MiB: nothing to save, or no count")
    assert page_faults("keep") < without / 20
