"""The events of a run: what was decided, each a value.

`Journal` (`journal_store`) keeps them in order. Whoever wants the state of a run folds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeAlias, get_args

from alignsvc.domain.outcome import Convergence, Status, Verdict
from alignsvc.domain.task import TableRef
from alignsvc.redaction import redacted


class EventKind(StrEnum):
    """What an event says, as written in the journal."""

    RUN_CREATED = "run_created"
    PLANNED = "planned"
    EXTENDED = "extended"
    DRIVER_STARTED = "driver_started"
    BOOTSTRAPPED = "bootstrapped"
    PASS_STARTED = "pass_started"
    STATES = "states"
    STAGE_STARTED = "stage_started"
    STAGE_FINISHED = "stage_finished"
    EXPOSURE_ENDED = "exposure_ended"
    SOURCES_FOUND = "sources_found"
    RAYS_FOUND = "rays_found"
    STEP_SOLVED = "step_solved"
    SOLVED = "solved"
    PUBLISHED = "published"
    LOOP_ENDED = "loop_ended"
    VERDICT = "verdict"
    HEADER_APPLIED = "header_applied"
    HEADER_REVERTED = "header_reverted"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    RETRIED = "retried"
    CLEANED = "cleaned"
    DAMAGE_FOUND = "damage_found"


@dataclass(frozen=True, slots=True)
class RunCreated:
    """The run was planned.

    Parameters
    ----------
    identity : str
        Digest of all `parts`.
    parts : tuple of (str, str)
        Each setting that changes numbers, each input, and the format, with its digest.
    """

    kind: ClassVar[EventKind] = EventKind.RUN_CREATED
    identity: str
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """Headers were read for a plan; a plan by kept headers alone is not told of.

    Parameters
    ----------
    n_read, n_kept : int
        Exposures whose headers were read, and others, whose files are what they were.
    reading_s, planning_s : float
        Wall clock: of looking at files, and of all that followed.
    """

    kind: ClassVar[EventKind] = EventKind.PLANNED
    n_read: int
    n_kept: int
    reading_s: float
    planning_s: float

    @property
    def text(self) -> str:
        """It in a sentence."""
        rate = f" ({self.n_read / self.reading_s:.0f} a second)" if self.reading_s > 0 else ""
        return (
            f"headers: {self.n_read} exposures read and {self.n_kept} unchanged since they were "
            f"read last, in {self.reading_s:.1f} s{rate}; planned in {self.planning_s:.1f} s"
        )


@dataclass(frozen=True, slots=True)
class Extended:
    """The run extends another, and has all that it needs of it.

    Parameters
    ----------
    run : str
        The directory of the earlier one, as it was; for people.
    identity : str
        Of the earlier one.
    record : TableRef
        What it found, corrections and all.
    is_frozen : bool
        Whether its corrections stay as they are.
    n_known, n_new : int
        Exposures that it aligned, and others.
    """

    kind: ClassVar[EventKind] = EventKind.EXTENDED
    run: str
    identity: str
    record: TableRef
    is_frozen: bool
    n_known: int
    n_new: int


@dataclass(frozen=True, slots=True)
class DriverStarted:
    """A driver took the run: the number of its lease, and who it is."""

    kind: ClassVar[EventKind] = EventKind.DRIVER_STARTED
    epoch: int
    owner: str


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """Exposures were compared with each other: the table of where the loop begins."""

    kind: ClassVar[EventKind] = EventKind.BOOTSTRAPPED
    table: TableRef


@dataclass(frozen=True, slots=True)
class PassStarted:
    """A pass began; a full one detects sources anew."""

    kind: ClassVar[EventKind] = EventKind.PASS_STARTED
    pass_number: int
    is_full: bool


@dataclass(frozen=True, slots=True)
class ExposureState:
    """All that an exposure's contributions depend on besides its file and the settings.

    Parameters
    ----------
    exposure : str
        Exposure id.
    parameters : tuple of six floats
        Its total correction, in the order of ``domain.correction.PARAMETERS``.
    flux_scale : float
        By its header, corrected so that it agrees with the others.
    sky_offset : float
        Taken off besides its own estimate of its sky, in the units of its pixels.
    mask_version : int
        The pass in which its cosmic rays were last found, 0 if nobody looked for any.
    chip_shifts : tuple of (float, float)
        Of each chip, where chips have offsets.
    """

    exposure: str
    parameters: tuple[float, float, float, float, float, float]
    flux_scale: float = 1.0
    sky_offset: float = 0.0
    mask_version: int = 0
    chip_shifts: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class States:
    """The states that the exposures have in a pass, in order of exposure id."""

    kind: ClassVar[EventKind] = EventKind.STATES
    pass_number: int
    exposures: tuple[ExposureState, ...]


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage of a pass began, with so many tasks."""

    kind: ClassVar[EventKind] = EventKind.STAGE_STARTED
    stage: str
    pass_number: int
    n_tasks: int


