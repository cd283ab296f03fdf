"""Where a run stands, from its journal alone: live, stopped, finished or dead."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from alignsvc.io.driver_record import DriverRecord, read_driver_record
from alignsvc.io.journal import Extended
from alignsvc.io.lease import LeaseOwner, lease_owner
from alignsvc.io.locations import RunLocations
from alignsvc.run.service import state_of
from alignsvc.run.state import RunState


class Standing(StrEnum):
    """How things are with a run."""

    RUNNING = "running"
    STOPPED = "stopped"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True, eq=False)
class RunStatus:
    """A run directory, the state that its journal folds to, and who drives it.

    Parameters
    ----------
    directory : Path
    state : RunState
    owner : LeaseOwner or None
        The process that drives the run; None where it ended, or its driver is gone.
    driver : DriverRecord or None
        What `alignsvc submit` started last; None if the run was not submitted.
    """

    directory: Path
    state: RunState
    owner: LeaseOwner | None = None
    driver: DriverRecord | None = None

    @property
    def standing(self) -> Standing:
        """Whether the run goes on, was stopped, or has come to its end."""
        if self.state.is_finished:
            return Standing.FINISHED
        return Standing.STOPPED if self.owner is None else Standing.RUNNING

    def lines(self) -> list[str]:
        """Return the status in sentences."""
        state = self.state
        match self.standing:
            case Standing.FINISHED:
                end = f"ended, exit {state.exit_code}"
            case Standing.STOPPED:
                end = f"stopped; `alignsvc resume {self.directory}` goes on with it"
            case Standing.RUNNING:
                end = f"going on, driven by {self.owner}"
        lines = [f"{self.directory}: {end}"]
        if self.driver is not None:
            lines.append(f"submitted as {self.driver}, output in {self.driver.log or 'its place'}")
        if state.extended is not None:
            lines.append(extension_line(state.extended))
        lines += [
            f"pass {r.number}{' (full)' if r.is_full else ''}: "
            + ("not solved yet" if r.solution is None else f"{r.solution.movement_px:.4f} px")
            for r in state.passes
        ]
        reasons = Counter((e.status.value, e.reason) for e in state.ended.values())
        lines += [f"{n} {status}: {reason}" for (status, reason), n in sorted(reasons.items())]
        return lines

    def as_json(self) -> dict[str, object]:
        """Return the status as JSON values."""
        state = self.state
        return {
            "directory": str(self.directory),
            "standing": self.standing.value,
            "identity": state.identity,
            "finished": state.is_finished,
            "driver": None if self.driver is None else driver_json(self.driver),
            "exit_code": state.exit_code,
            "extends": None if state.extended is None else extension_json(state.extended),
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
        }


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


def driver_json(driver: DriverRecord) -> dict[str, object]:
    """Return what `submit` started, as JSON values."""
    return {
        "place": driver.place,
        "job": driver.job,
        "log": driver.log,
        "time_s": driver.time_s,
    }


def run_status(run: Path) -> RunStatus:
    """Return where the run in a directory stands.

    Raises
    ------
    RunStoreError
        There is no run, or its journal cannot be trusted.
    """
    run = run.absolute()
    objects = RunLocations(run).objects
    return RunStatus(run, state_of(run), lease_owner(objects), read_driver_record(objects))
