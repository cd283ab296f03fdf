"""Workers must run what the driver runs: another version may give other numbers, silently.

Workers are asked when they are first seen, those that join in the middle of a run too. One with
another version of alignsvc, Python or numpy is refused: it is told of once, and gets no task of
this run. It is left as it is, since it may serve others on the same scheduler.
"""

# distributed is typed in parts only.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from distributed import get_worker

from alignsvc import version
from alignsvc.errors import AlignError


@dataclass(frozen=True, slots=True)
class Versions:
    """What a process runs, as far as numbers depend on it: whole, and major.minor of others."""

    alignsvc: str
    python: str
    numpy: str

    def __str__(self) -> str:
        return f"alignsvc {self.alignsvc}, Python {self.python}, numpy {self.numpy}"


class WorkerRefused(AlignError):
    """A task came to a worker that runs another version, and was not done."""

    def __init__(self, worker: str, message: str) -> None:
        super().__init__(message)
        self.worker = worker

    def __reduce__(self) -> tuple[type[WorkerRefused], tuple[str, str]]:
        """Pickle with both arguments."""
        return (type(self), (self.worker, str(self)))


def versions_here() -> Versions:
    """Return what this process runs."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Versions(version.VERSION, python, ".".join(np.__version__.split(".")[:2]))


def require_versions(wanted: Versions) -> None:
    """Refuse, on a worker, to work for a driver of another version.

    Raises
    ------
    WorkerRefused
    """
    found = versions_here()
    if found != wanted:
        address = str(get_worker().address)
        raise WorkerRefused(address, _refusal(address, found, wanted))


class WorkerRoll:
    """Which workers run what this process runs; the others are refused.

    Parameters
    ----------
    on_refused : callable
        Called with each worker that is refused and the sentence why, once.
    """

    def __init__(self, on_refused: Callable[[str, str], None]) -> None:
        self.wanted = versions_here()
        self._on_refused = on_refused
        self._suited: set[str] = set()
        self._refused: dict[str, str] = {}

    @property
    def refused(self) -> frozenset[str]:
        """Addresses of workers that get no task."""
        return frozenset(self._refused)

    @property
    def reasons(self) -> str:
        """Why workers were refused, in sentences; empty if none was."""
        return "; ".join(self._refused.values())

    def new_among(self, addresses: Iterable[str]) -> list[str]:
        """Return those that were never asked."""
        return [one for one in addresses if one not in self._suited and one not in self._refused]

    def enter(self, answers: dict[str, object]) -> None:
        """Judge workers by what `versions_here` gave on each: its answer, or the error there.

        One that did not answer at all is not judged, and will be asked again.
        """
        for address, found in answers.items():
            if found == self.wanted:
                self._suited.add(address)
            elif not isinstance(found, OSError):
                self.refuse(address, _refusal(address, found, self.wanted))

    def refuse(self, address: str, why: str) -> None:
        """Give a worker no task any more."""
        if address not in self._refused:
            self._refused[address] = why
            self._on_refused(address, why)


def _refusal(address: str, found: object, wanted: Versions) -> str:
    runs = str(found) if isinstance(found, Versions) else f"no alignsvc that answers ({found!r})"
    return (
        f"worker {address} is refused: it runs {runs}, the driver {wanted}; install the same there "
        "and start it anew"
    )