@dataclass(frozen=True, slots=True)
class StageFinished:
    """All tasks of a stage ended: how many and how; re-used ones count in these too.

    Parameters
    ----------
    stage : str
    pass_number : int
    n_ok, n_skipped, n_failed, n_reused : int
    peak_bytes : int
        The most memory that a process occupied at one of them, libraries included; 0 if none was
        worked on, or nobody knows.
    seconds : float
        Of work, of all together, whenever it was done.
    """

    kind: ClassVar[EventKind] = EventKind.STAGE_FINISHED
    stage: str
    pass_number: int
    n_ok: int
    n_skipped: int
    n_failed: int
    n_reused: int
    peak_bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ExposureEnded:
    """An exposure reached its end: reason is a SkipReason or FailureKind, empty if aligned."""

    kind: ClassVar[EventKind] = EventKind.EXPOSURE_ENDED
    exposure: str
    status: Status
    reason: str
    message: str

    def __post_init__(self) -> None:
        # Also of headers that could not be read: texts of libraries, stored for good.
        object.__setattr__(self, "message", redacted(self.message))


@dataclass(frozen=True, slots=True)
class SourcesFound:
    """A full pass has its catalogue.

    Parameters
    ----------
    pass_number : int
    found, chosen : TableRef
        All sources, and in cells those that the filters leave.
    next_id : int
        The first id that was never given.
    n_chosen : int
    kinds : TableRef or None
        `SourceKinds` of the chosen in cells, where they were modelled on the mosaic.
    n_galaxies, n_companions : int
        In that table.
    """

    kind: ClassVar[EventKind] = EventKind.SOURCES_FOUND
    pass_number: int
    found: TableRef
    chosen: TableRef
    next_id: int
    n_chosen: int
    kinds: TableRef | None = None
    n_galaxies: int = 0
    n_companions: int = 0


@dataclass(frozen=True, slots=True)
class RaysFound:
    """A full pass knows its cosmic rays, from a mosaic: the table that names those of each."""

    kind: ClassVar[EventKind] = EventKind.RAYS_FOUND
    pass_number: int
    generation: int
    table: str
    digest: str


@dataclass(frozen=True, slots=True)
class StepSolved:
    """A turn of a pass on the fly was solved, from a mosaic: the table of all corrections then."""

    kind: ClassVar[EventKind] = EventKind.STEP_SOLVED
    pass_number: int
    generation: int
    table: str
    digest: str


@dataclass(frozen=True, slots=True)
class Solved:
    """A pass was solved: the table with its corrections, the largest movement, how many moved."""

    kind: ClassVar[EventKind] = EventKind.SOLVED
    pass_number: int
    table: str
    digest: str
    movement_px: float
    n_solved: int


@dataclass(frozen=True, slots=True)
class Published:
    """A generation of the mosaic was verified and is the current one."""

    kind: ClassVar[EventKind] = EventKind.PUBLISHED
    generation: int


@dataclass(frozen=True, slots=True)
class LoopEnded:
    """There are no more passes: why, and the pass whose corrections are kept (0: none was made)."""

    kind: ClassVar[EventKind] = EventKind.LOOP_ENDED
    verdict: Convergence
    kept_pass: int


@dataclass(frozen=True, slots=True)
class VerdictGiven:
    """What held-out data say of an exposure's correction: rms before and after (px)."""

    kind: ClassVar[EventKind] = EventKind.VERDICT
    exposure: str
    verdict: Verdict
    before_px: float
    after_px: float


@dataclass(frozen=True, slots=True)
class HeaderApplied:
    """A header was written; the file's fingerprint before and after both count as unchanged."""

    kind: ClassVar[EventKind] = EventKind.HEADER_APPLIED
    exposure: str
    file: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class HeaderReverted:
    """A written header was put back."""

    kind: ClassVar[EventKind] = EventKind.HEADER_REVERTED
    exposure: str
    file: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The run ended with an exit code of the public contract."""

    kind: ClassVar[EventKind] = EventKind.FINISHED
    exit_code: int


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The run was stopped because somebody asked: which request that was, and whose."""

    kind: ClassVar[EventKind] = EventKind.CANCELLED
    request: str
    by: str


@dataclass(frozen=True, slots=True)
class Retried:
    """Exposures that had failed are tried again: the loop begins anew, whatever it had reached.

    Parameters
    ----------
    exposures : tuple of str
        Their ids.
    identity : str
        Of the run with their files as they are now.
    parts : tuple of (str, str)
        Its pieces, as in `RunCreated`.
    """

    kind: ClassVar[EventKind] = EventKind.RETRIED
    exposures: tuple[str, ...]
    identity: str
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The pixels that the loop would have gone on from were removed: it begins anew."""

    kind: ClassVar[EventKind] = EventKind.CLEANED


@dataclass(frozen=True, slots=True)
class DamageFound:
    """Something that a task made was missing or damaged; it is named, and to be made again."""

    kind: ClassVar[EventKind] = EventKind.DAMAGE_FOUND
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", redacted(self.message))


Event: TypeAlias = (
    RunCreated
    | Planned
    | Extended
    | DriverStarted
    | Bootstrapped
    | PassStarted
    | States
    | StageStarted
    | StageFinished
    | ExposureEnded
    | SourcesFound
    | RaysFound
    | StepSolved
    | Solved
    | Published
    | LoopEnded
    | VerdictGiven
    | HeaderApplied
    | HeaderReverted
    | Finished
    | Cancelled
    | Retried
    | Cleaned
    | DamageFound
)
EVENT_TYPES: tuple[type[Event], ...] = get_args(Event)
