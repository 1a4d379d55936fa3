"""The operations on tensors: one op, one place, grouped by kind; PyTorch's signatures.

Importing this package makes methods of them, so that a Tensor can do what the ops can.
"""

from tinytrain.ops.activation import *
from tinytrain.ops.adaptive_pooling import *
from tinytrain.ops.arithmetic import *
from tinytrain.ops.batch_normalization import *
from tinytrain.ops.blending import *
from tinytrain.ops.comparison import *
from tinytrain.ops.contraction import *
from tinytrain.ops.convolution import *
from tinytrain.ops.copying import *
from tinytrain.ops.counting import *
from tinytrain.ops.creation import *
from tinytrain.ops.cross_entropy import *
from tinytrain.ops.cumulative import *
from tinytrain.ops.distance import *
from tinytrain.ops.dropout import *
from tinytrain.ops.extremum import *
from tinytrain.ops.folding import *
from tinytrain.ops.gathering import *
from tinytrain.ops.indexing import *
from tinytrain.ops.joining import *
from tinytrain.ops.likelihood_loss import *
from tinytrain.ops.linalg import *
from tinytrain.ops.linear import *
from tinytrain.ops.local_response import *
from tinytrain.ops.loss import *
from tinytrain.ops.margin_loss import *
from tinytrain.ops.masking import *
from tinytrain.ops.norm import *
from tinytrain.ops.normalization import *
from tinytrain.ops.padding import *
from tinytrain.ops.pixel_shuffle import *
from tinytrain.ops.pointwise import *
from tinytrain.ops.pooling import *
from tinytrain.ops.random import *
from tinytrain.ops.rearrangement import *
from tinytrain.ops.reduction import *
from tinytrain.ops.resampling import *
from tinytrain.ops.scatter_reduction import *
from tinytrain.ops.scattering import *
from tinytrain.ops.shape import *
from tinytrain.ops.slicing import *
from tinytrain.ops.smooth_activation import *
from tinytrain.ops.softmax import *
from tinytrain.ops.sorting import *
from tinytrain.ops.transposed_convolution import *

__all__ = [name for name, value in globals().items() if callable(value) and not name.startswith("_")]

from tinytrain.ops.methods import attach

attach(globals())
