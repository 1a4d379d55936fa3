"""`finetune` from the command line: what it takes over, what it says, and the run it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinytrain.cli.main import run
from tinytrain.config import config_from_values, load_config
from tinytrain.config.finetune import build_finetuning
from tinytrain.config.schema import plain_values
from tinytrain.models import MODELS
from tinytrain.models.pretrained import PretrainedWeights, find_pretrained
from tinytrain.weights import load_bundle, save_bundle

CONFIG = """\
name: small
data: {dataset: image_folder, root: ROOT, batch_size: 4}
transforms:
  train: [ToTensor, {Normalize: {mean: [0.5], std: [0.25]}}]
  eval: [ToTensor, {Normalize: {mean: [0.5], std: [0.25]}}]
model: {name: cnn, widths: [4, 6], strides: [2, 2]}
train: {epochs: 2, optimizer: {name: sgd, lr: 0.1}}
"""


def photos(root: Path, classes: list[str]) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in classes:
            (root / split / name).mkdir(parents=True)
            for i in range(3):
                Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(root / split / name / f"{i}.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run on three classes, and a config for other ones."""
    folder = tmp_path_factory.mktemp("finetune")
    photos(folder / "old", ["elm", "oak", "pine"])
    photos(folder / "new", ["fir", "oak"])
    (folder / "old.yaml").write_text(CONFIG.replace("ROOT", str(folder / "old")))
    (folder / "new.yaml").write_text(CONFIG.replace("ROOT", str(folder / "new")))
    assert run(["train", str(folder / "old.yaml"), "--run-dir", str(folder / "run")]) == 0
    return folder


def finetune(folder: Path, to: Path, *arguments: str) -> int:
    given = [] if "--weights" in arguments else ["--weights", str(folder / "run")]
    return run(["finetune", str(folder / "new.yaml"), "--run-dir", str(to), *given, *arguments])


def test_it_says_what_it_takes_and_leaves_an_ordinary_run(folder: Path, tmp_path: Path, capsys):
    to = tmp_path / "tuned"
    assert finetune(folder, to) == 0
    stdout, stderr = capsys.readouterr()
    lines = stderr.splitlines()
    assert lines[0] == f"{folder / 'run'}: 14 tensors loaded, 0 skipped, 0 left at initialisation"
    assert lines[1].split() == ["loaded", "features", "(12", "tensors)"]
    assert lines[2].split(maxsplit=4)[4] == "1 of 2 classes, by name: oak"
    assert stdout.splitlines()[-1] == f"results in {to}"
    report = json.loads((to / "finetune.json").read_text())
    assert report["weights"] == str(folder / "run")
    assert len(report["tensors"]) == 14
    assert load_bundle(to).class_names == ["fir", "oak"]
    assert load_config(to / "config.yaml").finetune.weights == str(folder / "run")
    assert run(["evaluate", str(to), "--split", "val"]) == 0


def test_frozen_parts_are_the_bits_of_the_file(folder: Path, tmp_path: Path):
    assert finetune(folder, tmp_path / "tuned", "finetune.freeze=[features]") == 0
    before, after = load_bundle(folder / "run").weights, load_bundle(tmp_path / "tuned").weights
    features = [name for name in before if name.startswith("features")]
    assert len(features) == 12
    assert all(np.array_equal(before[name], after[name]) for name in features)
    assert not np.array_equal(before["classifier.bias"][1], after["classifier.bias"][1])


def test_a_finetuning_goes_on_to_the_bit_where_it_was_stopped(folder: Path, tmp_path: Path, monkeypatch):
    options = ["train.ema_decay=0.9", "finetune.freeze=[features]", "finetune.unfreeze_at_epoch=1"]
    assert finetune(folder, tmp_path / "whole", *options) == 0
    from tinytrain.cli import progress

    def stop(self: progress.Screen, result: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(progress.Screen, "epoch", stop)
        assert finetune(folder, tmp_path / "parts", *options) == 130
    assert finetune(folder, tmp_path / "parts", *options, "--resume") == 0
    whole, parts = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("whole", "parts"))
    assert whole["weights_sha256"] == parts["weights_sha256"]
    assert whole["val"] == parts["val"]


