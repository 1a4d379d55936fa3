"""The flat names of `import tinytrain as tt`, as those of `torch`."""

from __future__ import annotations

import builtins
import math

from tinytrain.autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from tinytrain.device import device
from tinytrain.dtypes import (
    bfloat16,
    can_cast,
    double,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    get_float32_matmul_precision,
    half,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    long,
    promote_types,
    set_default_dtype,
    set_float32_matmul_precision,
    short,
    uint8,
)
from tinytrain.dtypes import bool_ as bool
from tinytrain.dtypes import float32 as float
from tinytrain.dtypes import int32 as int
from tinytrain.generator import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from tinytrain.ops import *
from tinytrain.ops.autocasting import (
    autocast,
    clear_autocast_cache,
    get_autocast_dtype,
    is_autocast_available,
    is_autocast_cache_enabled,
    is_autocast_enabled,
)
from tinytrain.ops.common import result_type
from tinytrain.ops.copying import CHANNELS_LAST as channels_last
from tinytrain.ops.copying import CONTIGUOUS as contiguous_format
from tinytrain.ops.copying import PRESERVE as preserve_format
from tinytrain.optim.grad_scaler import GradScaler
from tinytrain.printing import set_printoptions
from tinytrain.tensor import Size, Tensor

inf = math.inf
nan = math.nan
pi = math.pi
e = math.e
newaxis = None
strided = "torch.strided"


def is_tensor(value: object) -> builtins.bool:
    """Return whether `value` is a tensor."""
    return isinstance(value, Tensor)


def is_floating_point(input: Tensor) -> builtins.bool:
    """Return whether the elements of a tensor are floats."""
    return input.is_floating_point()


def numel(input: Tensor) -> builtins.int:
    """Return the number of elements of a tensor."""
    return input.numel()


__all__ = [name for name in globals() if not name.startswith("_") and name not in ("annotations", "builtins", "math")]
