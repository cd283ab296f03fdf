"""The executor that runs every task here and now."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType

from alignsvc.domain.outcome import TaskOutcome
from alignsvc.domain.task import Task
from alignsvc.engine.base import (
    RunContext,
    ShownPages,
    TaskRetried,
    TaskStarted,
    WorkersSeen,
    ended_with,
)
from alignsvc.engine.retry import Action, RetryPolicy, Trouble
from alignsvc.engine.troubles import failed_by, text_of
from alignsvc.errors import AlignError, MemoryShortage, TransientError
from alignsvc.io.inputs_ahead import FarFiles
from alignsvc.tasks.base import TaskReport, run_task
from alignsvc.tasks.inputs_ahead import files_of


class SerialExecutor:
    """One task after the other, in this process; tasks cannot be timed out.

    Parameters
    ----------
    context : RunContext
    policy : RetryPolicy
    wait : callable
        Waits for so many seconds.
    """

    workers = 1
    pages = ShownPages()

    def __init__(
        self,
        context: RunContext,
        policy: RetryPolicy | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._context = context
        self._policy = policy or RetryPolicy()
        self._wait = wait

    def run(self, tasks: Iterable[Task]) -> Iterator[TaskOutcome]:
        """Yield the outcome of each task, in order."""
        self._context.on_event(WorkersSeen(1, 1, 1, is_here=True))
        left = iter(tasks)
        following = next(left, None)
        while following is not None:
            task, following = following, next(left, None)
            self._context.on_event(TaskStarted(task.key))
            report = self._report_of(task, following)
            self._context.on_event(ended_with(report))
            yield report.outcome

    def _report_of(self, task: Task, following: Task | None) -> TaskReport:
        def find_next() -> FarFiles:
            return () if following is None else files_of(following)

        troubles: Counter[Trouble] = Counter()
        while True:
            try:
                return run_task(task, self._context.objects, find_next)
            except (TransientError, MemoryShortage) as error:
                trouble = _trouble(error)
                troubles[trouble] += 1
                why = text_of(trouble, error, troubles[trouble])
                decision = self._policy(trouble, troubles[trouble], task.key.digest)
                if decision.action is Action.STOP:
                    raise
                if decision.kind is not None:
                    return failed_by(task, self._context.objects, decision.kind, why)
            self._context.on_event(TaskRetried(task.key, troubles.total() + 1, why))
            self._wait(decision.wait_s)

    def close(self) -> None:
        """Nothing was opened."""

    def __enter__(self) -> SerialExecutor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _trouble(error: AlignError) -> Trouble:
    return Trouble.MEMORY if isinstance(error, MemoryShortage) else Trouble.TRANSIENT
