"""A driver that stops itself (as by kill -STOP) right after an event: a program for the tests.

Arguments: the configuration, the kind of the event, and which of that kind (0, 1, ...). It prints
``stopping`` before, and ends with the exit code of the command line once somebody lets it go on.
"""

from __future__ import annotations

import os
import signal
import sys

from alignsvc.cli.main import exit_code
from alignsvc.io.journal import Event
from alignsvc.io.journal_store import Entry, Journal


def stop_after(kind: str, which: int) -> None:
    """Have the journal stop this process after an event."""
    append, left = Journal.append, [which]

    def appended(journal: Journal, event: Event) -> Entry:
        entry = append(journal, event)
        if event.kind == kind:
            left[0] -= 1
            if left[0] < 0:
                left[0] = sys.maxsize
                print("stopping", flush=True)
                os.kill(os.getpid(), signal.SIGSTOP)
        return entry

    Journal.append = appended  # type: ignore[method-assign]


if __name__ == "__main__":
    config, kind, which = sys.argv[1:]
    stop_after(kind, int(which))
    sys.exit(exit_code(["run", config, "--json"]))
