"""Images a second through the loader, beside PyTorch's: `python benchmarks/loading.py DATA [out.json]`.

The folder DATA holds `flowers320` and `fashion-mnist`. Both loaders apply the same transforms; photos are decoded by
two workers each, and the large photos are the others enlarged four times. Beside the ratio of the wall-clock times
stands that of the processors' times, of all processes: it says less about what else the machine does.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from measure import has_torch, medians, print_rows, seconds_of
from PIL import Image

from tinytrain import datasets, transforms
from tinytrain.datasets.ram_cache import RamCache
from tinytrain.utils.data import DataLoader, Subset

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OPTIONS = {"batch_size": 32, "shuffle": True, "num_workers": 2, "persistent_workers": True}
ROUNDS, WARMUP = 9, 2
NUM_LARGE = 64  # photos that are enlarged


def photo_steps(t: Any) -> list[Any]:
    """Return the usual transforms of training photos, from tinytrain's or torchvision's module."""
    return [t.RandomResizedCrop(224), t.RandomHorizontalFlip(), t.ToTensor(), t.Normalize(MEAN, STD)]


def grey_steps(t: Any) -> list[Any]:
    """Return random crop and flip of 28 by 28 images."""
    return [t.RandomCrop(28, padding=2), t.RandomHorizontalFlip(), t.ToTensor(), t.Normalize((0.286,), (0.353,))]


def our_photos(root: Path, read: Callable[[str], Any]) -> DataLoader:
    """Return tinytrain's loader of a folder of photos."""
    return DataLoader(datasets.ImageFolder(root, transforms.Compose(photo_steps(transforms)), loader=read), **OPTIONS)


def their_photos(root: Path) -> Any:
    """Return PyTorch's loader of a folder of photos."""
    import torch.utils.data
    from torchvision import datasets as tv_datasets
    from torchvision import transforms as tv

    return torch.utils.data.DataLoader(tv_datasets.ImageFolder(root, tv.Compose(photo_steps(tv))), **OPTIONS)


def our_greys(root: Path) -> DataLoader:
    """Return tinytrain's loader of Fashion-MNIST, which lies in memory."""
    pipeline = transforms.Compose(grey_steps(transforms))
    return DataLoader(datasets.FashionMNIST(root, transform=pipeline), 128, shuffle=True)


def their_greys(root: Path) -> Any:
    """Return PyTorch's loader of a twentieth of Fashion-MNIST, in memory as Pillow reads it."""
    import torch.utils.data
    from torchvision import transforms as tv

    part = Subset(datasets.FashionMNIST(root, transform=tv.Compose(grey_steps(tv))), range(3000))
    return torch.utils.data.DataLoader(part, 128, shuffle=True)


def enlarge(photos: Sequence[Path], folder: Path) -> None:
    """Write the photos four times as wide and high, as JPEGs of a camera's usual quality."""
    for number, path in enumerate(photos):
        with Image.open(path) as photo:
            large = photo.resize((4 * photo.width, 4 * photo.height), Image.Resampling.BICUBIC)
        target = folder / path.parent.name / f"{number}.jpg"
        target.parent.mkdir(exist_ok=True)
        large.save(target, quality=90)


def processor_seconds() -> float:
    """Return the processors' time so far of this process and its workers; only Linux tells it."""
    processes = [os.getpid(), *(process.pid for process in multiprocessing.active_children())]
    threads = [thread for process in processes for thread in Path(f"/proc/{process}/task").glob("*/schedstat")]
    return sum(int(thread.read_text().split()[0]) for thread in threads) * 1e-9 if threads else float("nan")


def count_images(loader: Iterable[Sequence[Any]]) -> int:
    """Go through a loader and return how many images came."""
    return sum(len(targets.tolist()) for _, targets in loader)


def compare(what: str, ours: Any, theirs: Any) -> dict[str, object]:
    """Return a row of the table: both loaders' rates and their ratios."""
    loaders = {"tinytrain": ours} if theirs is None else {"tinytrain": ours, "PyTorch": theirs}
    processor: dict[str, list[float]] = {name: [] for name in loaders}

    def measure(name: str) -> float:
        before, counts = processor_seconds(), []
        seconds = seconds_of(lambda: counts.append(count_images(loaders[name])))
        processor[name].append((processor_seconds() - before) / counts[0])
        return seconds / counts[0]

    contenders = {name: functools.partial(measure, name) for name in loaders}
    found = medians(contenders, rounds=ROUNDS, warmup=WARMUP)
    busy = {name: statistics.median(values[WARMUP:]) for name, values in processor.items()}
    row: dict[str, object] = {"images": what, "tinytrain /s": 1 / found["tinytrain"]}
    if theirs is not None:
        row["PyTorch /s"] = 1 / found["PyTorch"]
        row["ratio"] = found["PyTorch"] / found["tinytrain"]
        row["ratio of processors' time"] = busy["PyTorch"] / busy["tinytrain"]
    return row


def main(data: str, output: str | None = None) -> None:
    """Compare on photos, on large photos, and on images in memory."""
    torch = has_torch()
    root, photos = Path(data) / "fashion-mnist", Path(data) / "flowers320" / "train"
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder)
        enlarge(sorted(photos.rglob("*.jpg"))[:: 240 // NUM_LARGE][:NUM_LARGE], large)
        for what, place, read in (
            ("photos", photos, datasets.read_image),
            ("photos, shortest_edge 112", photos, functools.partial(datasets.read_image, shortest_edge=112)),
            ("photos, cache ram", photos, RamCache(datasets.read_image)),
            ("large photos", large, datasets.read_image),
            ("large photos, shortest_edge 256", large, functools.partial(datasets.read_image, shortest_edge=256)),
        ):
            rows.append(compare(what, our_photos(place, read), their_photos(place) if torch else None))
    rows.append(compare("Fashion-MNIST in memory", our_greys(root), their_greys(root) if torch else None))
    print_rows(rows, output)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python benchmarks/loading.py DATA [out.json]")
    main(*sys.argv[1:3])
