"""A config becomes the network, the data and the rules that it describes."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tinytrain import nn
from tinytrain.config import config_from_values, load_config
from tinytrain.config.build import build_experiment, image_shape, load_data
from tinytrain.datasets.ram_cache import RamCache
from tinytrain.errors import ConfigError, DataError, DeviceError
from tinytrain.optim import SGD

LAYERS = [
    {"Conv2d": {"in_channels": 1, "out_channels": 4, "kernel_size": 3}},
    "ReLU",
    "Flatten",
    {"Linear": {"in_features": 144, "out_features": 10}},
]


def values(**sections: Any) -> dict[str, Any]:
    return {"data": {"dataset": "digits"}, "model": {"name": "cnn", "widths": [4], "strides": [1]}, **sections}


def test_every_part_of_an_experiment_is_what_the_config_says():
    config = config_from_values(
        values(
            name="small",
            seed=3,
            device="cpu",
            train={
                "epochs": 4,
                "optimizer": {"name": "sgd", "lr": 0.5, "momentum": 0.9},
                "schedule": {"name": "constant", "warmup_epochs": 0.5},
                "loss": {"name": "cross_entropy", "label_smoothing": 0.1},
                "clip_grad_norm": 2.0,
            },
        )
    )
    experiment = build_experiment(config)
    assert (experiment.name, experiment.seed, experiment.epochs) == ("small", 3, 4)
    assert (experiment.clip_grad_norm, experiment.clip_grad_value) == (2.0, None)
    assert experiment.input_shape == (1, 8, 8)
    assert experiment.class_names == list("0123456789")
    assert isinstance(experiment.optimizer, SGD)
    # A warm-up of half an epoch of 21 batches is 10 steps, the first at an eleventh of the rate.
    assert experiment.optimizer.param_groups[0]["lr"] == pytest.approx(0.5 / 11)
    assert isinstance(experiment.loss, nn.CrossEntropyLoss)
    assert experiment.loss.label_smoothing == 0.1
    assert experiment.train.batch_size == 64
    assert experiment.val is not None
    assert experiment.test is not None


def test_the_first_weights_follow_from_the_seed_alone():
    first, again, other = (build_experiment(config_from_values(values(seed=seed))).model for seed in (0, 0, 1))
    weights = [model.classifier.weight.tolist() for model in (first, again, other)]
    assert weights[0] == weights[1] != weights[2]


def test_a_list_of_layers_is_a_network():
    config = config_from_values(values(model={"layers": LAYERS}))
    model = build_experiment(config).model
    assert [type(layer).__name__ for layer in model] == ["Conv2d", "ReLU", "Flatten", "Linear"]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("Conv2D", "model.layers.0: there is no layer called 'Conv2D' (did you mean 'Conv2d'?)"),
        ({"Conv2d": {"in_channels": 1}}, "model.layers.0.Conv2d: layer 'Conv2d' needs the key 'out_channels'"),
        (
            {"ReLU": {"inplce": True}},
            "model.layers.0.ReLU.inplce: unknown key for layer 'ReLU' (did you mean 'inplace'",
        ),
    ],
)
def test_a_layer_that_does_not_exist_or_fit_is_refused(layer: Any, message: str):
    with pytest.raises(ConfigError) as caught:
        config_from_values(values(model={"layers": [layer]}))
    assert str(caught.value).startswith(message)


def test_a_layer_whose_arguments_do_not_go_together_is_refused_by_place():
    layer = {"Conv2d": {"in_channels": 6, "out_channels": 8, "kernel_size": 3, "groups": 4}}
    config = config_from_values(values(model={"layers": [layer]}), {("model", "layers", 0): "x.yaml:7"})
    with pytest.raises(ConfigError, match=r"^x\.yaml:7: model\.layers\.0: .*in_channels.*groups"):
        build_experiment(config)


def test_the_features_of_a_training_come_from_their_keys():
    train = {
        "epochs": 2,
        "accumulate_steps": 4,
        "ema_decay": 0.99,
        "best_metric": "macro_recall",
        "early_stopping": {"patience": 3},
        "mixup_alpha": 0.2,
        "optimizer": {
            "name": "sgd",
            "lr": 0.5,
            "weight_decay": 0.1,
            "groups": [{"prefix": "features", "lr_scale": 0.1}],
            "decay_norm_and_bias": False,
        },
    }
    experiment = build_experiment(config_from_values(values(train=train)))
    assert experiment.accumulate_steps == 4
    assert experiment.steps_per_epoch == 6  # 1,442 - 145 images in 21 batches of 64
    assert experiment.average.decay == 0.99
    assert experiment.best_metric == "macro_recall"
    assert (experiment.early_stopping.patience, experiment.early_stopping.metric) == (3, "loss")
    groups = experiment.optimizer.param_groups
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [
        (0.5, 0.1),
        (0.5, 0.0),
        (pytest.approx(0.05), 0.1),
        (pytest.approx(0.05), 0.0),
    ]
    _, labels = next(iter(experiment.train))
    assert labels.shape == (64, 10)


def test_one_cycle_keeps_the_proportions_of_groups():
    train = {
        "optimizer": {"name": "sgd", "groups": [{"prefix": "features", "lr_scale": 0.1}]},
        "schedule": {"name": "one_cycle", "max_lr": 1.0, "div_factor": 10.0, "cycle_momentum": False},
    }
    groups = build_experiment(config_from_values(values(train=train))).optimizer.param_groups
    assert [group["lr"] for group in groups] == pytest.approx([0.1, 0.01])


@pytest.mark.parametrize("group", [{"lr_scale": 0.1}, {"prefix": "", "lr_scale": 2.0}])
def test_a_group_names_parameters(group: dict[str, Any]):
    with pytest.raises(ConfigError, match=r"train\.optimizer\.groups\.0: expected a `prefix`, a `suffix` or both"):
        config_from_values(values(train={"optimizer": {"name": "sgd", "lr": 0.1, "groups": [group]}}))


def test_early_stopping_needs_a_validation_set():
    config = config_from_values(
        {**values(train={"early_stopping": {"patience": 1}}), "data": {"dataset": "digits", "val_fraction": 0.0}}
    )
    with pytest.raises(
        ConfigError, match=r"train\.early_stopping: early stopping needs a validation set.*val_fraction"
    ):
        build_experiment(config)


class Damaged(list):
    """Samples; those that are a number are files that cannot be read."""

    def __getitem__(self, index: Any) -> Any:
        if isinstance(sample := super().__getitem__(index), int):
            raise DataError(f"damaged {sample}")
        return sample


def test_the_shape_of_images_is_that_of_the_first_that_can_be_read():
    image = np.zeros((3, 4, 5), np.float32)
    assert image_shape(Damaged([1, 2, (image, 0)])) == (3, 4, 5)


@pytest.mark.parametrize(("samples", "message"), [([1, 2], "damaged 1"), ([], "there is no image to train on")])
def test_a_set_without_an_image_that_can_be_read_is_refused(samples: list[int], message: str):
    with pytest.raises(DataError, match=message):
        image_shape(Damaged(samples))


def test_image_files_are_read_as_the_config_says(tmp_path):
    folder = tmp_path / "train" / "a"
    folder.mkdir(parents=True)
    Image.new("RGB", (80, 64)).save(folder / "x.jpg")
    data = {"dataset": "image_folder", "root": str(tmp_path), "val_fraction": 0}
    for keys, shape in (({}, (3, 64, 80)), ({"shortest_edge": 30, "cache": "ram"}, (3, 32, 40))):
        config = config_from_values(values(data={**data, **keys}))
        assert load_data(config).train[0][0].shape == shape
    assert isinstance(load_data(config).train.loader, RamCache)
    assert "cache: ram" in config.to_yaml()


@pytest.mark.parametrize(("key", "value"), [("cache", "ram"), ("shortest_edge", 30)])
def test_how_to_read_files_is_refused_where_there_are_none(key, value):
    config = config_from_values(values(data={"dataset": "digits", key: value}))
    with pytest.raises(ConfigError, match=f"`{key}` is for images in files of their own; those of digits"):
        load_data(config)


def test_another_cache_than_ram_is_refused():
    with pytest.raises(ConfigError, match="cache"):
        config_from_values(values(data={"dataset": "image_folder", "cache": "disk"}))


@pytest.mark.parametrize("split", ["train", "eval"])
@pytest.mark.parametrize(
    ("steps", "found"),
    [
        (["PILToTensor"], "uint8"),
        (["PILToTensor", {"ConvertImageDtype": {"dtype": "float64"}}], "float64"),
        (["PILToTensor", {"ConvertImageDtype": {"dtype": "int32"}}], "int32"),
    ],
)
def test_images_that_do_not_come_out_as_float32_are_refused(split: str, steps: list[Any], found: str):
    with pytest.raises(ConfigError) as caught:
        build_experiment(config_from_values(values(transforms={split: steps})))
    assert str(caught.value) == (
        f"transforms.{split}: the images come out as {found}, and networks take float32. "
        "Use ToTensor, or end with {ConvertImageDtype: {dtype: float32}}"
    )


@pytest.mark.parametrize(
    ("sections", "shapes"),
    [
        (
            {"transforms": {"train": [{"Grayscale": {"num_output_channels": 3}}, "ToTensor"]}},
            ("1x8x8", "3x8x8"),
        ),
        (
            {
                "transforms": {"eval": [{"Resize": {"size": 16}}, "ToTensor"]},
                "model": {"layers": ["Flatten", "Linear"]},
            },
            ("1x16x16", "1x8x8"),
        ),
    ],
)
def test_evaluation_images_that_the_network_does_not_take_are_refused(
    sections: dict[str, Any], shapes: tuple[str, str]
):
    with pytest.raises(ConfigError) as caught:
        build_experiment(config_from_values(values(**sections)))
    told = str(caught.value)
    assert told.startswith(
        f"transforms: the images of `eval` are {shapes[0]} and those of `train` {shapes[1]}, and the network does not "
        "take both ("
    )
    assert told.endswith("). Let both end with the same channels and size")


def test_evaluation_images_may_be_of_another_size_where_the_network_takes_it():
    sections = {"transforms": {"eval": [{"Resize": {"size": 16}}, "ToTensor"]}}
    assert build_experiment(config_from_values(values(**sections))).input_shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"transforms": {"train": ["ToTensor", {"Normalize": {"mean": ["dark"], "std": [1.0]}}]}},
            "transforms.train: could not convert string to float: 'dark'",
        ),
        (
            {"transforms": {"eval": ["ToTensor", {"Normalize": {"mean": [0.1, 0.2], "std": [1.0, 1.0]}}]}},
            "transforms.eval: ",
        ),
        ({"model": {"name": "lenet5"}}, "model: "),  # which is made for images of 32 pixels, not 8
    ],
)
def test_what_cannot_work_on_an_image_is_a_mistake_of_the_config(sections: dict[str, Any], message: str):
    with pytest.raises(ConfigError) as caught:
        build_experiment(config_from_values(values(**sections)))
    assert str(caught.value).startswith(message)


def test_a_network_beyond_the_memory_is_a_mistake_of_the_config():
    section = {"name": "cnn", "widths": [4_000_000_000_000], "strides": [1]}
    with pytest.raises(ConfigError, match=r"^model: too large for the memory: Unable to allocate"):
        build_experiment(config_from_values(values(model=section)))


@pytest.mark.parametrize(
    ("count", "problem", "reason"),
    [
        (0, "there is no NVIDIA driver here", "there is no NVIDIA driver here. Or use device cpu"),
        (1, None, "there is 1 GPU, cuda:0"),
        (2, None, "there are 2 GPUs, counted from 0"),
    ],
)
def test_a_gpu_that_is_not_there_is_told_with_the_line_that_asks_for_it(
    tmp_path, monkeypatch, count: int, problem: str | None, reason: str
):
    module = importlib.import_module("tinytrain.device")  # `tinytrain` has a class of that name
    monkeypatch.setattr(module, "cuda_problem", lambda: problem)
    monkeypatch.setattr(module, "cuda_device_count", lambda: count)
    file = tmp_path / "gpu.yaml"
    file.write_text("data: {dataset: digits}\nmodel: {name: cnn}\ndevice: cuda:2\n")
    with pytest.raises(DeviceError) as caught:
        build_experiment(load_config(file))
    assert str(caught.value) == f"{file}:3: device: device 'cuda:2' is not available: {reason}"
