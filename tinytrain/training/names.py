"""Parts of a network by the beginnings of their names: `features` means `features.0.weight`, not `features2`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tinytrain import nn
from tinytrain.errors import ConfigError, did_you_mean


def lies_under(name: str, prefixes: Iterable[str]) -> bool:
    """Return whether a dotted name is one of the prefixes or continues one of them."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def check_prefixes(model: nn.Module, prefixes: Sequence[str]) -> None:
    """Make sure that every prefix is the beginning of some parameter's name.

    Raises:
        ConfigError: one is not; the message has the closest name and the network's parts.
    """
    names = [name for name, _ in model.named_parameters()]
    for prefix in prefixes:
        if not any(lies_under(name, [prefix]) for name in names):
            beginnings = {".".join(parts[:i]) for parts in (name.split(".") for name in names) for i in range(1, 9)}
            parts = ", ".join(name for name, _ in model.named_children())
            raise ConfigError(
                f"no parameter's name begins with {prefix!r}{did_you_mean(prefix, sorted(beginnings))}",
                remedy=f"Parts of this network: {parts}",
            )
