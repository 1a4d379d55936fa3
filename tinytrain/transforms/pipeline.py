"""The table of transforms, and pipelines built from a config's entries."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
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


Path = tuple[str | int, ...]
"""The way to a step from the pipeline's list: `(0,)`, or `(0, "RandomApply", "transforms", 1)` within another."""


def build_pipeline(
    entries: Sequence[Any], *, place: Callable[[Path, str], str] = lambda path, reason: _joined("transforms", path)
) -> Compose:
    """Build the pipeline that a config describes, from a Pillow image to a tensor.

    Args:
        entries: each a name, `{name: {argument: value}}`, or a transform; those of transforms that hold
            others (`RandomApply: {transforms: [...]}`) likewise.
        place: tells where the step at a path stands, given the reason of an error about it.

    Raises:
        ConfigError: an unknown name, an unknown, missing or unfit argument, steps in an order that cannot
            work, or an end that is no tensor.
    """
    try:
        pipeline = Compose([_build(entry, (i,)) for i, entry in enumerate(entries)])
        end = _follow(pipeline.transforms, "pil", ())
        if end != "tensor":
            reason = f"the pipeline ends with {WORDS[end]}, a model takes a tensor"
            raise _Unfit(reason, (), remedy="Add ToTensor" if end == "pil" else None)
    except _Unfit as error:
        raise ConfigError(error.reason, place=place(error.path, error.reason), remedy=error.remedy) from error.__cause__
    return pipeline


class _Unfit(ConfigError):
    """A step that cannot be, by its path."""

    def __init__(self, reason: str, path: Path, *, remedy: str | None = None):
        super().__init__(reason, remedy=remedy)
        self.path = path


def _joined(name: str, path: Path) -> str:
    return ".".join(map(str, (name, *path)))


def _build(entry: Any, path: Path) -> Any:
    """Return the transform that one entry means."""
    if callable(entry):
        return entry
    if isinstance(entry, str):
        entry = {entry: {}}
    if not isinstance(entry, Mapping) or len(entry) != 1:
        raise _Unfit(
            f"a step is a name, or one name with its arguments as in {{RandomCrop: {{size: 8}}}}; got {entry!r}", path
        )
    ((name, arguments),) = entry.items()
    kind = _find(name, path)
    arguments = {} if arguments is None else arguments
    if not isinstance(arguments, Mapping):
        raise _Unfit(f"{name}: arguments are `name: value`, got {arguments!r}", path)
    _check_arguments(name, kind, arguments, path)
    if "transforms" in arguments:
        inner = arguments["transforms"]
        if not isinstance(inner, Sequence) or isinstance(inner, str):
            raise _Unfit(f"{name}: `transforms` is a list of steps, got {inner!r}", path)
        if kind is RandomChoice and not inner:
            raise _Unfit("RandomChoice: `transforms` is empty, there is nothing to choose from", path)
        steps = [_build(e, (*path, name, "transforms", i)) for i, e in enumerate(inner)]
        arguments = {**arguments, "transforms": steps}
    try:
        return kind(**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _Unfit(f"{name}: {error}", path) from error


def _find(name: Any, path: Path) -> type[Transform]:
    if name in BATCH_TRANSFORMS:
        raise _Unfit(f"{name} mixes whole batches; it is no step of a pipeline for one image", path)
    try:
        return TRANSFORMS.find(name)
    except ConfigError as error:
        raise _Unfit(error.reason, path, remedy=error.remedy) from None


def _check_arguments(name: str, kind: type[Transform], arguments: Mapping[str, Any], path: Path) -> None:
    """Raise ConfigError where an argument is unknown or a needed one is missing."""
    known = inspect.signature(kind).parameters
    remedy = f"Arguments of {name}: {', '.join(known) or 'none'}"
    for key in arguments:
        if key not in known:
            raise _Unfit(f"{name} has no argument {key!r}{did_you_mean(key, known)}", path, remedy=remedy)
    missing = [key for key, value in known.items() if value.default is value.empty and key not in arguments]
    if missing:
        raise _Unfit(f"{name} needs {', '.join(missing)}", path, remedy=remedy)


def _follow(steps: Sequence[Any], state: str, path: Path) -> str:
    """Return what an image (`pil`, `tensor` or `images`) becomes in a list of steps that lies at `path`."""
    for i, step in enumerate(steps):
        state = _follow_step(step, state, (*path, i))
    return state


def _follow_step(step: Any, state: str, path: Path) -> str:
    """Return what an image becomes in one step, or raise where the step cannot take it."""
    name = type(step).__name__
    inside = (*path, name, "transforms")
    if isinstance(step, (Compose, RandomApply)):
        end = _follow(step.transforms, state, inside)
        if isinstance(step, RandomApply):
            _require_same(name, state, end, path)
        return end
    if isinstance(step, (RandomChoice, RandomOrder)):
        for i, inner in enumerate(step.transforms):
            _require_same(name, state, _follow_step(inner, state, (*inside, i)), path)
        return state
    if not isinstance(step, Transform):
        return state
    if state == "images" or step.takes not in ("image", state):
        remedies = {
            ("pil", "tensor"): f"Put ToTensor before {name}",
            ("tensor", "pil"): "One conversion is enough" if step.gives == "tensor" else f"Put {name} before ToTensor",
        }
        wanted = WORDS.get(step.takes, "one image")
        reason = f"{name} takes {wanted} but gets {WORDS[state]}"
        raise _Unfit(reason, path, remedy=remedies.get((state, step.takes)))
    return state if step.gives == "same" else step.gives


def _require_same(name: str, before: str, after: str, path: Path) -> None:
    if before != after:
        raise _Unfit(f"{name} would give {WORDS[after]} at some times and {WORDS[before]} at others", path)
