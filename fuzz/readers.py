"""Coverage-guided fuzzing of what reads files that nobody vouches for.

    python fuzz/readers.py yaml|weights|idx|image [libFuzzer's options, as -max_total_time=60]

A target may raise what people are told, `TinytrainError`, and nothing else; it must not hang, and not fill the memory.
libFuzzer stops at the first input that breaks this, and leaves it as `crash-...`. The search begins with valid files
and with what it found before, in `build/fuzz`.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import atheris

import tinytrain.optim  # noqa: F401  # reads no files: not instrumented, as little as what it imports

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))  # for the tests' makers of files

with atheris.instrument_imports(include=["tinytrain", "yaml", "PIL"]):
    import numpy as np
    from PIL import Image

    from tinytrain.config.load import load_config
    from tinytrain.datasets.idx import read_idx
    from tinytrain.datasets.image_reading import read_image
    from tinytrain.errors import TinytrainError
    from tinytrain.weights import describe

from tests.datasets.idx_files import encoded  # noqa: E402  # what is imported first is instrumented
from tests.weights.test_fuzzing import corpus  # noqa: E402


def configs(folder: Path) -> Iterator[bytes]:
    """Yield the configs of this repository."""
    return (path.read_bytes() for path in sorted((REPOSITORY / "configs").glob("*.yaml")))


def weights(folder: Path) -> Iterator[bytes]:
    """Yield a small file of every format of weights."""
    return (path.read_bytes() for path in corpus(folder).values())


def idx_files(folder: Path) -> Iterator[bytes]:
    """Yield images and labels."""
    yield encoded(np.zeros((3, 4, 4), np.uint8))
    yield encoded(np.arange(5, dtype=np.uint8))
    yield encoded(np.ones((2, 2), np.float32))


def images(folder: Path) -> Iterator[bytes]:
    """Yield a small image of every format that people have."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    for suffix in ("png", "jpg", "gif", "bmp", "webp", "tif", "ppm"):
        path = folder / f"image.{suffix}"
        Image.fromarray(pixels).save(path)
        yield path.read_bytes()


TARGETS: dict[str, tuple[Callable[[Path], object], Callable[[Path], Iterator[bytes]]]] = {
    "yaml": (load_config, configs),
    "weights": (describe, weights),
    "idx": (read_idx, idx_files),
    "image": (read_image, images),
}


def main() -> None:
    """Fuzz one target until its time is up or something is found."""
    name, *options = sys.argv[1:]
    read, seeds = TARGETS[name]
    warnings.simplefilter("ignore")
    folder = REPOSITORY / "build" / "fuzz" / name
    known, made = folder / "corpus", folder / "made"
    known.mkdir(parents=True, exist_ok=True)
    made.mkdir(exist_ok=True)
    for number, content in enumerate(seeds(made)):
        (known / f"seed-{number}").write_bytes(content)
    path = folder / "input"

    def try_input(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(TinytrainError):
            read(path)

    limits = ["-timeout=10", "-rss_limit_mb=1024", "-max_len=8192"]
    atheris.Setup([sys.argv[0], *limits, *options, str(known)], try_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
