"""Public weights are found where they lie, got only when asked for, and never trusted without their hash."""

from __future__ import annotations

import hashlib
import http.server
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

import tinytrain as tt
from tinytrain import models
from tinytrain.errors import WeightsError
from tinytrain.models import pretrained
from tinytrain.models.pretrained import PRETRAINED, PretrainedWeights, find_pretrained
from tinytrain.models.retrieval import retrieve, search_folders

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "shufflenet_v2_x0_5"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT as any file; parts of it on request, and only half where the server says so."""

    def do_GET(self):
        self.server.ranges.append(self.headers.get("Range"))
        begin = int(re.findall(r"\d+", self.headers.get("Range", "0"))[0])
        if begin >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(CONTENT) - begin))
        self.end_headers()
        self.wfile.write(CONTENT[begin : len(CONTENT) // 2 if self.server.stops else None])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.ranges, running.stops = [], False
        running.url = f"http://127.0.0.1:{running.server_port}/some.pth"
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Put every folder that is looked in under one of the test's own."""
    for name in ("TINYTRAIN_HOME", "TORCH_HOME", "TORCH_MODEL_ZOO", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return search_folders()


def test_weights_are_looked_for_in_our_folder_then_in_pytorchs(folders: list[Path], tmp_path: Path):
    assert folders == [
        tmp_path / "TINYTRAIN_HOME" / "weights",
        tmp_path / "TORCH_HOME" / "hub" / "checkpoints",
        tmp_path / "TORCH_MODEL_ZOO",
        tmp_path / "XDG_CACHE_HOME" / "torch" / "hub" / "checkpoints",
    ]
    for folder in reversed(folders):
        folder.mkdir(parents=True)
        (folder / "some.pth").write_bytes(CONTENT)
        assert retrieve("http://nowhere.invalid/some.pth", SHA256[:8], download=False) == folder / "some.pth"


def test_nothing_is_downloaded_without_leave(folders: list[Path], server):
    with pytest.raises(WeightsError, match=r"some\.pth is not on this machine .*Allow the download, or put http"):
        retrieve(server.url, SHA256[:8], download=False)
    assert server.ranges == []


def test_a_download_goes_on_where_it_stopped(folders: list[Path], server):
    server.stops = True
    with pytest.raises(WeightsError, match=r"could not be downloaded.*Try again, which goes on where this stopped"):
        retrieve(server.url, SHA256[:8], download=True)
    assert [path.name for path in folders[0].iterdir()] == ["some.pth.part"]
    server.stops = False
    assert retrieve(server.url, SHA256[:8], download=True).read_bytes() == CONTENT
    assert [path.name for path in folders[0].iterdir()] == ["some.pth"]
    assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-"]


def test_a_part_that_is_whole_is_taken(folders: list[Path], server):
    folders[0].mkdir(parents=True)
    (folders[0] / "some.pth.part").write_bytes(CONTENT)
    assert retrieve(server.url, SHA256[:8], download=True).read_bytes() == CONTENT


def test_a_file_with_another_hash_is_refused_and_a_downloaded_one_dropped(folders: list[Path], server):
    with pytest.raises(WeightsError, match=f"SHA-256 begins with {SHA256[:8]}, not 00000000. Try again later"):
        retrieve(server.url, "00000000", download=True)
    assert list(folders[0].iterdir()) == []
    folders[2].mkdir()
    (folders[2] / "some.pth").write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match=r"the file is damaged: .*Delete it to get it anew"):
        retrieve(server.url, SHA256[:8], download=True)


@pytest.fixture
def public(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Stand in for the public weights of a small network; return their tensors."""
    tt.manual_seed(5)
    tensors = {key: tensor.numpy() for key, tensor in models.get_model(NAME).state_dict().items()}
    content = save(tensors)
    file = f"shuffle-{hashlib.sha256(content).hexdigest()[:10]}.pth"
    folders[1].mkdir(parents=True)
    (folders[1] / file).write_bytes(content)
    weights = PretrainedWeights(NAME, "IMAGENET1K_V1", file, 5.3, 60.6, 81.7)
    monkeypatch.setitem(PRETRAINED, NAME, {"IMAGENET1K_V1": weights})
    return tensors


@pytest.mark.parametrize(
    "options", [{"weights": "DEFAULT"}, {"weights": "IMAGENET1K_V1"}, {"pretrained": True}, {"weights": True}]
)
def test_a_builder_loads_public_weights(public: dict[str, np.ndarray], options: dict):
    model = models.shufflenet_v2_x0_5(**options)
    assert all((tensor.numpy() == public[key]).all() for key, tensor in model.state_dict().items())
    chosen = models.ShuffleNet_V2_X0_5_Weights.DEFAULT
    assert models.shufflenet_v2_x0_5(weights=chosen).fc.bias.tolist() == public["fc.bias"].tolist()


@pytest.mark.usefixtures("public")
@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: models.shufflenet_v2_x0_5("V1"), ValueError, "no weights of shufflenet_v2_x0_5 called 'V1'"),
        (lambda: models.cifar_resnet20("DEFAULT"), ValueError, "no public weights for cifar_resnet20"),
        (lambda: models.shufflenet_v2_x0_5("DEFAULT", num_classes=5), ValueError, "must be 1000 with pretrained"),
        (lambda: models.resnet18(models.ShuffleNet_V2_X0_5_Weights.DEFAULT), ValueError, "are those of shufflenet"),
        (lambda: models.shufflenet_v2_x0_5("DEFAULT", in_channels=1), WeightsError, r"it lacks conv1\.0\.weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused(build, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        build()


def test_every_weights_file_names_its_hash_and_a_model_that_there_is():
    for model, known in PRETRAINED.items():
        assert model in models.MODELS
        assert all(re.fullmatch("[0-9a-f]{8,10}", each.sha256) and each.model == model for each in known.values())


def test_the_best_weights_are_the_default_and_say_what_they_expect():
    assert find_pretrained("resnet50").name == "IMAGENET1K_V2"
    assert len(find_pretrained("resnet50").class_names) == 1000
    assert (pretrained.imagenet_classes()[0], pretrained.imagenet_classes()[-1]) == ("tench", "toilet tissue")
    assert find_pretrained("efficientnet_b0").eval_transforms[0] == {
        "Resize": {"size": 256, "interpolation": "bicubic"}
    }


def test_googlenets_own_normalisation_is_the_one_by_a_half():
    weights = find_pretrained("googlenet")
    assert weights.options == {"transform_input": True, "aux_logits": False}
    assert weights.eval_transforms[-1] == {"Normalize": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}


def test_old_names_of_densenets_layers_are_renewed(folders: list[Path], monkeypatch: pytest.MonkeyPatch):
    content = save({"features.denseblock1.denselayer2.norm.1.weight": np.ones(3, np.float32)})
    file = f"dense-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    folders[0].mkdir(parents=True)
    (folders[0] / file).write_bytes(content)
    weights = PretrainedWeights("densenet121", "IMAGENET1K_V1", file, 0.1, 0, 0)
    assert list(weights.read(download=False)) == ["features.denseblock1.denselayer2.norm1.weight"]


def test_a_name_that_is_no_weights_is_no_attribute():
    with pytest.raises(AttributeError, match="has no attribute 'ResNet19_Weights'"):
        _ = models.ResNet19_Weights
