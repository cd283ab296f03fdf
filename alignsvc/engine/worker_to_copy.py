"""What workers on this machine are copied from has imported this, and with it what they need.

It is named to Python's fork server (`worker_server`), which can do nothing but import; and it is a
preload of dask in each copy.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
from importlib import import_module

from alignsvc.numerics.compiled import make_compiler_ready

# From Linux's prctl.h.
_PR_SET_PDEATHSIG = 1

#: Who has imported this: the server, also in its copies.
_IMPORTED_IN = os.getpid()

#: What a run as a user has it by default will need.
_NEEDED = (
    "distributed.nanny",
    "alignsvc.engine.dask_workers",
    *(f"alignsvc.tasks.{name}" for name in ("list_sources", "match_sources", "resample", "merge")),
    *(f"alignsvc.tasks.{name}" for name in ("reject", "skies", "detect", "measure", "preview")),
    "alignsvc.numerics.displacement.correlators.ncc",
    "alignsvc.numerics.resampling.resamplers.drizzle",
    "alignsvc.numerics.sources.skies.mesh",
)

for _name in _NEEDED:
    import_module(_name)
make_compiler_ready()
# What is there by now stays: no copy need look through it for garbage, and so write to its pages.
gc.collect()
gc.freeze()


def dask_setup(_worker: object) -> None:
    """End this copy with its server; called in the worker's main thread.

    The driver hears how a copy ends from the server. Where that is killed, all copies count as
    dead, and others are started: none of them may live on.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getpid() != _IMPORTED_IN != os.getppid():
        os._exit(1)  # the server has died meanwhile
