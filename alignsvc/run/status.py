"""Where a run stands, from its journal alone: live, stopped, finished or dead."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from alignsvc.run.service import state_of
from alignsvc.run.state import RunState


@dataclass(frozen=True, slots=True, eq=False)
class RunStatus:
    """A run directory and the state that its journal folds to."""

    directory: Path
    state: RunState

    def lines(self) -> list[str]:
        """Return the status in sentences."""
        state = self.state
        end = (
            "going on, or stopped" if state.exit_code is None else f"ended, exit {state.exit_code}"
        )
        lines = [f"{self.directory}: {end}"]
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
            "identity": state.identity,
            "finished": state.is_finished,
            "exit_code": state.exit_code,
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


def run_status(run: Path) -> RunStatus:
    """Return where the run in a directory stands.

    Raises
    ------
    RunStoreError
        There is no run, or its journal cannot be trusted.
    """
    run = run.absolute()
    return RunStatus(run, state_of(run))
