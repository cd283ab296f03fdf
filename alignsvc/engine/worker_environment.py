"""What the processes of workers that are started elsewhere need in their environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from alignsvc.engine.clusters.local import DASK_SETTINGS, HEAP_OF_A_WORKER, ONE_THREAD
from alignsvc.errors import ConfigError

#: How the names begin of what libraries of linear algebra read: which kernels they use, above
#: all. Two kernels differ in the last bits of a sum.
LINEAR_ALGEBRA = ("OPENBLAS_", "MKL_", "BLIS_", "NPY_")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SECRET_NAME = re.compile(r"SECRET|PASSW|TOKEN|CREDENTIAL|PRIVATE|KEY(_ID)?\Z", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"://[^/\s@]*:[^/\s@]*@")


def worker_environment() -> dict[str, str]:
    """Return the variables that give a worker the settings which workers of ours have.

    Linear algebra as in this process, but with one thread; a heap that keeps what it will need
    again; and the engine's settings of dask, as dask reads them from its environment.
    """
    as_here = {name: value for name, value in os.environ.items() if name.startswith(LINEAR_ALGEBRA)}
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
