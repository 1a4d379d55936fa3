"""Images a second through the loader, beside PyTorch's with the same transforms where it is installed.

    python benchmarks/loading.py ../shared/data

The folder holds `flowers320` and `fashion-mnist`. The two loaders take turns, and the best of each counts: what else
the machine does then disturbs both alike.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tinytrain import datasets, transforms
from tinytrain.utils.data import DataLoader, Subset

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def photo_steps(t: Any) -> list[Any]:
    """Return the usual transforms of training photos, from tinytrain's or torchvision's module."""
    return [t.RandomResizedCrop(224), t.RandomHorizontalFlip(), t.ToTensor(), t.Normalize(MEAN, STD)]


def grey_steps(t: Any) -> list[Any]:
    """Return random crop and flip of 28 by 28 images."""
    return [t.RandomCrop(28, padding=2), t.RandomHorizontalFlip(), t.ToTensor(), t.Normalize((0.286,), (0.353,))]


def rate(loader: Iterable[Sequence[Any]]) -> float:
    """Return the images a second of one pass."""
    start, count = time.perf_counter(), 0
    for _, targets in loader:
        count += len(targets.tolist())
    return count / (time.perf_counter() - start)


def report(name: str, ours: Any, make_theirs: Callable[[], Any], rounds: int) -> None:
    """Print the best rates of both loaders and their ratio."""
    loaders = {"tinytrain": ours}
    try:
        loaders["torch"] = make_theirs()
    except ImportError as error:
        print(f"(no comparison: {error})")
    best = dict.fromkeys(loaders, 0.0)
    for _ in range(rounds):
        for key, loader in loaders.items():
            best[key] = max(best[key], rate(loader))
    rates = "  ".join(f"{key} {value:9.0f}/s" for key, value in best.items())
    ratio = f"  ratio {best['tinytrain'] / best['torch']:.2f}" if "torch" in best else ""
    print(f"{name:<42} {rates}{ratio}", flush=True)


def photos(root: Path, workers: int, rounds: int) -> None:
    """Compare on a folder of JPEGs, with worker processes that stay."""
    options = {"batch_size": 32, "shuffle": True, "num_workers": workers, "persistent_workers": workers > 0}
    ours = datasets.ImageFolder(root, transforms.Compose(photo_steps(transforms)))

    def theirs() -> Any:
        import torch.utils.data
        from torchvision import datasets as tv_datasets
        from torchvision import transforms as tv

        return torch.utils.data.DataLoader(tv_datasets.ImageFolder(root, tv.Compose(photo_steps(tv))), **options)

    report(f"photos, crop 224 and flip, {workers} workers", DataLoader(ours, **options), theirs, rounds)


def in_memory(root: Path, rounds: int) -> None:
    """Compare on Fashion-MNIST, which lies in memory; PyTorch's loader goes through a twentieth of it."""
    ours = datasets.FashionMNIST(root, transform=transforms.Compose(grey_steps(transforms)))

    def theirs() -> Any:
        import torch.utils.data
        from torchvision import transforms as tv

        part = Subset(ours.with_transform(tv.Compose(grey_steps(tv))), range(3000))
        return torch.utils.data.DataLoader(part, 128, shuffle=True)

    report("Fashion-MNIST in memory, crop and flip", DataLoader(ours, 128, shuffle=True), theirs, rounds)


def main() -> None:
    """Read the arguments and run both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    photos(arguments.data / "flowers320" / "train", arguments.workers, arguments.rounds)
    in_memory(arguments.data / "fashion-mnist", arguments.rounds)


if __name__ == "__main__":
    main()
