"""What a driver tells whoever listens, while it works: small values, no pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from alignsvc.domain.outcome import TaskOutcome
from alignsvc.io.control import Progress
from alignsvc.io.journal_store import Entry
from alignsvc.io.worker_samples import WorkerSample
from alignsvc.redaction import redacted


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage of a pass begins with `total` tasks; pass 0 is the final mosaic's."""

    stage: str
    pass_number: int
    total: int


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """One task of the present stage has ended.

    `n_places` is how many tasks can run at one time; 0 = not known.
    """

    stage: str
    outcome: TaskOutcome
    is_reused: bool = False
    n_places: int = 0


@dataclass(frozen=True, slots=True)
class PassSolved:
    """The corrections of a pass are known."""

    pass_number: int
    movement_px: float
    n_solved: int
    n_sources: int
    is_full: bool


@dataclass(frozen=True, slots=True)
class Note:
    """Something the user should know: one sentence."""

    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", redacted(self.text))


@dataclass(frozen=True, slots=True)
class HeadersRead:
    """So many headers of the inputs are read, of all that are to be, in so many seconds."""

    done: int
    total: int
    seconds: float

    @property
    def text(self) -> str:
        """How far it is, in words."""
        rate = f", {self.done / self.seconds:.0f} a second" if self.seconds > 0 else ""
        return f"headers: {self.done} of {self.total} read{rate}"


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A driver begins, or somebody to follow one: what the journal says so far."""

    entries: tuple[Entry, ...]
    eps_shift_px: float


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """The journal has one more entry."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Counted:
    """So far is the present stage of a driver elsewhere, by its last sign of life."""

    progress: Progress
    time_s: float


@dataclass(frozen=True, slots=True)
class Sampled:
    """So the workers and the driver are, about once a second while tasks go on."""

    sample: WorkerSample


Event = (
    HeadersRead
    | StageStarted
    | TaskEnded
    | PassSolved
    | Note
    | Begun
    | Recorded
    | Counted
    | Sampled
)


class Listener(Protocol):
    """Anything that can be told of events: a progress bar, a log, a test."""

    def __call__(self, event: Event) -> None:
        """Take notice of `event`; must not raise."""
        ...


def silent(event: Event) -> None:
    """Take no notice."""


def heard_by(*listeners: Listener) -> Listener:
    """Return one listener that tells all of them, in order."""

    def hear(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return hear
