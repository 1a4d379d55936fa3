"""Every bad input that docs/reliability.md lists: how it is made and what is run.

What has to be said stands in the document alone; `test_bad_inputs.py` reads it there.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..datasets.idx_files import encoded
from ..weights.files import Call, Storage, legacy_file, safetensors_file, tensor, zip_file

SMALL = "data: {dataset: digits}\nmodel: {name: cnn, widths: [4], strides: [2]}\ntrain: {epochs: 1}\n"


@dataclass(frozen=True)
class BadInput:
    """One thing that is wrong.

    Attributes:
        group: of the table.
        what: is wrong, in a few words.
        make: writes it below a folder and returns the command line.
    """

    group: str
    what: str
    make: Callable[[Path], list[str]]


def cases() -> Iterator[BadInput]:
    """Yield everything that is tried."""
    yield from _configs()
    yield from _weights()
    yield from _idx()
    yield from _cifar()
    yield from _images()
    yield from _trainings()


def _configs() -> Iterator[BadInput]:
    def written(content: str | bytes) -> Callable[[Path], list[str]]:
        def make(folder: Path) -> list[str]:
            data = content.encode() if isinstance(content, str) else content
            (folder / "x.yaml").write_bytes(data)
            return ["train", str(folder / "x.yaml"), "--run-dir", str(folder / "run")]

        return make

    bomb = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))
    for what, content in [
        ("aliases that multiply to 9⁹ values", bomb),
        ("a tag that asks for a call", "name: !!python/object/apply:os.system [touch executed]\n"),
        ("an alias within itself", "data: &a [*a]\n"),
        ("3,000 nested lists", "data: " + "[" * 3000 + "]" * 3000),
        ("an integer of 5,000 digits", "seed: " + "9" * 5000),
        ("a NUL", "name: a\0b\n"),
        ("UTF-16", "name: é\n".encode("utf-16")),
        ("Latin-1", "name: é\n".encode("latin-1")),
        ("a key twice", "seed: 1\nseed: 2\n"),
        ("2 MB of comments", "#" * (2 << 20)),
        ("nothing", ""),
        ("a value that is no number", SMALL + "seed: .nan\n"),
        ("an unknown key", SMALL + "sed: 1\n"),
        ("a network beyond any memory", SMALL.replace("[4]", "[4000000000000]")),
        (
            "whole batches through a step for single images",
            SMALL.replace("digits", "digits, resident: true")
            + "transforms: {train: [{ColorJitter: {contrast: 0.1}}, ToTensor]}\n",
        ),
        ("whitening of a layer that is none", SMALL.replace("1}", "1, whitening: {layer: conv}}")),
        ("a schedule with steps of no length", SMALL.replace("1}", "1, schedule: {name: step, step_size: 0}}")),
        ("images that do not come out as float32", SMALL + "transforms: {train: [PILToTensor]}\n"),
        (
            "images of other channels to learn from than to judge by",
            SMALL + "transforms: {train: [{Grayscale: {num_output_channels: 3}}, ToTensor]}\n",
        ),
    ]:
        yield BadInput("Configs", what, written(content))


def _weights() -> Iterator[BadInput]:
    def made(make: Callable[[Path], object], name: str) -> Callable[[Path], list[str]]:
        def write(folder: Path) -> list[str]:
            make(folder / name)
            return ["doctor", str(folder / name)]

        return write

    def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, object]:
        return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}

    class Reduces:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, ("touch executed",)

    def zeros(path: Path) -> None:
        floats = Storage("FloatStorage", "0", 1 << 26)
        zip_file(
            path, {"a": tensor(floats, 0, (1 << 26,), (1,))}, {"0": bytes(1 << 28)}, compression=zipfile.ZIP_DEFLATED
        )

    floats = Storage("FloatStorage", "0", 6)
    raw = np.arange(6, dtype="<f4").tobytes()
    for what, name, make in [
        ("a pickle that calls os.system", "w.pth", lambda p: p.write_bytes(pickle.dumps(Reduces(), 2))),
        ("the same in PyTorch's zip format", "w.pt", lambda p: zip_file(p, pickle.dumps(Reduces(), 2), {})),
        ("a call of eval", "w.pt", lambda p: zip_file(p, {"a": Call("builtins.eval", "1")}, {})),
        (
            "a tensor larger than its storage",
            "w.pt",
            lambda p: zip_file(p, {"a": tensor(floats, 0, (7,), (1,))}, {"0": raw}),
        ),
        ("a negative shape", "w.pt", lambda p: zip_file(p, {"a": tensor(floats, 0, (-2, -3), (3, 1))}, {"0": raw})),
        (
            "a shape that overflows 64 bits",
            "w.pt",
            lambda p: zip_file(p, {"a": tensor(floats, 0, (1 << 40, 1 << 40), (0, 0))}, {"0": raw}),
        ),
        (
            "a storage shorter than announced",
            "w.pt",
            lambda p: zip_file(p, {"a": tensor(floats, 0, (6,), (1,))}, {"0": raw[:9]}),
        ),
        (
            "a legacy file cut short",
            "w.pth",
            lambda p: legacy_file(p, {"a": tensor(floats, 0, (6,), (1,))}, {"0": (6, raw[:9])}),
        ),
        ("256 MB of zeros in 260 kB", "w.pt", zeros),
        ("an .npz of objects", "w.npz", lambda p: np.savez(p, a=np.array([Reduces()], dtype=object))),
        ("a header length beyond the file", "w.safetensors", lambda p: safetensors_file(p, {}, length=1 << 60)),
        (
            "a name twice in the header",
            "w.safetensors",
            lambda p: safetensors_file(
                p, f'{{"a":{json.dumps(entry([1], 0, 4))},"a":{json.dumps(entry([1], 0, 4))}}}'.encode(), bytes(4)
            ),
        ),
        (
            "tensors that overlap",
            "w.safetensors",
            lambda p: safetensors_file(p, {"a": entry([1], 0, 4), "b": entry([1], 2, 6)}, bytes(6)),
        ),
        (
            "a hole between tensors",
            "w.safetensors",
            lambda p: safetensors_file(p, {"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)),
        ),
        ("bytes after the tensors", "w.safetensors", lambda p: safetensors_file(p, {"a": entry([1], 0, 4)}, bytes(8))),
        ("a negative length", "w.safetensors", lambda p: safetensors_file(p, {"a": entry([-1], 0, 4)}, bytes(4))),
        (
            "lengths that overflow 64 bits",
            "w.safetensors",
            lambda p: safetensors_file(p, {"a": entry([1 << 40, 1 << 40], 0, 4)}, bytes(4)),
        ),
        (
            "offsets beyond the file",
            "w.safetensors",
            lambda p: safetensors_file(p, {"a": entry([1 << 40], 0, 1 << 42)}, bytes(4)),
        ),
        ("an unknown type", "w.safetensors", lambda p: safetensors_file(p, {"a": entry([1], 0, 4, "F31")}, bytes(4))),
        ("text", "w.safetensors", lambda p: p.write_text("hello")),
        ("nothing", "w.safetensors", lambda p: p.write_bytes(b"")),
        ("a folder without weights", "run", lambda p: p.mkdir()),
    ]:
        yield BadInput("Weights", what, made(make, name))


def _idx() -> Iterator[BadInput]:
    images, labels = np.zeros((20, 8, 8), np.uint8), np.arange(20, dtype=np.uint8) % 2
    good = {"train-images-idx3-ubyte": encoded(images), "train-labels-idx1-ubyte": encoded(labels)}
    good |= {"t10k-images-idx3-ubyte": encoded(images), "t10k-labels-idx1-ubyte": encoded(labels)}

    def changed(**files: bytes | None) -> Callable[[Path], list[str]]:
        def make(folder: Path) -> list[str]:
            for name, content in {
                **good,
                **{f"train-{k}-idx{3 if k == 'images' else 1}-ubyte": v for k, v in files.items()},
            }.items():
                if content is not None:
                    (folder / name).write_bytes(content)
            return _train(folder, f"dataset: idx, root: {folder}, options: {{classes: ['0', '1']}}")

        return make

    plain = encoded(images)
    huge = b"\0\0\x08\x03" + struct.pack(">3I", 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    for what, make in [
        ("another magic number", changed(images=b"\x89PNG" + plain[4:])),
        ("nothing", changed(images=b"")),
        ("a header cut short", changed(images=plain[:9])),
        ("values cut short", changed(images=plain[:-1])),
        ("bytes after the values", changed(images=plain + b"\0")),
        ("sizes that overflow 64 bits", changed(images=huge)),
        ("sizes beyond the file", changed(images=plain[:4] + struct.pack(">3I", 1 << 20, 8, 8) + plain[16:])),
        ("a gzip cut short", changed(images=gzip.compress(plain)[:-9])),
        ("an xz that is damaged", changed(images=lzma.compress(plain)[:20] + bytes(40))),
        (
            "gigabytes of zeros in a gzip of megabytes",
            changed(images=_gzip_bomb(plain[:4] + struct.pack(">3I", 1 << 24, 8, 8))),
        ),
        ("a label out of range", changed(labels=encoded(np.full(20, 7, np.uint8)))),
        ("fewer labels than images", changed(labels=encoded(labels[:-1]))),
        ("labels where images belong", changed(images=encoded(labels))),
        ("a file that is not there", changed(labels=None)),
    ]:
        yield BadInput("IDX", what, make)


def _cifar() -> Iterator[BadInput]:
    class Reduces:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, ("touch executed",)

    def record(label: int) -> bytes:
        return bytes([label]) + bytes(3072)

    def files(content: bytes) -> dict[str, bytes]:
        batches = {f"data_batch_{i}.bin": record(i) + record(i + 1) for i in range(1, 6)}
        return {
            **batches,
            "test_batch.bin": record(1),
            "batches.meta.txt": b"a b c d e f g h i j",
            "data_batch_3.bin": content,
        }

    def unpacked(found: dict[str, bytes]) -> Callable[[Path], list[str]]:
        def make(folder: Path) -> list[str]:
            for name, content in found.items():
                (folder / name).write_bytes(content)
            return _train(folder, f"dataset: cifar10, root: {folder}")

        return make

    def archived(*members: tuple[str, bytes | None]) -> Callable[[Path], list[str]]:
        def make(folder: Path) -> list[str]:
            with tarfile.open(folder / "cifar-10-python.tar.gz", "w:gz") as tar:
                for name, content in members:
                    info = tarfile.TarInfo(name)
                    if content is None:
                        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                        tar.addfile(info)
                    else:
                        info.size = len(content)
                        tar.addfile(info, io.BytesIO(content))
            return _train(folder, f"dataset: cifar10, root: {folder}")

        return make

    def truncated(folder: Path) -> list[str]:
        arguments = archived(("cifar-10-batches-py/data_batch_1", os.urandom(9999)))(folder)
        path = folder / "cifar-10-python.tar.gz"
        path.write_bytes(path.read_bytes()[:5000])
        return arguments

    def python(content: bytes) -> dict[str, bytes]:
        names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]
        return dict.fromkeys(names, content)

    for what, make in [
        ("records cut short", unpacked(files(record(1)[:-1]))),
        ("a label out of range", unpacked(files(record(200)))),
        ("nothing", unpacked(files(b""))),
        ("a pickle that calls os.system", unpacked(python(pickle.dumps(Reduces(), 2)))),
        ("a pickle of something else", unpacked(python(pickle.dumps({"data": [1, 2]}, 2)))),
        ("files that are not there", unpacked({"data_batch_1.bin": record(1)})),
        ("an archive with a path that leads elsewhere", archived(("../../data_batch_1", b"x"))),
        ("an archive with an absolute path", archived(("/tmp/data_batch_1", b"x"))),
        ("an archive with a link", archived(("cifar-10-batches-py/data_batch_1", None))),
        ("an archive that unpacks to a thousand times its size", archived(("data_batch_1", bytes(1 << 28)))),
        ("an archive cut short", truncated),
    ]:
        yield BadInput("CIFAR and archives", what, make)


def _images() -> Iterator[BadInput]:
    from PIL import Image

    def folder_with(spoil: Callable[[Path], object]) -> Callable[[Path], list[str]]:
        def make(folder: Path) -> list[str]:
            photos(folder)
            spoil(folder / "train" / "b")
            return _train(folder, f"dataset: image_folder, root: {folder}")

        return make

    def png(width: int, height: int) -> bytes:
        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        return (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(bytes(9999)))
            + chunk(b"IEND", b"")
        )

    def link_loop(folder: Path) -> None:
        (folder / "3.png").symlink_to(folder / "4.png")
        (folder / "4.png").symlink_to(folder / "3.png")

    for what, spoil in [
        ("an image of 4 thousand million pixels", lambda p: (p / "3.png").write_bytes(png(65_000, 65_000))),
        ("an image cut short", lambda p: (p / "3.png").write_bytes((p / "0.png").read_bytes()[:60])),
        ("a web page called .jpg", lambda p: (p / "3.jpg").write_text("<!doctype html><title>Not found</title>")),
        ("a PostScript program called .png", lambda p: Image.new("RGB", (8, 8)).save(p / "3.png", "EPS")),
        ("an image of no bytes", lambda p: (p / "3.png").write_bytes(b"")),
        ("links that lead in a circle", link_loop),
        ("a named pipe", lambda p: os.mkfifo(p / "3.png")),
        ("a link to nothing", lambda p: (p / "3.png").symlink_to(p / "nowhere.png")),
        ("a class without images", lambda p: [file.unlink() for file in p.iterdir()]),
    ]:
        yield BadInput("Images", what, folder_with(spoil))

    def listed(text: str) -> Callable[[Path], list[str]]:
        def make(folder: Path) -> list[str]:
            photos(folder)
            (folder / "train.csv").write_text(text)
            return _train(folder, f"dataset: labels_file, root: {folder}")

        return make

    for what, text in [
        ("a list with another header", "file,class\ntrain/a/0.png,a\n"),
        ("a list with a file that is not there", "path,label\ntrain/a/9.png,a\n"),
        ("a list without rows", "path,label\n"),
    ]:
        yield BadInput("Images", what, listed(text))


def _trainings() -> Iterator[BadInput]:
    def digits(*overrides: str) -> Callable[[Path], list[str]]:
        def make(folder: Path) -> list[str]:
            (folder / "x.yaml").write_text(SMALL)
            return ["train", str(folder / "x.yaml"), "--run-dir", str(folder / "run"), *overrides]

        return make

    layers = "model={layers: [Flatten, {Linear: {in_features: 64, out_features: 4}}, BatchNorm1d, {Linear: {}}]}"

    def other_config(folder: Path) -> list[str]:
        arguments = digits()(folder)
        (folder / "run").mkdir()
        (folder / "run" / "config.yaml").write_text(SMALL.replace("epochs: 1", "epochs: 1, optimizer: {lr: 0.5}"))
        return [*arguments, "--resume"]

    def existing(folder: Path) -> list[str]:
        arguments = digits()(folder)
        (folder / "run").mkdir()
        (folder / "run" / "mine.txt").write_text("mine")
        return arguments

    def damaged(folder: Path) -> list[str]:
        arguments = digits()(folder)
        (folder / "run" / "checkpoint").mkdir(parents=True)
        (folder / "run" / "config.yaml").write_text(SMALL)
        (folder / "run" / "checkpoint" / "000001.safetensors").write_bytes(b"torn")
        return arguments

    for what, make in [
        ("one image in the last batch, under a BatchNorm1d", digits("data.batch_size=72", layers)),
        ("a batch size that `drop_last` makes no batch of", digits("data.batch_size=2000", "data.drop_last=true")),
        ("a learning rate that makes the loss infinite", digits("model.norm=none", "train.optimizer.lr=1e38")),
        ("a run folder that holds something else", existing),
        ("`--resume` with a config that learns something else", other_config),
        ("`--resume` of a run that is not there", digits("--resume")),
        ("the only checkpoint damaged", damaged),
    ]:
        yield BadInput("Running", what, make)


def photos(folder: Path) -> None:
    """Write an image folder of two classes with three images each, for training and validation."""
    from PIL import Image

    chance = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("a", "b"):
            (folder / split / name).mkdir(parents=True)
            for number in range(3):
                pixels = chance.integers(0, 256, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")


def _train(folder: Path, data: str) -> list[str]:
    """Write a config for some data and return the command line of a training."""
    (folder / "x.yaml").write_text(SMALL.replace("dataset: digits", data))
    return ["train", str(folder / "x.yaml"), "--run-dir", str(folder / "run")]


def _gzip_bomb(header: bytes) -> bytes:
    """Return a gzip of a header and a gigabyte of zeros."""
    packer = zlib.compressobj(9, wbits=31)
    megabyte = bytes(1 << 20)
    return packer.compress(header) + b"".join(packer.compress(megabyte) for _ in range(1 << 10)) + packer.flush()
