"""Where workers beside a driver come from: one process imports all that they need, and is copied.

Python's fork server. It is begun before the driver has imported the half of what itself needs, and
imports meanwhile; a worker is then a copy, made in milliseconds, that shares its memory. There is
one in a process, for whoever starts processes in it so: only a process that is a run's alone has
it for workers.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker

from alignsvc.engine.worker_environment import ONE_THREAD, PRE_SPAWN

#: What the server imports.
COPIED = "alignsvc.engine.worker_to_copy"


def begin_server() -> bool:
    """See that the server runs; return whether it does, on Linux alone. It ends with this process.

    It does not hear Ctrl-C, nor does any copy.
    """
    if sys.platform != "linux":
        return False
    atexit.unregister(_kill_server)
    atexit.register(_kill_server)
    resource_tracker.ensure_running()  # which would let interrupts through again, below
    forkserver.set_forkserver_preload([COPIED])
    wanted = {name: os.environ.get(name, value) for name, value in PRE_SPAWN.items()}
    with environment({**wanted, **ONE_THREAD}), _deaf():
        try:
            forkserver.ensure_running()
        except OSError:  # its socket's name is too long in some folders for temporary files
            return False
    return True


def end_server() -> None:
    """Tell the server to end, and wait until it has, when no copy is left."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # no public way is there


def _kill_server() -> None:
    """End a server that nobody has used, whatever it does: who waits for our output waits for it.

    Of copies that are left, it is the end too.
    """
    process: int | None = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    if process is not None:
        os.kill(process, signal.SIGKILL)
        end_server()


@contextmanager
def environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while, for processes that begin meanwhile."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _deaf() -> Iterator[None]:
    """Keep interrupts back: from this thread for a while, from processes that begin for ever."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
