"""Training steps while another program keeps a core busy: `python benchmarks/busy.py [NETWORK ...] [--json FILE]`.

The step is that of train_step.py, on two cores; the other program is a loop without end on the first of them. With work
divided into as many equal parts as there are threads, everybody waits for the part whose core is taken; handed out in
small pieces, the step loses the share of the core at most. `slower` is the time beside the same step on cores of its
own, which at best is 1.33 (one core and a half instead of two).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from contenders import OURS, measurements, steps_of, training_step
from measure import Rows, arguments_of, medians, print_rows, share_cores
from networks import chosen

DEFAULT = ("digits", "6blocks-32", "6blocks-32-standard")


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """Keep the first core of this process busy, from another process; without a choice of cores, any one."""
    loop = "while True: pass"
    if hasattr(os, "sched_setaffinity"):
        loop = f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})\n{loop}"
    other = subprocess.Popen([sys.executable, "-c", loop])
    try:
        yield
    finally:
        other.kill()
        other.wait()


def main() -> None:
    parser = arguments_of(__doc__, rounds=7)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", default=DEFAULT)
    options = parser.parse_args()
    networks = chosen(options.networks)
    torch = share_cores()
    rows: Rows = []
    for network in networks:
        contenders = measurements(steps_of(training_step, network, torch=torch, check=False))
        quiet = medians(contenders, rounds=options.rounds, warmup=2)
        with busy_core():
            busy = medians(contenders, rounds=options.rounds, warmup=1)
        for name in contenders:
            row: dict[str, object] = {"network": network.name, "library": name}
            row |= {"quiet ms": 1e3 * quiet[name], "busy ms": 1e3 * busy[name], "slower": busy[name] / quiet[name]}
            rows.append(row | {"times tinytrain's busy step": busy[name] / busy[OURS]})
    print_rows(rows, options.json)


if __name__ == "__main__":
    main()
