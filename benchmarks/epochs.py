"""Images a second of whole training epochs beside PyTorch's: `python benchmarks/epochs.py [DATA] [--json FILE]`.

tinytrain runs its command, `tinytrain train CONFIG`, and tells its speed in `metrics.csv`. PyTorch runs a loop of its
own on the same images: torchvision's transforms in a DataLoader with as many workers, the same network, loss, optimizer
and parameter groups, a learning rate that changes with every step, the loss and the hits added up. Both count from the
first batch of an epoch to the last update. Runs take turns, each a fresh process of several epochs; the first epoch
of a run is its warm-up, and the median of the others counts. Configs are the two of the digits and, where DATA holds
the folder `fashion-mnist`, the two of that.
"""

from __future__ import annotations

import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import Rows, arguments_of, has_torch, print_rows

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
EPOCHS = {"digits": 6, "digits-standard": 6, "fashion-mnist": 2, "fashion-mnist-standard": 2}


def run_ours(config: Path, overrides: list[str]) -> list[float]:
    """Return the images a second of each epoch of `tinytrain train`."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        arguments = [sys.executable, "-m", "tinytrain", "train", str(config), *overrides, "--run-dir", str(run)]
        subprocess.run(arguments, check=True, capture_output=True)
        with (run / "metrics.csv").open(newline="") as file:
            return [float(row["images_per_second"]) for row in csv.DictReader(file)]


def run_theirs(config: Path, overrides: list[str]) -> list[float]:
    """Return the images a second of each epoch in PyTorch, from a process of its own."""
    arguments = [sys.executable, __file__, "--run", str(config), *overrides]
    return json.loads(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)


def train_in_torch(config_path: Path, overrides: list[str]) -> list[float]:
    """Train as a config says, in PyTorch; return the images a second of each epoch."""
    import torch
    from measure import share_cores
    from twins import twin_of

    from tinytrain.config import load_config
    from tinytrain.config.build import build_experiment

    share_cores()
    config = load_config(config_path, overrides)
    e = build_experiment(config)  # for its network, its groups of parameters, its splits
    model = twin_of(e.model)
    criterion = torch.nn.CrossEntropyLoss(**config.train.loss.arguments)
    names = {id(parameter): name for name, parameter in e.model.named_parameters()}
    twins = dict(model.named_parameters())
    groups = [
        {**group, "lr": group["initial_lr"], "params": [twins[names[id(each)]] for each in group["params"]]}
        for group in e.optimizer.param_groups
    ]
    optimizer = getattr(torch.optim, type(e.optimizer).__name__)(groups)
    loader = torch_loader(config, e)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(loader) * e.epochs)
    speeds = []
    for _ in range(e.epochs):
        model.train()
        total, hits, count = torch.zeros(()), torch.zeros((), dtype=torch.int64), 0
        begin = time.perf_counter()
        for images, targets in loader:
            optimizer.zero_grad()
            logits = model(images)
            loss = criterion(logits, targets)
            loss.backward()
            optimizer.step()
            scheduler.step()
            with torch.no_grad():
                total += loss * len(images)
                hits += (logits.argmax(1) == targets).sum()
            count += len(images)
        speeds.append(count / (time.perf_counter() - begin))
        assert torch.isfinite(total)
    return speeds


def torch_loader(config: Any, e: Any) -> Any:
    """Return PyTorch's loader of the training images of a config, with torchvision's transforms."""
    import torch.utils.data
    from torchvision import transforms

    from tinytrain.datasets.samples import untransformed

    steps = [getattr(transforms, step.name)(**step.arguments) for step in config.transforms.train]
    pipeline, plain = transforms.Compose(steps), untransformed(e.train.dataset)

    class Images(torch.utils.data.Dataset):
        """The images through torchvision's transforms."""

        def __len__(self) -> int:
            return len(plain)

        def __getitem__(self, index: int) -> Any:
            image, target = plain[index]
            return pipeline(image), target

    options = {"num_workers": config.data.workers, "persistent_workers": config.data.workers > 0}
    return torch.utils.data.DataLoader(Images(), config.data.batch_size, shuffle=True, **options)


def main() -> None:
    parser = arguments_of(__doc__, rounds=2)
    parser.add_argument("data", nargs="?", type=Path, metavar="DATA", help="folder that holds fashion-mnist")
    parser.add_argument("--epochs", type=int, help="of each run, two or more, instead of the benchmark's own")
    parser.add_argument("--only", nargs="+", choices=EPOCHS, help="these configs")
    parser.add_argument("--run", nargs="+", metavar="CONFIG", help="one run of PyTorch, for the benchmark itself")
    options = parser.parse_args()
    if options.run is not None:
        print(json.dumps(train_in_torch(Path(options.run[0]), options.run[1:])))
        return
    torch = has_torch()
    rows: Rows = []
    for name, epochs in EPOCHS.items():
        overrides = [f"train.epochs={options.epochs or epochs}", "device=cpu"]
        if options.only and name not in options.only:
            continue
        if name.startswith("fashion"):
            if options.data is None:
                continue
            overrides.append(f"data.root={options.data / 'fashion-mnist'}")
        contenders = {"tinytrain": run_ours, "PyTorch": run_theirs} if torch else {"tinytrain": run_ours}
        speeds: dict[str, list[float]] = {contender: [] for contender in contenders}
        for _ in range(options.rounds):
            for contender, run in contenders.items():
                speeds[contender] += run(CONFIGS / f"{name}.yaml", overrides)[1:]
        found = {contender: statistics.median(each) for contender, each in speeds.items()}
        row: dict[str, object] = {"config": name, **{f"{key} images/s": value for key, value in found.items()}}
        if torch:
            row["times PyTorch's"] = found["tinytrain"] / found["PyTorch"]
        rows.append(row)
    print_rows(rows, options.json)


if __name__ == "__main__":
    main()
