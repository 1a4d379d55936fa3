"""A config and weights from elsewhere to an experiment that begins with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tinytrain import nn
from tinytrain.config.build import assemble_experiment, build_model, check_experiment
from tinytrain.config.load import config_from_values
from tinytrain.config.origins import OVERRIDE, flow, replace_origins
from tinytrain.config.problems import placed
from tinytrain.config.schema import Config, ModelSection, plain_values
from tinytrain.config.weights_source import PRETRAINED, Source, open_source
from tinytrain.device import CPU, move
from tinytrain.errors import UsageError, WeightsError
from tinytrain.training import Experiment
from tinytrain.training.ema import WeightAverage
from tinytrain.training.freezing import Freezing
from tinytrain.weights.matching import Matching
from tinytrain.weights.transfer import transfer_weights


@dataclass
class Finetuning:
    """An experiment whose network has weights from elsewhere.

    Attributes:
        config: in force, with the preprocessing that was taken from the weights.
        experiment: ready to train.
        source: where the weights are from.
        matching: what became of each tensor.
        warnings: what people should look at.
    """

    config: Config
    experiment: Experiment
    source: str
    matching: Matching
    warnings: list[str]

    def report(self) -> dict[str, Any]:
        """Return the contents of `finetune.json`."""
        return {
            "weights": self.source,
            "prefix": self.matching.prefix,
            "tensors": [asdict(row) for row in self.matching.rows],
            "warnings": self.warnings,
        }


def build_finetuning(config: Config, weights: str | None = None) -> Finetuning:
    """Build an experiment, load weights into its network, and freeze what the config says.

    Args:
        config: resolved.
        weights: a file, a run folder, or `pretrained`; None: what the config says.

    Raises:
        UsageError: neither says which weights.
        WeightsError: they are missing, damaged, not finite, or nothing of them fits.
        ConfigError: a prefix to freeze fits no parameter, or as of `build_experiment`.
    """
    weights = weights or weights_asked_for(config)
    if weights is None:
        raise UsageError(
            "which weights to begin with is not said",
            remedy="Give --weights FILE, RUN or pretrained, or set finetune.weights",
        )
    source = source_of(config, weights, download=config.finetune.download)
    config, warnings = with_preprocessing(with_weights(config, weights), source)
    experiment = assemble_experiment(config)
    section, model = config.finetune, experiment.model
    head = head_of(config.model, model, len(experiment.class_names), experiment.input_shape)
    matching = transfer_weights(
        model,
        source.tensors,
        head=head,
        classes=experiment.class_names,
        source_classes=source.class_names,
        keep_head=section.keep_head,
        mapping=section.mapping,
    )
    _require_finite(model, matching, weights)
    if missing := [name for name in matching.missing if name not in head]:
        named = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        warnings.append(f"not the head alone begins anew: {len(missing)} other tensors have no weights ({named})")
    if experiment.average is not None:
        experiment.average = WeightAverage(model, experiment.average.decay)
    if section.freeze:
        with placed(("finetune", "freeze"), config.origins):
            experiment.freezing = Freezing(model, section.freeze, until_epoch=section.unfreeze_at_epoch)
    check_experiment(experiment, config)
    return Finetuning(config, experiment, weights, matching, warnings)


def weights_asked_for(config: Config) -> str | None:
    """Return the weights that a config says to begin with, None where it says none."""
    return config.finetune.weights or (PRETRAINED if config.model.pretrained else None)


def source_of(config: Config, weights: str, *, download: bool) -> Source:
    """Return weights for the model of a config, as `open_source`."""
    with placed(("model", "name"), config.origins):
        return open_source(weights, config.model, download=download)


def with_weights(config: Config, weights: str) -> Config:
    """Return a config that says itself which weights it begins with."""
    if config.finetune.weights == weights:
        return config
    values, origins = plain_values(config), dict(config.origins)
    values["finetune"]["weights"] = weights
    replace_origins(origins, ("finetune", "weights"), {(): OVERRIDE})
    return config_from_values(values, origins)


def with_preprocessing(config: Config, source: Source) -> tuple[Config, list[str]]:
    """Return a config with the weights' own preprocessing where it has none itself, and warnings where they differ.

    The evaluation transforms come with the weights; training images get the same where the config does not say.
    """
    if source.eval_transforms is None:
        return config, []
    values, origins = plain_values(config), dict(config.origins)
    warnings = []
    for split in ("eval", "train"):
        ours = values["transforms"][split]
        if ("transforms", split) not in origins:
            values["transforms"][split] = source.eval_transforms
            steps = range(len(source.eval_transforms))
            replace_origins(origins, ("transforms", split), {(i,): f"weights {source.name}" for i in steps})
        elif _normalization(ours) != _normalization(source.eval_transforms) or (
            split == "eval" and ours != source.eval_transforms
        ):
            warnings.append(
                f"transforms.{split} is {flow(ours)}, the weights were made with {flow(source.eval_transforms)}; "
                f"leave out transforms.{split} to take theirs"
            )
    return config_from_values(values, origins), warnings


def head_of(section: ModelSection, model: nn.Module, num_classes: int, input_shape: Sequence[int]) -> set[str]:
    """Return the names of the tensors that have an entry for each class.

    They are those that change their shape with the number of classes. An explicit list of layers does not know that
    number; its head is its last layer with parameters.
    """
    if section.layers is not None:
        owners = [name for name, module in model.named_modules() if module._parameters]
        return {name for name in model.state_dict() if name.rpartition(".")[0] == owners[-1]} if owners else set()
    other = build_model(section, num_classes=num_classes + 1, input_shape=input_shape).state_dict()
    return {name for name, tensor in model.state_dict().items() if other[name].shape != tensor.shape}


def _require_finite(model: nn.Module, matching: Matching, weights: str) -> None:
    """Refuse weights of which the network got infinity or what is no number: nothing can be learned from them."""
    state = model.state_dict()
    for row in matching.of("loaded"):
        if not np.isfinite(move(state[str(row.name)].array, CPU)).all():
            raise WeightsError(
                f"{row.source} has values that are infinite or no numbers",
                place=weights,
                remedy="Begin with other weights, or leave the tensor out with finetune.mapping",
            )


def _normalization(steps: Sequence[Any]) -> list[Any]:
    return [step["Normalize"] for step in steps if isinstance(step, dict) and "Normalize" in step]
