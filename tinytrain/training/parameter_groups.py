"""Parameters in groups with learning rates and weight decays of their own, as an optimizer takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinytrain import nn
from tinytrain.errors import ConfigError
from tinytrain.training.names import check_prefixes, lies_under


@dataclass(frozen=True)
class RateScale:
    """A factor of the learning rate of some parameters.

    Args:
        scale: the factor; parameters with 0 do not learn, and have no gradient.
        prefix: beginning of their names, as in `features`.
        suffix: end of their names, as in `norm.bias`.
    """

    scale: float
    prefix: str = ""
    suffix: str = ""

    def fits(self, name: str) -> bool:
        """Return whether a parameter is meant."""
        begins = not self.prefix or lies_under(name, [self.prefix])
        return begins and (not self.suffix or f".{name}".endswith(f".{self.suffix}"))

    def check(self, model: nn.Module) -> None:
        """Raise ConfigError where no parameter of a network is meant."""
        if self.prefix:
            check_prefixes(model, [self.prefix])
        names = [name for name, _ in model.named_parameters()]
        if not any(map(self.fits, names)):
            begins = f"begins with {self.prefix!r} and " if self.prefix else ""
            raise ConfigError(
                f"no parameter's name {begins}ends with {self.suffix!r}",
                remedy=f"The last ones: {', '.join(names[-3:])}",
            )


def parameter_groups(
    model: nn.Module,
    lr: float,
    *,
    scales: Sequence[RateScale] = (),
    layer_decay: float = 1.0,
    decay_norm_and_bias: bool = True,
) -> list[dict[str, Any]]:
    """Return the groups of a network's parameters, the one with the highest learning rate first.

    Args:
        model: the network.
        lr: learning rate where nothing scales it.
        scales: factors of the rate by names; of those that fit, that with the longest prefix and suffix counts.
        layer_decay: a further factor for every block that lies between a parameter's own and the last one
            (Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", 2018, section 3.2).
        decay_norm_and_bias: whether `weight_decay` acts on parameters of one dimension at most, too: biases, and
            scales and shifts of normalisation.

    Returns:
        Dicts with `params`, `lr`, `lr_scale` and, where it does not act, `weight_decay`. Parameters whose factor is 0
        are in none, and need no gradient any more.

    Raises:
        ConfigError: one of `scales` fits no parameter.
    """
    for each in scales:
        each.check(model)
    blocks = block_numbers(model)
    last = max(blocks.values(), default=0)
    members: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        fitting = [each for each in scales if each.fits(name)]
        scale = max(fitting, key=lambda each: len(each.prefix + each.suffix)).scale if fitting else 1.0
        if scale == 0:
            parameter.requires_grad_(False)
            continue
        scale *= layer_decay ** (last - blocks[name])
        decays = decay_norm_and_bias or parameter.ndim > 1
        members.setdefault((scale, decays), []).append(parameter)
    ordered = sorted(members.items(), key=lambda item: (-item[0][0], not item[0][1]))
    return [
        {"params": params, "lr": lr * scale, "lr_scale": scale, **({} if decays else {"weight_decay": 0.0})}
        for (scale, decays), params in ordered
    ]


def block_numbers(model: nn.Module) -> dict[str, int]:
    """Return the number of every parameter's block, from 0 at the input, by the parameter's name.

    Blocks are the parts at the top of the network; one that is an `nn.Sequential` or `nn.ModuleList` counts by its
    own parts. A normalisation of its own belongs to the block before it.
    """
    blocks: list[str] = []
    numbers = {}
    for name, _ in model.named_parameters():
        block = _block_name(model, name)
        if block not in blocks and not (blocks and _is_norm(model, block)):
            blocks.append(block)
        numbers[name] = len(blocks) - 1
    return numbers


def _block_name(model: nn.Module, name: str) -> str:
    """Return the name of the part of the network that a parameter's block is."""
    first, *rest = name.split(".")
    is_list = len(rest) > 1 and isinstance(model.get_submodule(first), (nn.Sequential, nn.ModuleList))
    return f"{first}.{rest[0]}" if is_list else first


def _is_norm(model: nn.Module, block: str) -> bool:
    """Return whether a part has parameters of one dimension at most, as a normalisation does."""
    return all(p.ndim <= 1 for name, p in model.named_parameters() if lies_under(name, [block]))
