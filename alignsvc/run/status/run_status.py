"""Where a run stands, from its store alone: live, stopped, cancelled, finished or dead."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from alignsvc.domain.outcome import Status
from alignsvc.io.control import LivePages, Progress, cancel_request, live_pages, progress_of
from alignsvc.io.journal import (
    Extended,
    StageStarted,
)
from alignsvc.io.last_words import find_last_words
from alignsvc.io.lease import Holder, LeaseOwner, lease_holder
from alignsvc.io.locations import REPORT_JSON, RunLocations
from alignsvc.io.objects import ObjectStore
from alignsvc.io.places import Place
from alignsvc.io.worker_samples import WorkerSample
from alignsvc.run.planning.header_progress import planned_json
from alignsvc.run.records.journal_view import ExposureCounts, JournalView, counts_of, of_unended
from alignsvc.run.records.stage_words import rate_words
from alignsvc.run.records.state import RunState
from alignsvc.run.records.worker_words import worker_words, workers_json
from alignsvc.run.status.pace import Forecast
from alignsvc.run.status.submitted_driver import AskDriver, SubmittedDriver, submitted_driver
from alignsvc.wording import counted


class RunStanding(StrEnum):
    """How things are with a run."""

    NEVER_BEGUN = "never begun"
    RUNNING = "running"
    STOPPED = "stopped"
    DEAD = "dead"
    CANCELLED = "cancelled"
    FINISHED = "finished"
    QUEUED = "queued"  #: its driver waits for its turn, or has just begun

    @property
    def is_going(self) -> bool:
        """Whether more is to be expected without anybody's doing."""
        return self in (RunStanding.NEVER_BEGUN, RunStanding.RUNNING, RunStanding.QUEUED)


