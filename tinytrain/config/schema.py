"""Every key of a config: its type, its range, its default and what it is for.

What a model, an optimizer, a schedule, a loss or a transform takes beside its name is not listed here: the
signature of the thing itself says it (`components.py`).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from tinytrain.config.origins import Origins, dump_with_origins
from tinytrain.ranges import Count, Positive
from tinytrain.training.precision import Precision
from tinytrain.training.selection import Metric


class Section(BaseModel):
    """A group of keys: no others are accepted, no value is converted, none changes later."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Component(Section):
    """Something chosen by name; the other keys are its arguments."""

    model_config = ConfigDict(extra="allow")

    name: str
    """Which one: a name that `tinytrain list` prints."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The keys that this schema does not know itself."""
        return dict(self.model_extra or {})


class Step(Section):
    """One entry of a list of transforms or layers: `ToTensor`, or `{RandomCrop: {size: 8, padding: 1}}`."""

    name: str
    """Which one: a name that `tinytrain list` prints."""

    arguments: dict[str, Any] = Field(default_factory=dict)
    """Its keyword arguments."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and len(value) == 1:
            ((name, arguments),) = value.items()
            if arguments is None or isinstance(arguments, dict):
                return {"name": name, "arguments": arguments or {}}
        raise ValueError("expected a name, or one name with its arguments, as in {RandomCrop: {size: 8}}")


class DataSection(Section):
    """Which images, and how they come in batches."""

    dataset: str
    """Which data set: a name that `tinytrain list datasets` prints, as digits, cifar10 or image_folder."""

    root: str | None = None
    """Folder of the data (its files, or torchvision's layout). null: the user's cache folder."""

    keep_classes: list[str] | None = None
    """Names of the classes to keep, in the order of their indices. null: all."""

    options: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of the data set, as in {split: letters} for emnist."""

    download: bool = False
    """Whether a public data set that is absent may be downloaded."""

    val_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Share of the training set kept for validation, stratified by class, chosen by the seed.

    Unused where the data set brings a validation set of its own.
    """

    batch_size: Count = 64
    """Images in a batch."""

    drop_last: bool = False
    """Leave out the last batch of an epoch where it is shorter than the others."""

    workers: int = Field(default=0, ge=0, le=256)
    """Processes that load batches; 0: the training process itself. The result is the same."""

    resident: Literal["auto", True, False] = "auto"
    """Whether all images lie in the memory of the device, where batches are cut out of them and augmented.

    It needs images of one size and transforms that work on whole batches; workers are not started then. auto: on a GPU,
    where the data set lies in memory anyway and takes a quarter of the GPU's at most. The result is the same.
    """

    cache: Literal["ram"] | None = None
    """Where the images of files stay once they are decoded: ram, up to 2 GiB in each process. null: nowhere."""

    shortest_edge: Count | None = None
    """Pixels that the shorter edge is needed for: larger JPEGs are decoded at 1/2, 1/4 or 1/8 of their size.

    Faster, and the pixels differ a little from those of a full decode. null: decode in full.
    """

    on_error: Literal["raise", "skip"] = "raise"
    """What a damaged image does: `raise` stops with its name, `skip` leaves it out and says so."""


class TransformsSection(Section):
    """What happens to an image before it joins a batch; torchvision's names."""

    train: list[Step] = Field(default_factory=lambda: [Step.model_validate("ToTensor")])
    """For training images, in order; random ones belong here."""

    eval: list[Step] = Field(default_factory=lambda: [Step.model_validate("ToTensor")])
    """For validation and test images, in order."""


class ModelSection(Section):
    """The network: a known one by `name` with its arguments, or a list of `layers`."""

    model_config = ConfigDict(extra="allow")

    name: str | None = None
    """Name of the architecture, as in `tinytrain list models`. The other keys are its arguments."""

    pretrained: bool = False
    """Whether `finetune` begins with the public weights of this name, as with `finetune.weights: pretrained`."""

    layers: list[Step] | None = None
    """Layers in order, as in `tinytrain list layers`, instead of a name."""

    @model_validator(mode="after")
    def _is_one_of_the_two(self) -> ModelSection:
        if (self.name is None) == (self.layers is None):
            raise ValueError("expected either `name` or `layers`")
        if self.layers is not None and self.pretrained:
            raise ValueError("there are no public weights for a list of `layers`")
        if self.layers is not None and self.model_extra:
            raise ValueError(f"`layers` leaves nothing to say to `{next(iter(self.model_extra))}`")
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """The keys that the architecture reads."""
        return dict(self.model_extra or {})


class GroupSection(Section):
    """Parameters with a learning rate of their own."""

    prefix: str | None = None
    """Beginning of their names, as in `features` or `layer4.0`. null: any."""

    suffix: str | None = None
    """End of their names, as in `norm.bias`. null: any. Where several groups fit, the longest names count."""

    lr_scale: float = Field(ge=0)
    """Factor of the optimizer's learning rate; 0: they do not learn."""

    @model_validator(mode="after")
    def _names_something(self) -> GroupSection:
        if not self.prefix and not self.suffix:
            raise ValueError("expected a `prefix`, a `suffix` or both")
        return self


class OptimizerSection(Component):
    """The update rule; the other keys are its arguments (`lr`, `momentum`, ...)."""

    name: str = "sgd"
    """Which one: a name that `tinytrain list optimizers` prints."""

    groups: list[GroupSection] = Field(default_factory=list)
    """Learning rates of parts of the network, as in [{prefix: layer1, lr_scale: 0.1}, {suffix: bias, lr_scale: 2}]."""

    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Factor of the learning rate for each block further from the output: 1 learns evenly, 0.7 mostly at the end."""

    decay_norm_and_bias: bool = True
    """Whether `weight_decay` acts on biases and on scales and shifts of normalisation, too."""


class ScheduleSection(Component):
    """How the learning rate changes; the other keys are the schedule's arguments."""

    name: str = "constant"
    """Which one: a name that `tinytrain list schedules` prints."""

    warmup_epochs: float = Field(default=0, ge=0)
    """Epochs over which the learning rate rises linearly to `lr` before the schedule proper starts."""


class LossSection(Component):
    """What training makes small; the other keys are its arguments."""

    name: str = "cross_entropy"
    """Which one: a name that `tinytrain list losses` prints."""


class WhiteningSection(Section):
    """First filters that make the patches of the training images white, computed before anything is learned."""

    layer: str
    """Name of a convolution that reads the images, with a filter and its negative for each value of a patch."""

    images: Count = 5000
    """Training images, spread evenly over the set, whose patches are looked at, as `transforms.eval` gives them."""

    eps: Positive = 5e-4
    """Added to the variances by whose roots filters are divided: what is almost the same everywhere stays small."""


class EarlyStoppingSection(Section):
    """When a training ends before its last epoch."""

    patience: Count
    """Epochs without a better validation score after which it ends."""

    metric: Metric = "loss"
    """The score: top1, top5, macro_recall (the mean of the classes' recalls) or loss."""


class CheckpointSection(Section):
    """When the whole state is saved within an epoch, so that a run can go on from there; an epoch ends with it."""

    every_steps: Count | None = None
    """Batches between two. null: any number."""

    every_minutes: Positive | None = 10.0
    """Minutes between two. null: any number."""


class TrainSection(Section):
    """How the network learns."""

    epochs: Count = 20
    """Passes over the training set."""

    optimizer: OptimizerSection = OptimizerSection()
    schedule: ScheduleSection = ScheduleSection()
    loss: LossSection = LossSection()

    whitening: WhiteningSection | None = None
    """Filters to begin with in the first convolution. null: the network's own first values."""

    precision: Precision = "fp32"
    """What convolutions and matrix products compute in while learning: fp32, tf32 (GPU only), bf16 or fp16.

    Weights, statistics and the loss are float32 in each; docs/precision.md tells what changes.
    """

    clip_grad_norm: Positive | None = None
    """Largest Euclidean norm of all gradients together; longer ones are scaled down. null: no limit."""

    clip_grad_value: Positive | None = None
    """Largest absolute value of a gradient's element; larger ones are cut. null: no limit."""

    accumulate_steps: Count = 1
    """Batches whose gradients make one step, as if they were one batch; normalisation sees each by itself."""

    mixup_alpha: Positive | None = None
    """Parameter of mixup's beta distribution, as 0.2; each training image is blended with another. null: none."""

    cutmix_alpha: Positive | None = None
    """Parameter of CutMix's beta distribution, as 1.0; a box of another image is put in. null: none."""

    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Share of the old in a moving average of the weights, as 0.999; the average is judged and saved. null: none."""

    best_metric: Metric = "top1"
    """Validation score that chooses the best epoch: top1, top5, macro_recall or loss."""

    early_stopping: EarlyStoppingSection | None = None
    """When to end before the last epoch. null: never."""

    checkpoint: CheckpointSection = CheckpointSection()

    log_every: Count = 50
    """Batches between two messages on the progress of an epoch."""

    cuda_graph: Literal["auto", "off"] = "auto"
    """On a GPU: auto launches a whole step at once, as a CUDA graph, where nothing in it needs the host. off: never."""


class FinetuneSection(Section):
    """How weights from elsewhere are taken over; read by `finetune` only."""

    weights: str | None = None
    """A weights file, a run folder, or `pretrained` for the architecture's public ones."""

    download: bool = False
    """Whether public weights that are on no disk may be downloaded."""

    mapping: dict[str, str | None] = Field(default_factory=dict)
    """The file's names to the model's, where they differ; both may end in a dot. null: not to be loaded."""

    keep_head: bool = False
    """Take the head by position, as if the classes were the same. false: by the names of the classes, else anew."""

    freeze: list[str] = Field(default_factory=list)
    """Parts of the network that stay as they are, statistics included, by the beginnings of their names."""

    unfreeze_at_epoch: int | None = Field(default=None, ge=0)
    """Epoch, from 0, at which all of them begin to learn. null: never."""


class Config(Section):
    """An experiment, whole: data, network, training."""

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Name of the run's folder: runs/<name>, then runs/<name>-2 and so on."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Decides everything random: split, weights, order, augmentation, dropout."""

    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?)$")
    """auto (a GPU if there is one), cpu, cuda, or cuda:N."""

    data: DataSection
    transforms: TransformsSection = TransformsSection()
    model: ModelSection
    train: TrainSection = TrainSection()
    finetune: FinetuneSection = FinetuneSection()

    _origins: Origins = PrivateAttr(default_factory=dict)

    @property
    def origins(self) -> Origins:
        """The origin of every value that somebody wrote; the others are defaults."""
        return self._origins

    def to_yaml(self) -> str:
        """Return every value in force as YAML, with its origin as a comment."""
        return dump_with_origins(plain_values(self), self._origins)


def plain_values(section: Section) -> dict[str, Any]:
    """Return the values of a section as a config file would write them."""
    values: dict[str, Any] = {}
    for name in [*type(section).model_fields, *(section.model_extra or {})]:
        values[name] = _plain(getattr(section, name))
    if isinstance(section, ModelSection):
        del values["layers" if section.layers is None else "name"]
        if not section.pretrained:
            del values["pretrained"]
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, Step):
        return {value.name: value.arguments} if value.arguments else value.name
    if isinstance(value, Section):
        return plain_values(value)
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
