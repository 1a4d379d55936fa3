"""Downloads, from a server on this machine: only when asked, checked, from any mirror."""

import functools
import gzip
import hashlib
import http.server
import re
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tinytrain import datasets
from tinytrain.datasets import EMNIST, MNIST
from tinytrain.datasets.download import Resource, fetch
from tinytrain.errors import DataError

from .idx_files import encoded


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        self.server.requested.append(self.path)


@pytest.fixture
def server(tmp_path, monkeypatch):
    pytest.importorskip("pooch")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.requested = []
        running.folder = folder
        running.url = f"http://127.0.0.1:{running.server_port}/"
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def md5(content):
    return hashlib.md5(content).hexdigest()


def test_a_file_is_got_from_the_first_mirror_that_has_it_and_then_kept(server, tmp_path):
    (server.folder / "b").mkdir()
    (server.folder / "b" / "data.bin").write_bytes(b"contents")
    resource = Resource("data.bin", md5(b"contents"), [server.url + "a/data.bin", server.url + "b/data.bin"])
    path = fetch(resource, tmp_path / "store")
    assert path == tmp_path / "store" / "data.bin"
    assert path.read_bytes() == b"contents"
    count = len(server.requested)
    assert fetch(resource, tmp_path / "store") == path
    assert len(server.requested) == count


def test_a_file_with_another_hash_is_refused_and_not_kept(server, tmp_path):
    (server.folder / "data.bin").write_bytes(b"tampered")
    with pytest.raises(DataError, match=r"data\.bin could not be downloaded .*hash") as caught:
        fetch(Resource("data.bin", md5(b"contents"), [server.url + "data.bin"]), tmp_path / "store")
    assert caught.value.place == str(tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []


def test_an_unreachable_mirror_is_named(tmp_path):
    pytest.importorskip("pooch")
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:9/x"):
        fetch(Resource("x", md5(b""), ["http://127.0.0.1:9/x"]), tmp_path)


def test_mnist_downloads_what_is_missing_and_only_when_asked(server, tmp_path, monkeypatch):
    files = {
        "train-images-idx3-ubyte.gz": gzip.compress(encoded(np.zeros((3, 28, 28), np.uint8))),
        "train-labels-idx1-ubyte.gz": gzip.compress(encoded(np.array([1, 2, 3], np.uint8))),
    }
    for name, content in files.items():
        (server.folder / name).write_bytes(content)
    monkeypatch.setattr(MNIST, "mirrors", [server.url])
    monkeypatch.setattr(MNIST, "md5", {name: md5(content) for name, content in files.items()})
    with pytest.raises(DataError, match="or ask for a download"):
        MNIST(tmp_path / "root")
    assert server.requested == []
    assert MNIST(tmp_path / "root", download=True).targets.tolist() == [1, 2, 3]
    assert len(server.requested) == 2
    assert len(MNIST(tmp_path / "root", download=True)) == 3
    assert len(server.requested) == 2


def test_emnist_takes_its_files_out_of_the_archive(server, tmp_path, monkeypatch):
    images, labels = encoded(np.zeros((2, 28, 28), np.uint8)), encoded(np.array([1, 26], np.uint8))
    with zipfile.ZipFile(server.folder / "gzip.zip", "w") as file:
        file.writestr("gzip/emnist-letters-train-images-idx3-ubyte.gz", gzip.compress(images))
        file.writestr("gzip/emnist-letters-train-labels-idx1-ubyte.gz", gzip.compress(labels))
    monkeypatch.setattr(EMNIST, "mirrors", [server.url])
    monkeypatch.setattr(EMNIST, "md5", {"gzip.zip": md5((server.folder / "gzip.zip").read_bytes())})
    assert EMNIST(tmp_path, "letters", download=True).targets.tolist() == [1, 26]
    assert server.requested == ["/gzip.zip"]


def test_everything_comes_over_https():
    package = Path(datasets.__file__).parent.parent
    addresses = {url for path in package.rglob("*.py") for url in re.findall(r"https?://[^\s\"']+", path.read_text())}
    assert addresses
    assert [url for url in addresses if not url.startswith("https://")] == []
