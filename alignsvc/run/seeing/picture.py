"""A run as people see it: how it stands, what each pass did to each exposure, and when."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from alignsvc.domain.outcome import Status
from alignsvc.io.journal_store import Journal
from alignsvc.io.locations import RunLocations
from alignsvc.io.places import Place
from alignsvc.io.record_pieces import PieceReader, Records
from alignsvc.io.run_logs import LogLine, last_log_lines
from alignsvc.io.task_ends import TASK_ENDS
from alignsvc.io.worker_samples import WORKER_SAMPLES
from alignsvc.run.planning.outlines import Outlines, find_outlines
from alignsvc.run.records.identity import fingerprints_among
from alignsvc.run.records.journal_view import of_unended
from alignsvc.run.seeing.exposure_detail import ExposureDetail, find_exposure_detail
from alignsvc.run.seeing.mosaic_previews import MosaicPreviews, find_mosaic_previews
from alignsvc.run.seeing.pass_columns import PassColumns, find_pass_columns
from alignsvc.run.seeing.task_times import TaskRecords
from alignsvc.run.seeing.worker_samples import SampleRecords
from alignsvc.run.status.run_status import RunStatus
from alignsvc.run.status.stage_times import StageTime
from alignsvc.run.status.standing_now import StandingReader

#: Lines of the log that are shown: the last ones.
_LOG_LINES = 200


@dataclass(frozen=True, slots=True, eq=False)
class SeenExposure:
    """How an exposure ended, if it did.

    Parameters
    ----------
    id : str
    status : Status or None
        None where it has not ended.
    reason, message : str
        Empty where there is none.
    is_going : bool
        Whether its run goes on.
    """

    id: str
    status: Status | None
    reason: str = ""
    message: str = ""
    is_going: bool = False

    @property
    def how(self) -> str:
        """Its status in a word or two."""
        if self.status is not None:
            return self.status.value
        return of_unended(is_going=self.is_going)


@dataclass(frozen=True, eq=False)
class RunPicture:
    """All that is shown of a run at one moment.

    Parameters
    ----------
    status : RunStatus
    passes : tuple of PassColumns
        Solved ones whose tables can be read.
    stages : tuple of StageTime
        In turn.
    outlines : Outlines
    log : tuple of LogLine
        The last of it.
    tasks : Records of TaskEnd
        The same value as at the look before if nothing is new; so are the samples.
    samples : Records of WorkerSample
    mosaic : MosaicPreviews or None
        Before and after, as far as there are pictures.
    trouble : str
        Why the journal cannot be read to its end, if it cannot.
    """

    status: RunStatus
    passes: tuple[PassColumns, ...] = ()
    stages: tuple[StageTime, ...] = ()
    outlines: Outlines = field(default_factory=Outlines.none)
    log: tuple[LogLine, ...] = ()
    tasks: TaskRecords = field(default_factory=Records)
    samples: SampleRecords = field(default_factory=Records)
    mosaic: MosaicPreviews | None = None
    trouble: str = ""

    @property
    def kept_pass(self) -> PassColumns | None:
        """The pass whose corrections the run keeps; the last solved one while it goes on.

        None before the first. Sources that were held out join the fit once more after it, so that
        the run's table of corrections may differ by a part of their errors.
        """
        end = self.status.state.loop_end
        known = {one.number: one for one in self.passes}
        return known.get(max(known, default=0) if end is None else end.kept_pass)

    @cached_property
    def exposures(self) -> tuple[SeenExposure, ...]:
        """Every exposure that the run knows of, in order of id."""
        state = self.status.state
        names = {*fingerprints_among(state.parts), *state.ended, *self.outlines.id.tolist()}
        if self.passes:
            names.update(self.passes[-1].id.tolist())
        unended = Status.ALIGNED if state.is_finished else None
        is_going = self.status.standing.is_going
        return tuple(
            SeenExposure(name, unended, is_going=is_going)
            if (end := state.ended.get(name)) is None
            else SeenExposure(name, end.status, end.reason, end.message)
            for name in sorted(names)
        )


class RunViewer:
    """Looks at one run again and again, and reads only what is new.

    Parameters
    ----------
    run : Place
        The run's directory, on a disk or in a bucket.
    clock : callable
        Seconds since 1970.

    Raises
    ------
    RunStoreError
        There is no run.
    """

    def __init__(self, run: Place, clock: Callable[[], float] = time.time) -> None:
        self.run = run.absolute()
        self._clock = clock
        self._objects = RunLocations(self.run).objects
        self._reader = StandingReader(self.run, Journal(self._objects, clock))
        self._passes: dict[str, PassColumns] = {}
        self._outlines = Outlines.none()
        self._tasks = PieceReader(self._objects, TASK_ENDS)
        self._samples = PieceReader(self._objects, WORKER_SAMPLES)
        self._mosaic: MosaicPreviews | None = None

    def look(self) -> RunPicture:
        """Return the run as it is now.

        Raises
        ------
        RunStoreError
            Nothing of its journal can be read: it is of another format, say.
        """
        _, trouble = self._reader.sound_news()
        if not len(self._outlines.id):
            self._outlines = find_outlines(self._objects)
        self._mosaic = find_mosaic_previews(self._objects, self._mosaic)
        status = self._reader.with_work(self._reader.status(self._clock()))
        return RunPicture(
            status,
            self._solved_passes(),
            self._reader.progress.stages,
            self._outlines,
            last_log_lines(self._objects, _LOG_LINES),
            self._tasks(),
            self._samples(),
            self._mosaic,
            "" if trouble is None else str(trouble),
        )

    def detail(self, exposure_id: str) -> ExposureDetail | None:
        """Return what the run keeps of an exposure, as of the last look; None: it has no such one.

        It may be asked for while another thread looks.
        """
        return find_exposure_detail(self._objects, exposure_id, self._reader.progress.view.state)

    def _solved_passes(self) -> tuple[PassColumns, ...]:
        """Return what solved passes left; what was read once is not read again."""
        found: dict[str, PassColumns] = {}
        for record in self._reader.progress.view.state.solved_passes:
            assert record.solution is not None
            digest = record.solution.digest
            columns = self._passes.get(digest) or find_pass_columns(self._objects, record)
            if columns is not None:
                found[digest] = columns
        self._passes = found
        return tuple(found.values())
