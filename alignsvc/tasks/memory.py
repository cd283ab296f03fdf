"""What a process occupies, as the system counts it: read in microseconds."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

_SELF = Path("/proc/self")
#: Written to ``clear_refs``: forget the highest memory so far.
_FORGET_PEAK = "5"
#: Of what a process may allocate, for what it keeps of one kind, at most.
_SHARE_OF_A_LIMIT = 0.125


def forget_peak() -> None:
    """Let the peak count from now on; nothing happens where the system cannot."""
    with suppress(OSError):
        (_SELF / "clear_refs").write_text(_FORGET_PEAK)


def peak_bytes() -> int:
    """Return the most that this process occupied since `forget_peak`; 0 if that is not known."""
    return _status_bytes("VmHWM:")


def occupied_bytes() -> int:
    """Return what this process occupies now; 0 if that is not known."""
    return _status_bytes("VmRSS:")


def allocated_bytes() -> int:
    """Return what this process has allocated, touched or not; 0 if that is not known."""
    return _status_bytes("VmData:")


def allowed_bytes() -> int | None:
    """Return what this process may allocate; None: anything, or the system cannot tell."""
    if sys.platform == "win32":
        return None
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return None if soft == resource.RLIM_INFINITY else soft


def bounded_share(most_bytes: float) -> float:
    """Return what a process may keep of one kind: so much, or an eighth of what it may allocate."""
    allowed = allowed_bytes()
    return most_bytes if allowed is None else min(most_bytes, _SHARE_OF_A_LIMIT * allowed)


def _status_bytes(name: str) -> int:
    with suppress(OSError):
        for line in (_SELF / "status").read_text().splitlines():
            if line.startswith(name):
                return 1024 * int(line.split()[1])
    return 0
