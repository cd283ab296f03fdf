"""How much memory a task may take, so that it fails by itself before its worker is killed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from alignsvc.tasks.memory import allocated_bytes

#: Of a worker's memory what a task may fill: workers are killed, by what they occupy, at 0.95.
_SHARE_OF_A_LIMIT = 0.9
#: What a task may take in any case: a process that can allocate nothing cannot even report it.
_LEAST_BYTES = 128 << 20


@contextmanager
def memory_allowed(limit_bytes: int | None) -> Iterator[None]:
    """Let this process allocate up to nine tenths of a limit meanwhile, no more; None: anything.

    What goes beyond ends as a MemoryError where it is asked for, with its worker alive to tell;
    killed workers take others' tasks with them and say nothing. Where the system cannot do that
    (all but Linux) nothing is limited here.
    """
    if limit_bytes is None or sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = max(int(_SHARE_OF_A_LIMIT * limit_bytes), allocated_bytes() + _LEAST_BYTES)
    for bound in (soft, hard):
        wanted = wanted if bound == resource.RLIM_INFINITY else min(wanted, bound)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
