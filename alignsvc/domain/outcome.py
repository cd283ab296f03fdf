"""How tasks, exposures and the loop end; the reasons are in `alignsvc.reasons`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from alignsvc.redaction import redacted


class Status(StrEnum):
    """Where an exposure stands at the end."""

    ALIGNED = "aligned"
    SKIPPED = "skipped"
    FAILED = "failed"


class Convergence(StrEnum):
    """Where the loop stands after a pass."""

    RUNNING = "running"
    CONVERGED = "converged"
    STALLED = "stalled"
    DIVERGING = "diverging"
    MAX_ITERATIONS = "max_iterations"


class Verdict(StrEnum):
    """What data that the fit did not use say of a correction."""

    IMPROVED = "improved"
    UNCHANGED = "unchanged"
    WORSE = "worse"
    UNTESTED = "untested"


class ExitCode(IntEnum):
    """What a command returns to the shell; where several hold, 2, 3, 4, 1, 0 in that order."""

    DONE = 0  #: exposures skipped for lack of sources included
    SOME_FAILED = 1
    BAD_CONFIGURATION = 2  #: or no usable exposure
    RUN_STORE = 3
    NOT_CONVERGED = 4
    INTERNAL = 5
    INTERRUPTED = 130


class TaskStatus(StrEnum):
    """How a task ended."""

    OK = "ok"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TaskKey:
    """Identity of a task: what it does, to what, and the digest of all its inputs.

    Parameters
    ----------
    stage : str
        ``resample``, ``merge``, ``detect``, ``measure``, ...
    subject : str
        Exposure id or tile, for people.
    digest : str
        Hexadecimal digest of everything that the product depends on.
    """

    stage: str
    subject: str
    digest: str

    def __str__(self) -> str:
        return f"{self.stage}-{self.digest}"


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """What a task reports: small, because pixels and tables stay in the store.

    Parameters
    ----------
    key : TaskKey
    status : TaskStatus
    reason : str
        A SkipReason or FailureKind when not ok, else empty.
    message : str
        One sentence for the report when not ok; when ok, what went wrong with what is only shown,
        empty if nothing did.
    product : str
        Path of the product within the run store, empty if none.
    checksum : str
        Digest of the product's content, empty if none.
    facts : tuple of (str, float)
        A few named numbers (sky level, sources measured), for the report.
    seconds : float
        Wall time of the work; never part of any digest.
    """

    key: TaskKey
    status: TaskStatus
    reason: str = ""
    message: str = ""
    product: str = ""
    checksum: str = ""
    facts: tuple[tuple[str, float], ...] = ()
    seconds: float = 0.0

    def __post_init__(self) -> None:
        # Texts of libraries are in it, and it is stored for good.
        object.__setattr__(self, "message", redacted(self.message))

    @property
    def is_ok(self) -> bool:
        """Whether the product exists."""
        return self.status is TaskStatus.OK

    def fact(self, name: str) -> float:
        """Return the named number; KeyError if the task did not report it."""
        return dict(self.facts)[name]
