"""Layers and networks, by `torch.nn`'s names."""

from tinytrain.nn import functional, init, utils
from tinytrain.nn.activation import *
from tinytrain.nn.containers import *
from tinytrain.nn.convolution import *
from tinytrain.nn.dropout import *
from tinytrain.nn.linear import *
from tinytrain.nn.loss import *
from tinytrain.nn.module import Module
from tinytrain.nn.normalization import *
from tinytrain.nn.parameter import Buffer, Parameter
from tinytrain.nn.pooling import *
from tinytrain.nn.reshaping import *
from tinytrain.nn.rows import *
