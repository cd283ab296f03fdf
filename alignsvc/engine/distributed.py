"""The executor that hands tasks to dask workers.

dask keeps nothing that matters: a task's effect is its product and receipt in the store, and
what comes back is a small report. The order in which tasks end is nobody's business but the
listener's.
"""

# distributed is typed in parts only.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType

from distributed import Client

from alignsvc.domain.outcome import TaskOutcome
from alignsvc.domain.task import Task
from alignsvc.engine.base import RunContext, ShownPages
from alignsvc.engine.dask_workers import DaskSettings, DaskWorkers, always_hope
from alignsvc.engine.run_pages import shown_pages
from alignsvc.engine.stage import Stage
from alignsvc.numerics.compiled import make_compiler_ready


class DaskExecutor:
    """Tasks on the workers of a dask scheduler, a bounded number at a time.

    Parameters
    ----------
    client : distributed.Client
        Connected; closed with the executor.
    context : RunContext
    settings : DaskSettings
    close_cluster : callable
        Ends the workers and the scheduler, if they are this executor's own.
    require_hope : callable
        See `DaskWorkers`.
    """

    def __init__(
        self,
        client: Client,
        context: RunContext,
        settings: DaskSettings,
        close_cluster: Callable[[], None],
        require_hope: Callable[[], None] = always_hope,
    ) -> None:
        self._client = client
        self._context = context
        self._settings = settings
        self._close_cluster = close_cluster
        self._workers = DaskWorkers(client, context, settings, require_hope)
        self._is_closed = False
        self._pages = shown_pages(
            client,
            context,
            link=settings.dashboard_link,
            timeout_s=settings.answer_timeout_s,
        )
        # While workers work: else the first solve has all of them wait for it.
        threading.Thread(target=make_compiler_ready, name="alignsvc-compiler").start()

    @property
    def workers(self) -> int:
        """How many tasks can run at one time, when last asked."""
        return self._workers.threads

    @property
    def pages(self) -> ShownPages:
        """What the scheduler shows, found out when this executor began."""
        return self._pages

    def run(self, tasks: Iterable[Task]) -> Iterator[TaskOutcome]:
        """Yield one outcome for each task, as they end (see `engine.base.Executor`)."""
        stage = Stage(self._workers, self._context, self._settings, tasks)
        try:
            yield from stage.outcomes()
        finally:
            stage.give_up()

    def close(self) -> None:
        """Disconnect, and end the workers if they are this executor's own."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._client.close(timeout=self._settings.answer_timeout_s)
        finally:
            self._close_cluster()

    def __enter__(self) -> DaskExecutor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
