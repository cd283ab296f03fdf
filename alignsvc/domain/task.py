"""What an engine runs: a frozen value with a key, that does its work when called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from alignsvc.domain.exposure import ExposureRef
from alignsvc.domain.outcome import TaskKey, TaskOutcome


@dataclass(frozen=True, slots=True)
class TableRef:
    """A table in the run store: its name, and the checksum of its content."""

    name: str
    checksum: str


class Task(Protocol):
    """A frozen, picklable value; calling it does the work and reports a small outcome."""

    @property
    def key(self) -> TaskKey:
        """Identity: the digest of all that the product depends on."""
        ...

    def __call__(self) -> TaskOutcome:
        """Do the work: read, compute, write; return what a receipt would say."""
        ...


@runtime_checkable
class ReadsExposure(Protocol):
    """A task that reads the pixels of an exposure: they may be read before it begins."""

    @property
    def exposure_read(self) -> ExposureRef:
        """The exposure."""
        ...


@runtime_checkable
class StaysAtHome(Protocol):
    """A task that is done faster where another of its number was: its worker kept what it read.

    A preference only; the product is the same anywhere.
    """

    @property
    def home(self) -> int:
        """The number."""
        ...
