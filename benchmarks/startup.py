"""How long the program and the library take to start, beside PyTorch: `python benchmarks/startup.py [out.json]`."""

from __future__ import annotations

import sys

from measure import command, has_torch, medians, print_rows, python


def main() -> None:
    contenders = {
        "python -c pass": python("pass"),
        "tinytrain --help": command(sys.executable, "-m", "tinytrain", "--help"),
        "import tinytrain": python("import tinytrain"),
        "import tinytrain, first tensor": python("import tinytrain as tt; tt.ones(1)"),
        "import tinytrain.nn": python("import tinytrain.nn"),
    }
    if has_torch():
        contenders["import torch"] = python("import torch")
    found = medians(contenders, rounds=9)
    torch = found.get("import torch")
    print_rows(
        [
            {"what": name, "seconds": seconds, "of import torch": "" if torch is None else seconds / torch}
            for name, seconds in found.items()
        ],
        *sys.argv[1:2],
    )


if __name__ == "__main__":
    main()
