"""Training curves by the native kernels beside the reference's: `python benchmarks/curves.py DATA [--seeds N]`.

A training is chaotic: rounding alone, as sums in another order have it, leads to other weights after some hundred
steps, and to another loss. So one curve beside another says nothing. Here every seed is trained several times by the
native kernels, each time from initial weights that differ in their last bits, which shows how far rounding alone
spreads the curve; and once by the reference kernels, from the weights as they are. Where those end should lie
anywhere within that spread. `below` is the share of the native runs with a lower value than the reference's; were
there nothing but chance, its mean over many seeds would be a half.

DATA holds the folder fashion-mnist; a run is the three epochs of configs/fashion-mnist.yaml on as many of the
training images as `--images` says, for the reference takes a quarter of an hour for all. Losses and top-1 are the test
images', after every epoch; of the native runs the lowest, the median and the highest.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import arguments_of, print_rows

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "fashion-mnist.yaml"
TRAINING_IMAGES = 60_000
LAST_BITS = 4e-7
"""Largest relative change of an initial weight, three units in the last place of float32."""


def run(kernels: str, data: Path, images: int, seed: int, change: int) -> list[dict[str, float]]:
    """Return loss and top-1 of the test images after each epoch of a training in a fresh process.

    Args:
        kernels: the value of TINYTRAIN_KERNELS.
        data: the folder of the data set.
        images: of the training set, so many.
        seed: of the config.
        change: which change of the last bits the initial weights get, 0 for none.
    """
    arguments = [sys.executable, __file__, str(data), "--run", *map(str, (images, seed, change))]
    environment = {**os.environ, "TINYTRAIN_KERNELS": kernels}
    return json.loads(subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout)


def train_once(data: Path, images: int, seed: int, change: int) -> list[dict[str, float]]:
    """Train in this process; return loss and top-1 of the test images after each epoch."""
    import numpy as np

    import tinytrain as tt
    from tinytrain.config import load_config
    from tinytrain.config.build import build_experiment
    from tinytrain.training import RunFolder, train

    overrides = [f"data.root={data / 'fashion-mnist'}", f"seed={seed}", "device=cpu"]
    overrides += [f"data.val_fraction={1 - images / TRAINING_IMAGES}"]
    experiment = build_experiment(load_config(CONFIG, overrides))
    experiment.val = experiment.test  # judged after every epoch, and nothing is chosen by it
    if change:
        rng = np.random.default_rng(change)
        with tt.no_grad():
            for parameter in experiment.model.parameters():
                factors = 1 + rng.uniform(-LAST_BITS, LAST_BITS, tuple(parameter.shape))
                parameter.mul_(tt.from_numpy(factors.astype(np.float32)))
    with tempfile.TemporaryDirectory() as folder:
        result = train(experiment, RunFolder.create("run", Path(folder) / "run"))
    return [{"loss": each.val.loss, "top-1": each.val.top1} for each in result.epochs if each.val is not None]


def compare(seed: int, reference: list[dict[str, float]], native: list[list[dict[str, float]]]) -> list[dict[str, Any]]:
    """Return a row for every epoch: where the reference lies among the native runs."""
    rows: list[dict[str, Any]] = []
    for epoch, expected in enumerate(reference):
        row: dict[str, Any] = {"seed": seed, "epoch": epoch + 1}
        for key, value in expected.items():
            found = sorted(each[epoch][key] for each in native)
            row[f"reference's {key}"] = f"{value:.4f}"
            row[f"native {key}"] = f"{found[0]:.4f} {statistics.median(found):.4f} {found[-1]:.4f}"
            row[f"below ({key})"] = sum(each < value for each in found) / len(found)
        rows.append(row)
    return rows


def main() -> None:
    parser = arguments_of(__doc__)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder that holds fashion-mnist")
    parser.add_argument("--seeds", type=int, default=3, help="how many (%(default)s)")
    parser.add_argument("--runs", type=int, default=8, help="native runs of each seed (%(default)s)")
    parser.add_argument("--images", type=int, default=TRAINING_IMAGES, help="of the training set (%(default)s)")
    parser.add_argument("--run", nargs=3, type=int, help="one run, for the benchmark itself")
    options = parser.parse_args()
    if options.run is not None:
        print(json.dumps(train_once(options.data, *options.run)))
        return
    rows: list[dict[str, Any]] = []
    ends: list[float] = []
    for seed in range(options.seeds):
        native = [run("auto", options.data, options.images, seed, change) for change in range(options.runs)]
        reference = run("reference", options.data, options.images, seed, 0)
        rows += compare(seed, reference, native)
        ends.append(rows[-1]["below (loss)"])
    print_rows(rows, options.json)
    error = (1 / 12 / len(ends)) ** 0.5  # of a mean of numbers that are equally likely anywhere between 0 and 1
    share = statistics.mean(ends)
    print(f"end with less loss than the reference: {share:.2f} of the native runs; by chance 0.50 ± {error:.2f}")


if __name__ == "__main__":
    main()
