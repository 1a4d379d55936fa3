"""A config's choices against what there is: names exist, arguments fit, defaults are filled in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from tinytrain.config.components import check_arguments, find_builder
from tinytrain.config.layers import last_linear
from tinytrain.config.origins import KeyPath, Origins
from tinytrain.config.schema import Component, Config, ModelSection, Step
from tinytrain.config.tables import TABLES

ComponentT = TypeVar("ComponentT", bound=Component)


def resolve(config: Config) -> Config:
    """Return the config with every argument in force, defaults included.

    Raises:
        ConfigError: a name is not in its table, or an argument does not fit its builder.
    """
    origins = config.origins
    datasets, name = TABLES["datasets"], config.data.dataset
    check_arguments(
        find_builder(datasets.registry, name, ("data", "dataset"), origins),
        config.data.options,
        ("data", "options"),
        origins,
        owner=f"dataset {name!r}",
        supplied=datasets.supplied,
        inferred=datasets.inferred,
    )
    transforms = config.transforms.model_copy(
        update={
            "train": _steps(config.transforms.train, "transforms", ("transforms", "train"), origins),
            "eval": _steps(config.transforms.eval, "transforms", ("transforms", "eval"), origins),
        }
    )
    train = config.train.model_copy(
        update={
            "optimizer": _component(config.train.optimizer, "optimizers", ("train", "optimizer"), origins),
            "schedule": _component(config.train.schedule, "schedules", ("train", "schedule"), origins),
            "loss": _component(config.train.loss, "losses", ("train", "loss"), origins),
        }
    )
    model = _model(config.model, origins)
    return config.model_copy(update={"transforms": transforms, "model": model, "train": train})


def _component(component: ComponentT, kind: str, path: KeyPath, origins: Origins) -> ComponentT:
    """Return a section with all the arguments of what it names."""
    table = TABLES[kind]
    builder = find_builder(table.registry, component.name, (*path, "name"), origins)
    owner = f"{table.registry.kind} {component.name!r}"
    known = check_arguments(builder, component.arguments, path, origins, owner=owner, supplied=table.supplied)
    return type(component).model_validate({**dict(component), **known})


def _model(model: ModelSection, origins: Origins) -> ModelSection:
    if model.layers is not None:
        return model.model_copy(update={"layers": _steps(model.layers, "layers", ("model", "layers"), origins)})
    table = TABLES["models"]
    builder = find_builder(table.registry, str(model.name), ("model", "name"), origins)
    known = check_arguments(
        builder, model.arguments, ("model",), origins, owner=f"model {model.name!r}", supplied=table.supplied
    )
    return ModelSection.model_validate({"name": model.name, "pretrained": model.pretrained, **known})


def _steps(steps: Sequence[Step], kind: str, path: KeyPath, origins: Origins) -> list[Step]:
    """Return a list's entries checked. Their defaults stay unsaid: a list is read for what it does."""
    table = TABLES[kind]
    head = last_linear(steps) if kind == "layers" else None
    for i, step in enumerate(steps):
        builder = find_builder(table.registry, step.name, (*path, i), origins)
        owner = f"{table.registry.kind} {step.name!r}"
        check_arguments(
            builder,
            step.arguments,
            (*path, i, step.name),
            origins,
            owner=owner,
            supplied=table.supplied,
            inferred=table.inferred | ({"out_features"} if i == head else set()),
        )
    return list(steps)