def test_train_does_not_go_on_with_a_finetuning(folder: Path, tmp_path: Path, capsys):
    to = tmp_path / "tuned"
    assert finetune(folder, to) == 0
    assert run(["train", str(to / "config.yaml"), "--run-dir", str(to), "--resume"]) == 2
    assert capsys.readouterr().err.endswith(
        f"error: {to}: the run was begun by `tinytrain finetune`. Go on with it by finetune --resume\n"
    )


def test_the_preprocessing_of_the_weights_is_taken_where_the_config_has_none(folder: Path, tmp_path: Path, capsys):
    config = tmp_path / "bare.yaml"
    lines = (folder / "new.yaml").read_text().splitlines(keepends=True)
    config.write_text("".join(line for line in lines if "transforms" not in line and "ToTensor" not in line))
    to = tmp_path / "tuned"
    assert run(["finetune", str(config), "--weights", str(folder / "run"), "--run-dir", str(to)]) == 0
    assert "warning" not in capsys.readouterr().err
    assert load_bundle(to).eval_transforms == load_bundle(folder / "run").eval_transforms
    assert f"# weights {folder / 'run'}" in (to / "config.yaml").read_text()


def test_another_preprocessing_is_a_warning_that_names_both(folder: Path, tmp_path: Path, capsys):
    assert finetune(folder, tmp_path / "tuned", "transforms.eval=[ToTensor]") == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert warnings == [
        "warning: transforms.eval is [ToTensor], the weights were made with "
        "[ToTensor, {Normalize: {mean: [0.5], std: [0.25]}}]; leave out transforms.eval to take theirs"
    ]


def test_weights_that_fit_in_part_are_a_warning(folder: Path, tmp_path: Path, capsys):
    assert finetune(folder, tmp_path / "tuned", "model.widths=[4, 7]") == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert warnings == [
        "warning: not the head alone begins anew: 5 other tensors have no weights "
        "(features.1.0.weight, features.1.1.weight, features.1.1.bias, ...)"
    ]


