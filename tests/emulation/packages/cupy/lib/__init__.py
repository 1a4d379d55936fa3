"""Parts of `cupy.lib`."""

from cupy.lib import stride_tricks