@dataclass(frozen=True, slots=True, eq=False)
class RunStatus:
    """A run directory, the state that its journal folds to, and who drives it.

    Parameters
    ----------
    directory : Place
    state : RunState
    owner : LeaseOwner or None
        The process that drives the run; None where it ended, or its driver is gone.
    holder : Holder or None
        Who has the lease, alive or not; None if nobody had it, or it was given back.
    stage : StageStarted or None
        What is being done, if something is.
    progress : Progress or None
        How far that is.
    counts : ExposureCounts
    eps_shift_px : float
        Where the loop ends.
    last_sign_s : float
        Of life: when, in seconds since 1970; 0 if there never was one.
    now_s : float
        When all this was found out.
    why_ended : str
        What ended its last driver before the run did, in that driver's words; empty if nothing, or
        if it could not say so.
    submitted : SubmittedDriver or None
        What `alignsvc submit` started last; None if the run was not submitted.
    asked_to_stop_by : str
        Who asked it to, if that is still to be obeyed.
    forecast : Forecast
        How fast the present stage goes, and how long it and its pass still take.
    workers : WorkerSample or None
        How workers and driver are; None if nobody drives it, or said so lately.
    pages : LivePages
        What is shown while its driver is there.
    """

    directory: Place
    state: RunState
    owner: LeaseOwner | None = None
    holder: Holder | None = None
    stage: StageStarted | None = None
    progress: Progress | None = None
    counts: ExposureCounts = field(default_factory=ExposureCounts)
    eps_shift_px: float = 0.0
    last_sign_s: float = 0.0
    now_s: float = 0.0
    why_ended: str = ""
    submitted: SubmittedDriver | None = None
    asked_to_stop_by: str = ""
    forecast: Forecast = field(default_factory=Forecast)
    workers: WorkerSample | None = None
    pages: LivePages = field(default_factory=lambda: LivePages(0))

    @property
    def standing(self) -> RunStanding:
        """Whether the run goes on, was stopped, or has come to its end."""
        if self.state.is_finished:
            return RunStanding.FINISHED
        # A driver that waits goes on with a run that was cancelled before.
        if self.owner is None and self.submitted is not None and self.submitted.is_there:
            return RunStanding.QUEUED
        if self.state.cancelled is not None:
            return RunStanding.CANCELLED
        if self.owner is not None:
            return RunStanding.RUNNING
        if self.holder is not None:
            return RunStanding.DEAD
        return RunStanding.STOPPED if self.state.identity else RunStanding.NEVER_BEGUN

    @property
    def movement_px(self) -> float | None:
        """The largest movement of the last solved pass; None before the first."""
        moved = self.state.movements_px
        return moved[-1] if moved else None

    @property
    def silence_s(self) -> float | None:
        """Seconds since the last sign of life; None if there never was one."""
        return max(0.0, self.now_s - self.last_sign_s) if self.last_sign_s else None

    @property
    def doing(self) -> str:
        """What is being done, in a few words; empty if nothing is."""
        if self.stage is None or not self.standing.is_going:
            return ""
        number, stage = self.stage.pass_number, self.stage.stage
        done = self.progress
        ended = "" if done is None else f"{done.n_ended} of "
        failed = f", {done.n_failed} failed" if done is not None and done.n_failed else ""
        where = f"pass {number} {stage}" if number else stage.replace("_", " ")
        return f"{where}: {ended}{counted(self.stage.n_tasks, 'task')}{failed}"

    def lines(self) -> list[str]:
        """Return the status in sentences."""
        state = self.state
        lines = [f"{self.directory}: {self._how()}"]
        if self.why_ended:
            lines.append(f"its driver ended: {self.why_ended}")
        if self.submitted is not None:
            lines.append(self.submitted.line())
        if self.asked_to_stop_by:
            lines.append(f"{self.asked_to_stop_by} asked it to stop, which it has not done yet")
        if state.extended is not None:
            lines.append(extension_line(state.extended))
        if state.planned is not None:
            lines.append(state.planned.text)
        lines += [
            f"pass {r.number}{' (full)' if r.is_full else ''}: "
            + ("not solved yet" if r.solution is None else f"{r.solution.movement_px:.4f} px")
            for r in state.passes
        ]
        if self.doing:
            lines.append(", ".join((self.doing, *self._speed())))
        if self.workers is not None and (words := worker_words(self.workers)):
            lines.append(", ".join(words))
        if self.movement_px is not None and not state.is_finished:
            lines.append(
                f"largest movement {self.movement_px:.4f} px; the loop ends below "
                f"{self.eps_shift_px:g} px"
            )
        counts = self.counts
        if counts != ExposureCounts():
            unended = f"{counts.going} {of_unended(is_going=self.standing.is_going)}"
            good = f"{counts.aligned} aligned" if state.is_finished else unended
            lines.append(f"exposures: {good}, {counts.skipped} skipped, {counts.failed} failed")
        reasons = Counter((e.status.value, e.reason) for e in state.ended.values())
        lines += [f"{n} {status}: {reason}" for (status, reason), n in sorted(reasons.items())]
        if self.silence_s is not None and not state.is_finished:
            lines.append(f"last sign of life {age_text(self.silence_s)} ago")
        if self.pages.run:
            where = f" (on {self.pages.host})" if self.pages.host else ""
            lines.append(f"live page: {self.pages.run}{where}")
        return lines

    def _speed(self) -> list[str]:
        """Return how fast the stage goes and how long it takes, in words, as far as is known."""
        assert self.stage is not None
        pace, pass_left_s = self.forecast.pace, self.forecast.pass_left_s
        words = [] if pace.per_s is None else [rate_words(self.stage.stage, pace.per_s)]
        words += [] if pace.left_s is None else [f"{age_text(pace.left_s)} left"]
        return words + (
            [] if pass_left_s is None else [f"{age_text(pass_left_s)} to the end of the pass"]
        )

    def _how(self) -> str:
        resume = f"`alignsvc resume {self.directory}`"
        match self.standing:
            case RunStanding.FINISHED:
                return f"ended, exit {self.state.exit_code}"
            case RunStanding.RUNNING:
                return f"going on, driven by {self.owner}"
            case RunStanding.CANCELLED:
                assert self.state.cancelled is not None
                return f"cancelled, as {self.state.cancelled.by} asked; {resume} goes on with it"
            case RunStanding.DEAD:
                assert self.holder is not None
                return f"its driver, {self.holder.owner}, is gone; {resume} goes on with it"
            case RunStanding.NEVER_BEGUN:
                return f"never begun; {resume} begins it"
            case RunStanding.QUEUED:
                assert self.submitted is not None
                return self.submitted.words
            case _ if self.submitted is not None and self.submitted.words:
                return f"{self.submitted.words}; submit again, or {resume} goes on with it here"
            case _:
                return f"stopped; {resume} goes on with it"

    def as_json(self) -> dict[str, object]:
        """Return the status as JSON values."""
        state = self.state
        return {
            "directory": str(self.directory),
            "standing": self.standing.value,
            "identity": state.identity,
            "finished": state.is_finished,
            "submitted": None if self.submitted is None else self.submitted.as_json(),
            "exit_code": state.exit_code,
            "extends": None if state.extended is None else extension_json(state.extended),
            "planned": planned_json(state.planned),
            "passes": [
                {
                    "number": r.number,
                    "full": r.is_full,
                    "movement_px": None if r.solution is None else r.solution.movement_px,
                }
                for r in state.passes
            ],
            "generation": state.generation,
            "ended": [
                {
                    "id": e.exposure,
                    "status": e.status.value,
                    "reason": e.reason,
                    "message": e.message,
                }
                for e in state.ended.values()
            ],
            "stage": self._stage_json(),
            "exposures": self.counts.as_json(is_going=self.standing.is_going),
            "movement_px": self.movement_px,
            "eps_shift_px": self.eps_shift_px,
            "driven_by": self._driver_json(),
            "workers": workers_json(self.workers),
            "live_page": self.pages.run or None,
            "dashboard": self.pages.dashboard or None,
            "pages_on": self.pages.host or None,
            "asked_to_stop_by": self.asked_to_stop_by or None,
            "why_ended": self.why_ended or None,
            "cancelled_by": None if state.cancelled is None else state.cancelled.by,
            "last_sign_s": self.last_sign_s or None,
            "silence_s": self.silence_s,
        }

    def _stage_json(self) -> dict[str, object] | None:
        if self.stage is None:
            return None
        done = self.progress
        return {
            "name": self.stage.stage,
            "pass": self.stage.pass_number,
            "tasks": self.stage.n_tasks,
            "ended": None if done is None else done.n_ended,
            "skipped": None if done is None else done.n_skipped,
            "failed": None if done is None else done.n_failed,
            "reused": None if done is None else done.n_reused,
            "rate_per_s": self.forecast.pace.per_s,
            "left_s": self.forecast.pace.left_s,
            "pass_left_s": self.forecast.pass_left_s,
        }

    def _driver_json(self) -> dict[str, object] | None:
        if self.holder is None:
            return None
        owner = self.holder.owner
        return {
            "host": owner.host.split("/")[0],
            "pid": owner.pid,
            "lease": self.holder.epoch,
            "alive": self.owner is not None,
        }


