"""The report of a comparison with PyTorch: a table per op on the screen and, where asked for, a JSON file."""

from __future__ import annotations

import json
import os
from collections import defaultdict

import pytest

PARTS = ("forward", "gradient", "error", "types", "variants")
_counts: dict[str, dict[str, list[int]]] = defaultdict(dict)


@pytest.fixture
def parity_report():
    """Return a function (op, part, passed, total) that enters a line into the report."""

    def enter(op: str, part: str, passed: int, total: int) -> None:
        _counts[op][part] = [passed, total]

    return enter


def pytest_terminal_summary(terminalreporter):
    """Print the table, and write it to the file that TINYTRAIN_PARITY_JSON names."""
    if not _counts:
        return
    terminalreporter.section("samples that agree with PyTorch")
    terminalreporter.write_line(f"{'op':<52}" + "".join(f"{part:>12}" for part in PARTS))
    for op, parts in sorted(_counts.items()):
        cells = ["/".join(map(str, parts[part])) if part in parts else "-" for part in PARTS]
        terminalreporter.write_line(f"{op:<52}" + "".join(f"{cell:>12}" for cell in cells))
    sums = [[sum(parts.get(part, [0, 0])[i] for parts in _counts.values()) for i in (0, 1)] for part in PARTS]
    terminalreporter.write_line(f"{f'all {len(_counts)}':<52}" + "".join(f"{f'{a}/{b}':>12}" for a, b in sums))
    path = os.environ.get("TINYTRAIN_PARITY_JSON")
    if path:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(_counts, file, indent=1, sort_keys=True)
