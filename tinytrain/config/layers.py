"""An explicit list of layers to a network, with the sizes that follow from the layers before."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from tinytrain import nn
from tinytrain.config.origins import Origins, place_of
from tinytrain.config.problems import placed
from tinytrain.config.schema import Step
from tinytrain.config.tables import INFERRED, LAYERS
from tinytrain.errors import ConfigError
from tinytrain.ops.creation import zeros
from tinytrain.tape import no_grad
from tinytrain.tensor import Tensor


@no_grad
def build_layers(
    steps: Sequence[Step], *, num_classes: int, input_shape: Sequence[int], origins: Origins
) -> nn.Sequential:
    """Return layers in order, with fresh weights.

    Each layer sees what those before it make of an image of zeros; so a size that is left out is known, and a layer
    that does not fit is found here.

    Args:
        steps: names and arguments.
        num_classes: the default of the last Linear's `out_features`.
        input_shape: (c, h, w) of an image.
        origins: of the config, for messages.

    Raises:
        ConfigError: a layer does not fit its input, or the last one does not give a number per class.
    """
    path = ("model", "layers")
    head = last_linear(steps)
    layers: list[nn.Module] = []
    x = zeros((1, *input_shape))
    for i, step in enumerate(steps):
        with placed((*path, i), origins):
            builder = LAYERS.find(step.name)
            accepted = inspect.signature(builder).parameters.keys()
            sizes = {name: x.shape[-1 if name == "in_features" else 1] for name in INFERRED & accepted}
            if i == head:
                sizes["out_features"] = num_classes
            layer = builder(**{**sizes, **step.arguments})
            x = layer.eval()(x)
            if not isinstance(x, Tensor):
                raise ConfigError(
                    f"{step.name} with these arguments gives more than one tensor, and the next layer takes one",
                    remedy="Choose arguments that give one, as `return_indices: false`",
                )
        layers.append(layer)
    if tuple(x.shape) != (1, num_classes):
        raise ConfigError(
            f"the network gives {tuple(x.shape[1:])} for an image; {num_classes} classes need ({num_classes},)",
            place=place_of(path, origins),
            remedy="End with Flatten and Linear",
        )
    return nn.Sequential(*layers).train()


def last_linear(steps: Sequence[Step]) -> int | None:
    """Return the index of the last Linear layer, None where there is none."""
    return max((i for i, step in enumerate(steps) if step.name == "Linear"), default=None)