def age_text(seconds: float) -> str:
    """Return a time as people say it: ``4 s``, ``3 min``, ``2 h``, ``5 d``."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def extension_line(extended: Extended) -> str:
    """Return in a sentence what a run extends."""
    frozen = " (frozen)" if extended.is_frozen else ""
    return f"extends {extended.run}: {extended.n_known} old{frozen}, {extended.n_new} new"


def extension_json(extended: Extended) -> dict[str, object]:
    """Return what a run extends, as JSON values."""
    return {
        "run": extended.run,
        "identity": extended.identity,
        "frozen": extended.is_frozen,
        "old": extended.n_known,
        "new": extended.n_new,
    }


def status_of(
    run: Place, view: JournalView, now_s: float, ask: AskDriver | None = None
) -> RunStatus:
    """Return where a run stands whose journal has been read, without what its settings say.

    Parameters
    ----------
    run : Place
    view : JournalView
    now_s : float
        Seconds since 1970.
    ask : AskDriver or None
        Asked for a driver that was submitted, where nobody drives the run; None = it is not.
    """
    objects = RunLocations(run).objects
    holder = lease_holder(objects)
    is_alive = holder is not None and holder.is_alive(now_s)
    beaten_s = holder.last.time_s if holder is not None and holder.last is not None else 0.0
    words = None if is_alive or view.state.is_finished else find_last_words(objects)
    return RunStatus(
        run,
        view.state,
        holder.owner if holder is not None and is_alive else None,
        holder=holder,
        stage=view.stage,
        progress=_progress(objects, view, holder),
        counts=_counts(objects, view.state),
        why_ended=words.why if words is not None and words.epoch >= view.epoch else "",
        submitted=submitted_driver(
            run, view.begun_s, None if is_alive or view.state.is_finished else ask
        ),
        asked_to_stop_by=_asked_by(objects, view.state),
        last_sign_s=max(beaten_s, view.last_s),
        now_s=now_s,
        pages=_pages(objects, holder if is_alive else None),
    )


def _pages(objects: ObjectStore, holder: Holder | None) -> LivePages:
    """Return the pages of the driver that is there; those of an earlier one lead nowhere."""
    if holder is None:
        return LivePages(0)
    found = live_pages(objects)
    return found if found is not None and found.epoch == holder.epoch else LivePages(0)


def _asked_by(objects: ObjectStore, state: RunState) -> str:
    request = None if state.is_finished else cancel_request(objects)
    return "" if request is None or request.id in state.obeyed else request.by


def _progress(objects: ObjectStore, view: JournalView, holder: Holder | None) -> Progress | None:
    """Return how far the present stage is, unless what is said of it is of another."""
    found = progress_of(objects)
    if found is None or view.stage is None or holder is None or found.epoch != holder.epoch:
        return None
    same = (found.stage, found.pass_number) == (view.stage.stage, view.stage.pass_number)
    return found if same else None


def _counts(objects: ObjectStore, state: RunState) -> ExposureCounts:
    """Return how exposures stand: by the report of a run that has ended, else by the journal."""
    content = objects.find(REPORT_JSON) if state.is_finished else None
    if content is not None:
        counts = json.loads(content)["counts"]
        return ExposureCounts(0, *(int(counts[status.value]) for status in Status))
    return counts_of(state)
