"""What a worker beside its driver loads: Ctrl-C is the driver's, which ends its workers itself.

A terminal sends it to both, and each worker would print how it fell. A preload of dask.
"""

from __future__ import annotations

import signal


def dask_setup(_worker: object) -> None:
    """Leave the interrupt to the driver; called in the worker's main thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
