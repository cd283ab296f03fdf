"""dask's own pages of a scheduler in the driver's process, made when somebody first looks at one.

What draws them, bokeh, takes 0.4 s of CPU to import: before the first task of every run, and most
are never looked at. A preload of dask (see `engine.run_pages`).
"""

# distributed is typed in parts only.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tornado import web

#: dask's pages as of distributed 2026.8, below the scheduler's address.
_NAMES = (
    *("status", "workers", "tasks", "system", "profile", "profile-server", "graph", "groups"),
    *("events", "counters", "stealing", "exceptions", "hardware", "gpu", "shuffle"),
    "individual-[a-z-]+",
)
_AT = rf"/({'|'.join(_NAMES)})?"


class PagesToCome(web.Application):
    """Answers in the place of dask's pages until they are there.

    Parameters
    ----------
    scheduler : distributed.Scheduler
    """

    def __init__(self, scheduler: Any) -> None:
        super().__init__([(_AT, _FirstLook, {"scheduler": scheduler})])


class _FirstLook(web.RequestHandler):
    def initialize(self, scheduler: Any) -> None:
        self._scheduler = scheduler

    async def get(self, name: str | None) -> None:
        """Have dask draw its pages from now on, and send whoever asks to the same place again."""
        try:
            await _draw(self._scheduler)
        except ImportError as error:
            raise web.HTTPError(404, "dask's pages: %s", error) from error
        # Relative: a proxy may have another path for it.
        query = f"?{self.request.query}" if self.request.query else ""
        self.redirect(f"{name or './'}{query}")


async def _draw(scheduler: Any) -> None:
    # Imported in a thread: the scheduler has other work.
    drawn = "distributed.dashboard.scheduler"
    dasks = await asyncio.get_running_loop().run_in_executor(None, import_module, drawn)
    application = scheduler.http_application
    to_come = [one for one in application.applications if isinstance(one, PagesToCome)]
    for one in to_come:  # none where somebody else looked meanwhile
        application.applications.remove(one)
        dasks.connect(application, scheduler.http_server, scheduler, prefix="/")


def dask_setup(scheduler: Any) -> None:
    """Offer the pages of a scheduler that has started, where there is something to draw them."""
    if find_spec("bokeh") is not None:
        scheduler.http_application.add_application(PagesToCome(scheduler))
