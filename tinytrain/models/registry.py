"""The table of architectures, and how a named variant of a network class is entered into it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

from tinytrain.models.pretrained import PretrainedWeights, find_pretrained
from tinytrain.nn import Module
from tinytrain.registry import Registry

ModelT = TypeVar("ModelT", bound=Module)

MODELS: Registry[Callable[..., Module]] = Registry("model")
"""Name -> builder. Builders take `num_classes`, `in_channels` and options of their own, all by keyword."""

_NUM_CLASSES = 1000  # of public weights


def architecture(name: str, network: Callable[..., ModelT], summary: str, **fixed: Any) -> Callable[..., ModelT]:
    """Return the builder of one variant of a network, entered into `MODELS`.

    Its signature is the network's, without the arguments that make the variant, and with these before:
    `weights`: public ones (`DEFAULT`, their name, or what `find_pretrained` gives), which are downloaded if need be, or
    None; `progress`: whether a bar is shown meanwhile. `pretrained=True` means `weights="DEFAULT"`, as it did in old
    torchvision.

    Args:
        name: of the variant, as people write it.
        network: the class.
        summary: one line for `tinytrain list models`.
        **fixed: the arguments that make the variant.
    """

    def build(
        weights: PretrainedWeights | str | bool | None = None,
        progress: bool = True,
        *,
        pretrained: bool = False,
        **options: Any,
    ) -> ModelT:
        chosen = _choose(name, weights or pretrained)
        if chosen is None:
            return network(**fixed, **options)
        if options.get("num_classes", _NUM_CLASSES) != _NUM_CLASSES:
            raise ValueError(
                f"{name}: `num_classes` must be {_NUM_CLASSES} with pretrained weights; got {options['num_classes']}. "
                "Replace the head afterwards, or use `tinytrain finetune --weights pretrained`"
            )
        model = network(**fixed, **{**chosen.options, **options})
        chosen.load(model, download=True, progress=progress)
        return model

    own = [p for p in inspect.signature(build).parameters.values() if p.name in ("weights", "progress")]
    parameters = [p for p in inspect.signature(network).parameters.values() if p.name not in fixed]
    hints = get_type_hints(network.__init__ if inspect.isclass(network) else network, include_extras=True)  # type: ignore[misc]
    build.__name__ = build.__qualname__ = name
    build.__module__ = network.__module__
    build.__doc__ = f"{summary}\n\nArguments as of `{network.__name__}`, by keyword."
    build.__annotations__ = {p.name: hints[p.name] for p in parameters if p.name in hints}
    build.__annotations__["return"] = network
    build.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        own + [p.replace(kind=p.KEYWORD_ONLY) for p in parameters]
    )
    MODELS.register()(build)
    return build


def _choose(model: str, weights: PretrainedWeights | str | bool | None) -> PretrainedWeights | None:
    """Return the weights that a builder is asked for.

    Raises:
        ValueError: the model has none of that name, or they are another model's.
    """
    if isinstance(weights, PretrainedWeights):
        if weights.model != model:
            raise ValueError(f"{model}: `weights` are those of {weights.model}")
        return weights
    if not weights:
        return None
    return find_pretrained(model, "DEFAULT" if weights is True else weights)
