"""What the engine wants of dask, and the processes of workers of their environment."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping

from alignsvc.engine.heap import HEAP_OF_A_WORKER
from alignsvc.errors import ConfigError

#: Workers share the cores: libraries that would use threads of their own get one each, which
#: also keeps sums in one order. It must be known before numpy is imported.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}

#: What the process of a worker must find when it begins.
PRE_SPAWN = {
    **HEAP_OF_A_WORKER,
    **ONE_THREAD,
    # A worker that is told to end in the middle of a heartbeat would print a traceback.
    "DASK_LOGGING": "{'tornado.application': 'critical'}",
}

#: What the engine wants of dask (measured; see the engine's page in the design).
DASK_SETTINGS = {
    # A task is given up when this many workers died under it and one more.
    "distributed.scheduler.allowed-failures": 2,
    # Few tasks wait on a worker, so few are blamed for its death (distributed#5234).
    "distributed.scheduler.worker-saturation": 1.1,
    "distributed.comm.retry.count": 3,
    # Reports are small: nothing to spill. What grows is a task, which pausing cannot shrink.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": 0.85,
    # Where a task is told by itself that memory ends (`engine.memory`) nobody need be killed.
    "distributed.worker.memory.terminate": False if sys.platform == "linux" else 0.95,
    "distributed.worker.profile.enabled": False,
    # What processes look at when nothing happens: 1.6 s of CPU in 15 s with two workers and dask's
    # own intervals, 0.9 s with these.
    "distributed.admin.tick.interval": "500 ms",
    "distributed.admin.system-monitor.interval": "2 s",
    "distributed.worker.memory.monitor-interval": "500 ms",
    "distributed.nanny.pre-spawn-environ": PRE_SPAWN,
}
#: dask looks 15 s after a worker's death whether one of its name is there, and if not, ends its
#: nanny for good: a worker that dies again, and is just then away, would never come back. Nannies
#: are in this process and cannot be lost. Looked up at each death, so it stands while we run.
KEEP_NANNIES = {"distributed.deploy.lost-worker-timeout": "3650 days"}

#: How the names begin of what libraries of linear algebra and the compiler of loops read: for which
#: kind of processor they work, above all. Two kinds differ in the last bits of a sum.
ARITHMETIC = ("OPENBLAS_", "MKL_", "BLIS_", "NPY_", "NUMBA_CPU_")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SECRET_NAME = re.compile(r"SECRET|PASSW|TOKEN|CREDENTIAL|PRIVATE|KEY(_ID)?\Z", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"://[^/\s@]*:[^/\s@]*@")


def worker_environment() -> dict[str, str]:
    """Return the variables that give a worker the settings which workers of ours have.

    Arithmetic as in this process, but with one thread; a heap that keeps what it will need
    again; and the engine's settings of dask, as dask reads them from its environment.
    """
    as_here = {name: value for name, value in os.environ.items() if name.startswith(ARITHMETIC)}
    settings = {
        f"DASK_{name.upper().replace('.', '__').replace('-', '_')}": str(value)
        for name, value in DASK_SETTINGS.items()
        if not isinstance(value, Mapping)
    }
    return {**as_here, **ONE_THREAD, **HEAP_OF_A_WORKER, **settings}


def spawned_environment() -> dict[str, str]:
    """Return what a nanny sets for its worker before numpy is there.

    For dask's setting ``distributed.nanny.pre-spawn-environ``, or as text for the variable
    ``DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON``: dask's own would be another.
    """
    every = worker_environment()
    return {name: value for name, value in every.items() if not name.startswith("DASK_")}


def require_no_secrets(environment: Mapping[str, str | None]) -> None:
    """Raise ConfigError unless an environment can stand in a script that others may read.

    Parameters
    ----------
    environment : mapping
        Values by name; None = by its name alone, with the value that the driver has.
    """
    for name, value in environment.items():
        if not isinstance(name, str) or not _NAME.match(name):
            raise ConfigError(
                f"cluster.environment: found the name {name!r}, wanted letters, digits and _"
            )
        if value is None:
            continue
        if not isinstance(value, str):
            raise ConfigError(
                f"cluster.environment.{name}: found {value!r}, wanted text in quotes, or nothing "
                "to pass on the value that the driver has"
            )
        if _SECRET_NAME.search(name) or _SECRET_VALUE.search(value):
            raise ConfigError(
                f"cluster.environment.{name}: its value looks like a secret, and job scripts can "
                f"be read by others; write `{name}:` without a value, and it is passed on from "
                "the environment of the driver"
            )
