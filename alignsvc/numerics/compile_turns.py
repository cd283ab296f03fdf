"""Who compiles a function: one process at a time, while the others wait for what comes of it.

Workers that begin together on a machine call the same loops in the same order. The lock is the
system's (`flock`), on a file beside the code to come: it ends with its process, however that ends.
A process waits for so long and then compiles for itself, and so it does where there are no locks.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: Several times what the slowest function takes.
MOST_WAIT_S = 60.0
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to compile a function, to be ended by who has it."""

    file: Path
    descriptor: int

    def end(self) -> None:
        """Let the next one look."""
        with suppress(OSError):
            self.file.unlink()
        os.close(self.descriptor)


def wait_for_turn(
    files: Iterable[Path], is_done: Callable[[], bool], most_s: float = MOST_WAIT_S
) -> Turn | None:
    """Wait until nobody else compiles a function.

    Parameters
    ----------
    files : iterable of Path
        Where the lock may be: the first is taken that can be opened.
    is_done : callable
        Whether its code is there by now.
    most_s : float

    Returns
    -------
    Turn or None
        None if it is done, if that took too long, or if no lock can be had.
    """
    for file in files:
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            return _locked(file, os.open(file, os.O_RDWR | os.O_CREAT, 0o644), is_done, most_s)
    return None


def _locked(file: Path, descriptor: int, is_done: Callable[[], bool], most_s: float) -> Turn | None:
    turn = Turn(file, descriptor)
    last_s = time.monotonic() + most_s
    while not is_done():
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > last_s:
                os.close(descriptor)
                return None
            time.sleep(_LOOK_S)
        except OSError:  # a file system without locks
            break
        else:
            return turn
    turn.end()  # the file too: it may be this process that has made it
    return None
