"""How many cores the matrix products of NumPy's BLAS use."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS")


def one_blas_thread() -> AbstractContextManager[object]:
    """Let matrix products run on one core inside the block, unless the environment says how many cores to use.

    The products of small networks are too small to divide: threads of OpenBLAS wait for each other by spinning, and a
    second program on the machine makes them wait for whole time slices. A training step of the digits network (batch
    32, one of two cores busy) took 88 milliseconds with two threads, 10 with one. On one core the results do not depend
    on how many there are, either.
    """
    if any(os.environ.get(name) for name in _VARIABLES):
        return nullcontext()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1, user_api="blas")
