"""The executor that runs every task here and now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType

from alignsvc.domain.outcome import TaskOutcome
from alignsvc.domain.task import Task
from alignsvc.engine.base import RunContext, TaskEnded, TaskRetried, TaskStarted
from alignsvc.engine.retry import Action, RetryPolicy, Trouble
from alignsvc.errors import TransientError
from alignsvc.tasks.base import TaskReport, run_task


class SerialExecutor:
    """One task after the other, in this process; tasks cannot be timed out.

    Parameters
    ----------
    context : RunContext
    policy : RetryPolicy
    """

    workers = 1
    dashboard_link = ""

    def __init__(self, context: RunContext, policy: RetryPolicy | None = None) -> None:
        self._context = context
        self._policy = policy or RetryPolicy()

    def run(self, tasks: Iterable[Task]) -> Iterator[TaskOutcome]:
        """Yield the outcome of each task, in order."""
        for task in tasks:
            self._context.on_event(TaskStarted(task.key))
            report = self._report_of(task)
            self._context.on_event(TaskEnded(report.outcome, report.is_reused))
            yield report.outcome

    def _report_of(self, task: Task) -> TaskReport:
        attempt = 1
        while True:
            try:
                return run_task(task, self._context.objects)
            except TransientError as error:
                if self._policy(Trouble.TRANSIENT, attempt).action is not Action.RETRY:
                    raise
                attempt += 1
                self._context.on_event(TaskRetried(task.key, attempt, str(error)))

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
