"""The table of architectures, and how a named variant of a network class is entered into it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

from tinytrain.nn import Module
from tinytrain.registry import Registry

ModelT = TypeVar("ModelT", bound=Module)

MODELS: Registry[Callable[..., Module]] = Registry("model")
"""Name -> builder. Builders take `num_classes`, `in_channels` and options of their own, all by keyword."""


def architecture(name: str, network: Callable[..., ModelT], summary: str, **fixed: Any) -> Callable[..., ModelT]:
    """Return the builder of one variant of a network, entered into `MODELS`.

    Its signature is the network's, without the arguments that make the variant.

    Args:
        name: of the variant, as people write it.
        network: the class.
        summary: one line for `tinytrain list models`.
        **fixed: the arguments that make the variant.
    """

    def build(**options: Any) -> ModelT:
        return network(**fixed, **options)

    parameters = [p for p in inspect.signature(network).parameters.values() if p.name not in fixed]
    hints = get_type_hints(network.__init__ if inspect.isclass(network) else network)  # type: ignore[misc]
    build.__name__ = build.__qualname__ = name
    build.__module__ = network.__module__
    build.__doc__ = f"{summary}\n\nArguments as of `{network.__name__}`, by keyword."
    build.__annotations__ = {p.name: hints[p.name] for p in parameters if p.name in hints}
    build.__annotations__["return"] = network
    build.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p.replace(kind=p.KEYWORD_ONLY) for p in parameters]
    )
    MODELS.register()(build)
    return build
