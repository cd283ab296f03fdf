"""CPU time of a serial run, by stage and pass."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from alignsvc.run.records import events

#: Of the run but of no task: plan, solve, headers, report.
DRIVER = "driver"


@dataclass(frozen=True)
class Slot:
    """A stage of a pass; pass 0 is what comes before the first and after the last."""

    stage: str
    pass_number: int


class StageClock:
    """Listens to a serial run, and gives the CPU time since the last event to whose work it was."""

    def __init__(self) -> None:
        self.cpu_s: Counter[Slot] = Counter()
        self.n_tasks: Counter[Slot] = Counter()
        self.displacements: Counter[int] = Counter()
        self._pass = 0
        self._last = time.process_time()

    def __call__(self, event: events.Event) -> None:
        """Take the time; what a task's books cost counts to the task after it."""
        if isinstance(event, events.TaskEnded):
            slot = Slot(event.stage, self._pass)
            self._spent(slot)
            self.n_tasks[slot] += 1
            if event.stage == "measure":
                self.displacements[self._pass] += round(event.outcome.fact("measured"))
        elif isinstance(event, events.StageStarted):
            self._spent(Slot(DRIVER, self._pass))
            self._pass = event.pass_number

    def end(self) -> None:
        """Give what is left to the driver."""
        self._spent(Slot(DRIVER, 0))

    @property
    def passes(self) -> int:
        """How many passes there were."""
        return max((slot.pass_number for slot in self.cpu_s), default=0)

    @property
    def stages(self) -> list[str]:
        """All stages, in order of their beginning; the driver comes last."""
        met = dict.fromkeys(slot.stage for slot in self.cpu_s)
        return [*(stage for stage in met if stage != DRIVER), DRIVER]

    def of(self, stage: str, *passes: int) -> float:
        """Return the CPU s of a stage in the passes named, in all where none is."""
        return sum(
            spent
            for slot, spent in self.cpu_s.items()
            if slot.stage == stage and (not passes or slot.pass_number in passes)
        )

    def _spent(self, on: Slot) -> None:
        now = time.process_time()
        self.cpu_s[on] += now - self._last
        self._last = now
