"""Layers without state, by `torch.nn.functional`'s names."""

from tinytrain.ops.activation import *
from tinytrain.ops.adaptive_pooling import *
from tinytrain.ops.batch_normalization import *
from tinytrain.ops.convolution import *
from tinytrain.ops.cross_entropy import *
from tinytrain.ops.distance import *
from tinytrain.ops.dropout import *
from tinytrain.ops.folding import *
from tinytrain.ops.likelihood_loss import *
from tinytrain.ops.linear import *
from tinytrain.ops.local_response import *
from tinytrain.ops.loss import *
from tinytrain.ops.margin_loss import *
from tinytrain.ops.normalization import *
from tinytrain.ops.padding import *
from tinytrain.ops.pixel_shuffle import *
from tinytrain.ops.pooling import *
from tinytrain.ops.resampling import *
from tinytrain.ops.smooth_activation import *
from tinytrain.ops.softmax import *
from tinytrain.ops.transposed_convolution import *
