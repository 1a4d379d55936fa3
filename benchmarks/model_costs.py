"""Print the table of docs/models.md: parameters and multiply-adds of every model at its native size.

python benchmarks/model_costs.py [NAME ...]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from tinytrain import nn
from tinytrain.inspection import count_macs, count_parameters
from tinytrain.models import MODELS

NATIVE = {"cnn": (3, 32, 32), "lenet5": (1, 32, 32)}  # (c, h, w)


def native_shape(name: str) -> tuple[int, int, int]:
    """Return the (c, h, w) of the images that a model is made for."""
    return NATIVE.get(name, (3, 32, 32) if name.startswith("cifar_") else (3, 224, 224))


def main(names: Sequence[str]) -> None:
    """Print a row for each model as soon as it is measured."""
    for name in ("kaiming_normal_", "kaiming_uniform_", "normal_", "trunc_normal_", "uniform_"):
        setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)  # counts do not depend on the values
    print("| model | image | parameters | multiply-adds |\n| --- | --- | ---: | ---: |")
    for name in names or MODELS:
        shape = native_shape(name)
        model = MODELS.find(name)()
        with np.errstate(all="ignore"):
            macs = count_macs(model, shape)
        size = "×".join(map(str, shape))
        print(f"| `{name}` | {size} | {count_parameters(model):,} | {macs / 1e6:,.1f} M |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
