"""What is going on in a run: one value, whoever looks.

It is folded from what the journal says and from how far the present stage is. The driver hears of
both as it works (`alignsvc.run.records.events`), all others read them in the store
(`alignsvc.run.status.watching`); what is shown is the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from alignsvc.io.control import Progress
from alignsvc.io.journal_store import Entry
from alignsvc.io.worker_samples import WorkerSample
from alignsvc.run.records.journal_view import ExposureCounts, JournalView, counts_of
from alignsvc.run.status.pace import Forecast, StageSteps, Step
from alignsvc.run.status.pass_time import rest_of_pass_s
from alignsvc.run.status.stage_times import StageTime, stages_read_on


@dataclass(frozen=True, slots=True, eq=False)
class RunProgress:
    """What is going on in a run.

    Parameters
    ----------
    view : JournalView
        Its journal so far.
    eps_shift_px : float
        Where the loop ends.
    stages : tuple of StageTime
        In turn; the last may go on.
    done : Progress or None
        How far the present stage is, if that is known.
    steps : StageSteps or None
        How it got there; None between two stages.
    sample : WorkerSample or None
        How workers and driver were last; None if nobody knows.
    """

    view: JournalView = field(default_factory=JournalView)
    eps_shift_px: float = 0.0
    stages: tuple[StageTime, ...] = ()
    done: Progress | None = None
    steps: StageSteps | None = None
    sample: WorkerSample | None = None

    def read_on(self, entries: Iterable[Entry]) -> RunProgress:
        """Return it with entries of the journal that follow."""
        news = tuple(entries)
        if not news:
            return self
        view = self.view.read_on(news)
        now = replace(self, view=view, stages=stages_read_on(self.stages, news))
        if view.stage is self.view.stage:
            return now
        if view.stage is None:
            return replace(now, done=None, steps=None)
        steps = StageSteps.begun(view.stage.n_tasks, now.stages[-1].began_s)
        return replace(now, done=None, steps=steps)

    def counted(self, done: Progress | None, time_s: float) -> RunProgress:
        """Return it with how far the present stage is at a time, by the driver's clock.

        What is said of another stage is not believed.
        """
        stage = self.view.stage
        if done is None or stage is None or self.steps is None:
            return self
        if (done.stage, done.pass_number) != (stage.stage, stage.pass_number):
            return self
        step = Step(time_s, done.n_ended, done.n_reused)
        return replace(self, done=done, steps=self.steps.after(step, done.n_places))

    def sampled(self, sample: WorkerSample | None) -> RunProgress:
        """Return it with how workers and driver are; None: nobody knows."""
        return replace(self, sample=sample)

    def forecast(self, now_s: float) -> Forecast:
        """Return how fast it goes at a time, by the driver's clock, and how long it still takes."""
        if self.steps is None:
            return Forecast()
        pace = self.steps.pace(now_s)
        rest_s = rest_of_pass_s(self.stages, self.view.state.passes)
        if pace.left_s is None or rest_s is None:
            return Forecast(pace)
        return Forecast(pace, pace.left_s + rest_s)

    @property
    def counts(self) -> ExposureCounts:
        """How exposures stand, by the journal."""
        return counts_of(self.view.state)

    @property
    def movements_px(self) -> tuple[float, ...]:
        """The largest movement of each solved pass."""
        return self.view.state.movements_px
