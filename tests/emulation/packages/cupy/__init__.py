"""A stand-in for CuPy on machines without a GPU: NumPy computes, kernels are compiled for the host.

It is as strict as CuPy 14.2 where code that ran on NumPy would fail on a GPU, and has no name, keyword or behaviour
that CuPy lacks (`tests/emulation/test_likeness.py`). One device; work is done at the call, in order.
"""

from numpy import (
    bool_,
    dtype,
    e,
    euler_gamma,
    finfo,
    float16,
    float32,
    float64,
    floating,
    generic,
    iinfo,
    inf,
    int8,
    int16,
    int32,
    int64,
    integer,
    intp,
    isscalar,
    issubdtype,
    nan,
    newaxis,
    number,
    pi,
    promote_types,
    signedinteger,
    uint8,
    uint16,
    uint32,
    uint64,
    unsignedinteger,
)

from cupy import cuda, exceptions
from cupy._array import ndarray
from cupy._choosing import *
from cupy._creation import *
from cupy._modules import *
from cupy._numbers import *
from cupy._raw import RawKernel, RawModule
from cupy._shapes import *
from cupy._ufuncs import UFUNCS as _UFUNCS
from cupy._ufuncs import ufunc

globals().update(_UFUNCS)

from cupy import lib, linalg

__version__ = "14.2.0"

from cupy import _operators
