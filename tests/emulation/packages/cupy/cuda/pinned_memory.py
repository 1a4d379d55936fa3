"""Pinned memory of the host."""

from cupy._memory import PinnedMemoryPointer, PinnedMemoryPool, alloc_pinned_memory
