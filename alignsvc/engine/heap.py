"""The C library's heap in a process that does tasks: what was freed is kept for what comes next.

The kernel clears each page that a process never had when it is touched first: a plane that comes
from the system costs as much as a pass over it. glibc asks the system for each array beyond a
threshold, and gives back what lies free at the heap's end; the heap of any thread but the first
cannot grow beyond 64 MB at all.
"""

from __future__ import annotations

import ctypes
import sys

#: Arrays up to this size come from the heap: the most that glibc takes, a plane of 2900 x 2900.
FROM_HEAP_BYTES = 32 << 20
#: What may lie free at its end.
KEPT_FREE_BYTES = 128 << 20
#: Heaps of a process. A worker's task runs in a thread of its own, beside nothing else.
_HEAPS = 1

#: What says so to processes that are yet to start.
HEAP_OF_A_WORKER = {
    "MALLOC_MMAP_THRESHOLD_": str(FROM_HEAP_BYTES),
    "MALLOC_TRIM_THRESHOLD_": str(KEPT_FREE_BYTES),
    "MALLOC_ARENA_MAX": str(_HEAPS),
}

# Names of mallopt's settings in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def keep_heap() -> bool:
    """Have this process keep its heap from now on; return whether it does, by glibc alone."""
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    set_ = (mallopt(_MMAP_THRESHOLD, FROM_HEAP_BYTES), mallopt(_TRIM_THRESHOLD, KEPT_FREE_BYTES))
    return all(set_)
