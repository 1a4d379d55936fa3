"""The table of transforms, and pipelines built from a config's entries."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from tinytrain.errors import ConfigError, did_you_mean
from tinytrain.registry import Registry
from tinytrain.transforms.automatic import AugMix, AutoAugment, RandAugment, TrivialAugmentWide
from tinytrain.transforms.base import Transform
from tinytrain.transforms.colour import (
    ColorJitter,
    Grayscale,
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomEqualize,
    RandomGrayscale,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
)
from tinytrain.transforms.composition import Compose, RandomApply, RandomChoice, RandomOrder
from tinytrain.transforms.conversion import (
    ConvertImageDtype,
    Normalize,
    PILToTensor,
    ReverseChannels,
    ToPILImage,
    ToTensor,
)
from tinytrain.transforms.cropping import CenterCrop, FiveCrop, RandomCrop, RandomResizedCrop, TenCrop
from tinytrain.transforms.filters import GaussianBlur, RandomErasing
from tinytrain.transforms.geometry import AlternatingFlip, Pad, RandomHorizontalFlip, RandomVerticalFlip, Resize
from tinytrain.transforms.mixing import CutMix, MixUp
from tinytrain.transforms.warping import RandomAffine, RandomPerspective, RandomRotation

TRANSFORMS: Registry[type[Transform]] = Registry("transform")
"""The steps of a pipeline that a config may name, under torchvision's names."""

BATCH_TRANSFORMS: Registry[type[Transform]] = Registry("batch transform")
"""What mixes whole batches, after collation."""

for _transform in (
    Compose,
    RandomApply,
    RandomChoice,
    RandomOrder,
    ToTensor,
    PILToTensor,
    ToPILImage,
    ConvertImageDtype,
    ReverseChannels,
    Normalize,
    Resize,
    CenterCrop,
    Pad,
    RandomCrop,
    RandomResizedCrop,
    FiveCrop,
    TenCrop,
    RandomHorizontalFlip,
    AlternatingFlip,
    RandomVerticalFlip,
    RandomRotation,
    RandomAffine,
    RandomPerspective,
    ColorJitter,
    Grayscale,
    RandomGrayscale,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomEqualize,
    GaussianBlur,
    RandomErasing,
    AutoAugment,
    RandAugment,
    TrivialAugmentWide,
    AugMix,
):
    TRANSFORMS.register()(_transform)
for _mix in (MixUp, CutMix):
    BATCH_TRANSFORMS.register()(_mix)

WORDS = {"pil": "a Pillow image", "tensor": "a tensor", "images": "several images"}


def build_pipeline(entries: Sequence[Any], *, place: str | None = None) -> Compose:
    """Build the pipeline that a config describes, from a Pillow image to a tensor.

    Args:
        entries: each a name, `{name: {argument: value}}`, or a transform; those of transforms that hold
            others (`RandomApply: {transforms: [...]}`) likewise.
        place: where the entries stand, for messages.

    Raises:
        ConfigError: an unknown name, an unknown, missing or unfit argument, steps in an order that cannot
            work, or an end that is no tensor.
    """
    pipeline = Compose([_build(entry, f"{place or 'transforms'}[{i}]") for i, entry in enumerate(entries)])
    end = _follow(pipeline, "pil", place or "transforms")
    if end != "tensor":
        raise ConfigError(
            f"the pipeline ends with {WORDS[end]}, a model takes a tensor",
            place=place,
            remedy="Add ToTensor" if end == "pil" else None,
        )
    return pipeline


def _build(entry: Any, place: str) -> Any:
    """Return the transform that one entry means."""
    if callable(entry):
        return entry
    if isinstance(entry, str):
        entry = {entry: {}}
    if not isinstance(entry, Mapping) or len(entry) != 1:
        raise ConfigError(
            f"a step is a name, or one name with its arguments as in {{RandomCrop: {{size: 8}}}}; got {entry!r}",
            place=place,
        )
    ((name, arguments),) = entry.items()
    kind = _find(name, place)
    arguments = {} if arguments is None else arguments
    if not isinstance(arguments, Mapping):
        raise ConfigError(f"{name}: arguments are `name: value`, got {arguments!r}", place=place)
    _check_arguments(name, kind, arguments, place)
    if "transforms" in arguments:
        inner = arguments["transforms"]
        if not isinstance(inner, Sequence) or isinstance(inner, str):
            raise ConfigError(f"{name}: `transforms` is a list of steps, got {inner!r}", place=place)
        arguments = {**arguments, "transforms": [_build(e, f"{place}[{i}]") for i, e in enumerate(inner)]}
    try:
        return kind(**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{name}: {error}", place=place) from error


def _find(name: Any, place: str) -> type[Transform]:
    if name in BATCH_TRANSFORMS:
        raise ConfigError(f"{name} mixes whole batches; it is no step of a pipeline for one image", place=place)
    try:
        return TRANSFORMS.find(name)
    except ConfigError as error:
        raise ConfigError(error.reason, place=place, remedy=error.remedy) from None


def _check_arguments(name: str, kind: type[Transform], arguments: Mapping[str, Any], place: str) -> None:
    """Raise ConfigError where an argument is unknown or a needed one is missing."""
    known = inspect.signature(kind).parameters
    remedy = f"Arguments of {name}: {', '.join(known) or 'none'}"
    for key in arguments:
        if key not in known:
            raise ConfigError(f"{name} has no argument {key!r}{did_you_mean(key, known)}", place=place, remedy=remedy)
    missing = [key for key, value in known.items() if value.default is value.empty and key not in arguments]
    if missing:
        raise ConfigError(f"{name} needs {', '.join(missing)}", place=place, remedy=remedy)


def _follow(transform: Any, state: str, place: str) -> str:
    """Return what an image (`pil`, `tensor` or `images`) becomes, or raise where a step cannot take it."""
    if isinstance(transform, (Compose, RandomApply)):
        end = state
        for position, step in enumerate(transform.transforms):
            end = _follow(step, end, f"{place}[{position}]")
        if isinstance(transform, RandomApply):
            _require_same(transform, state, end, place)
        return end
    if isinstance(transform, (RandomChoice, RandomOrder)):
        for position, step in enumerate(transform.transforms):
            _require_same(transform, state, _follow(step, state, f"{place}[{position}]"), place)
        return state
    if not isinstance(transform, Transform):
        return state
    name = type(transform).__name__
    if state == "images" or transform.takes not in ("image", state):
        remedies = {
            ("pil", "tensor"): f"Put ToTensor before {name}",
            ("tensor", "pil"): f"Put {name} before ToTensor, or once only",
        }
        wanted = WORDS.get(transform.takes, "one image")
        raise ConfigError(
            f"{name} takes {wanted} but gets {WORDS[state]}",
            place=place,
            remedy=remedies.get((state, transform.takes)),
        )
    return state if transform.gives == "same" else transform.gives


def _require_same(transform: Any, before: str, after: str, place: str) -> None:
    if before != after:
        raise ConfigError(
            f"{type(transform).__name__} would give {WORDS[after]} at some times and {WORDS[before]} at others",
            place=place,
        )
