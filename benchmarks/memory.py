"""Peak resident memory of training beside PyTorch's: `python benchmarks/memory.py [NETWORK ...] [--json FILE]`.

Every run is a fresh process that imports its library, builds the network and a batch, and takes three training steps as
in train_step.py. Its peak is what the system counted, the library itself included; `import` is the peak before the
network was built. Of PyTorch's two layouts the smaller counts. Its networks are all made from tinytrain's (twins.py):
importing torchvision would add 80 MiB, tinytrain itself adds less than 10.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from measure import Rows, arguments_of, has_torch, print_rows

STEPS = 3
MIB = 1 << 20


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far.

    On Linux from /proc: its getrusage also counts what the parent had when it started this process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def train_a_little(contender: str, name: str) -> dict[str, int]:
    """Train in this process; return its peaks in bytes, before there was a network and at the end."""
    from contenders import CHANNELS_LAST, OURS, training_step
    from networks import NETWORKS

    network = NETWORKS[name]
    x, y = network.data()
    library: Any
    if contender == OURS:
        import tinytrain as library

        before = peak_bytes()
        model, images = network.model(), library.from_numpy(x)
    else:
        import torch as library
        from measure import share_cores
        from twins import twin_of

        share_cores()
        before = peak_bytes()
        model, images = twin_of(network.model()), library.from_numpy(x)
        if contender == CHANNELS_LAST:
            model = model.to(memory_format=library.channels_last)
            images = images.to(memory_format=library.channels_last)
    step = training_step(library, model, images, library.from_numpy(y))
    for _ in range(STEPS):
        step()
    return {"import": before, "peak": peak_bytes()}


def in_fresh_process(contender: str, name: str) -> dict[str, int]:
    """Return what `train_a_little` finds in a process of its own."""
    arguments = [sys.executable, __file__, "--run", contender, name]
    return json.loads(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = arguments_of(__doc__)
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument("--run", metavar="CONTENDER", help="one run in this process, for the benchmark itself")
    options = parser.parse_args()
    if options.run is not None:
        print(json.dumps(train_a_little(options.run, options.networks[0])))
        return
    from networks import chosen

    torch = has_torch()
    rows: Rows = []
    for network in chosen(options.networks):
        ours = in_fresh_process("tinytrain", network.name)
        row: dict[str, object] = {"network": network.name, "batch": network.batch}
        row |= {"tinytrain MiB": ours["peak"] / MIB, "import MiB": ours["import"] / MIB}
        if torch:
            both = [in_fresh_process(layout, network.name) for layout in ("eager", "channels-last")]
            best = min(both, key=lambda each: each["peak"])
            row |= {"PyTorch MiB": best["peak"] / MIB, "its import MiB": best["import"] / MIB}
            row["of PyTorch's"] = ours["peak"] / best["peak"]
        rows.append(row)
    print_rows(rows, options.json)


if __name__ == "__main__":
    main()