def test_tensors_of_other_names_come_by_a_mapping(folder: Path, tmp_path: Path, capsys):
    bundle = load_bundle(folder / "run")
    renamed = {name.replace("features.", "body."): array for name, array in bundle.weights.items()}
    np.savez(tmp_path / "renamed.npz", **renamed)
    options = ["--weights", str(tmp_path / "renamed.npz"), "finetune.mapping={body.: features.}"]
    assert finetune(folder, tmp_path / "tuned", *options) == 0
    assert ": 12 tensors loaded, 2 skipped, 2 left at initialisation\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--weights", "none.pth"], 3, "none.pth: there is no such file. Name a run folder or a weights file"),
        (["finetune.freeze=[feature]"], 2, "override: finetune.freeze: no parameter's name begins with 'feature' (did"),
        (
            ["--weights", "pretrained"],
            2,
            "CONFIG:6: model.name: there are no public weights for cnn; there are for alexn",
        ),
        (["--weights", "pretrained", "model={name: vgg11}"], 3, "vgg11-8a719046.pth is not on this machine (looked in"),
        (["finetune.freez=[a]"], 2, "override: finetune.freez: unknown key (did you mean 'freeze'?)"),
    ],
)
def test_it_refuses_in_one_line_and_leaves_nothing(
    folder: Path, tmp_path: Path, capsys, monkeypatch, arguments: list[str], code: int, message: str
):
    for name in ("TINYTRAIN_HOME", "TORCH_HOME", "TORCH_MODEL_ZOO", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    assert finetune(folder, tmp_path / "tuned", *arguments) == code
    stderr = capsys.readouterr().err
    assert stderr.startswith(f"error: {message}".replace("CONFIG", str(folder / "new.yaml")))
    assert stderr.count("\n") == 1
    assert not (tmp_path / "tuned").exists()


def test_weights_must_be_named(folder: Path, capsys):
    assert run(["finetune", str(folder / "new.yaml")]) == 2
    assert capsys.readouterr().err == (
        "error: which weights to begin with is not said. "
        "Give --weights FILE, RUN or pretrained, or set finetune.weights\n"
    )


def test_the_flowers_config_takes_everything_of_imagenet_but_the_head(shared_data: Path):
    repository = Path(__file__).resolve().parent.parent.parent
    config = load_config(
        repository / "configs" / "flowers-finetune.yaml", [f"data.root={shared_data / 'flowers320'}", "device=cpu"]
    )
    weights = str(shared_data / "weights" / "mobilenetV1X0.25_pretrain.tar")
    finetuning = build_finetuning(config, weights)
    assert finetuning.matching.prefix == "state_dict.module."
    assert finetuning.matching.missing == ["fc.weight", "fc.bias"]
    assert len(finetuning.matching.of("loaded")) == 162
    assert finetuning.experiment.freezing is not None


def test_scratch_and_finetuning_of_the_flowers_differ_in_nothing_but_the_weights():
    configs = Path(__file__).resolve().parent.parent.parent / "configs"
    tuned, scratch = (plain_values(load_config(configs / f"flowers-{name}.yaml")) for name in ("finetune", "scratch"))
    differing = {key for key in tuned if tuned[key] != scratch[key]}
    assert differing == {"name", "train", "finetune"}
    assert tuned["train"]["epochs"] == scratch["train"]["epochs"]


def test_train_leaves_pretrained_weights_to_finetune(folder: Path, capsys):
    assert run(["train", str(folder / "new.yaml"), "model={name: squeezenet1_1, pretrained: true}"]) == 2
    assert capsys.readouterr().err == (
        f"error: {folder / 'new.yaml'}: `train` begins with random weights, the config has model.pretrained=true. "
        "Use tinytrain finetune, which says what it takes over\n"
    )


def test_public_weights_bring_their_classes_and_preprocessing(tmp_path: Path, monkeypatch):
    public = find_pretrained("squeezenet1_1")
    tensors = {name: tensor.numpy() + 1 for name, tensor in MODELS["squeezenet1_1"]().state_dict().items()}
    monkeypatch.setattr(PretrainedWeights, "read", lambda self, *, download: tensors)
    classes = ["daisy", "rose", "tulip"]
    photos(tmp_path / "photos", classes)
    values = {
        "data": {"dataset": "image_folder", "root": str(tmp_path / "photos")},
        "model": {"name": "squeezenet1_1", "pretrained": True},
    }
    finetuning = build_finetuning(config_from_values(values))
    model = finetuning.experiment.model
    assert plain_values(finetuning.config)["transforms"]["eval"] == public.eval_transforms
    assert np.array_equal(model.features[0].weight.detach().numpy(), tensors["features.0.weight"])
    head, daisy = model.classifier[1].bias.detach().numpy(), public.class_names.index("daisy")
    assert head[0] == tensors["classifier.1.bias"][daisy]
    assert (head[1:] < 0.5).all()  # their own first values, the file's are all near 1
    assert finetuning.warnings == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("ending", ["weight", "running_var"])
def test_weights_that_are_not_finite_are_refused_by_name(folder: Path, tmp_path: Path, capsys, value, ending):
    bundle = load_bundle(folder / "run")
    name = next(name for name in bundle.weights if name.endswith(ending))
    bundle.weights[name] = bundle.weights[name].copy()
    bundle.weights[name].flat[1] = value
    file = tmp_path / "w.safetensors"
    save_bundle(file, bundle)
    assert finetune(folder, tmp_path / "tuned", "--weights", str(file)) == 3
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == (
        f"error: {file}: {name} has values that are infinite or no numbers. "
        "Begin with other weights, or leave the tensor out with finetune.mapping"
    )
    assert not (tmp_path / "tuned").exists()
    assert finetune(folder, tmp_path / "tuned", "--weights", str(file), f"finetune.mapping={{{name}: null}}") == 0
