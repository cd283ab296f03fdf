"""A page on the dashboard of a dask scheduler: the runs that it works for, as everywhere else.

A preload (``dask scheduler --preload alignsvc.run.seeing.scheduler_page``): dask calls `dask_setup`
in the scheduler's process. Schedulers that are started for a run load it by themselves. It shows
runs whose drivers said that they use this scheduler, and no others, and it only reads: the page
asks nobody who they are, so that whoever reaches the dashboard sees names of files and messages,
as on dask's own pages, and can stop or change nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tornado import web

from alignsvc.engine.run_pages import PAGE, RUN_PAGES, has_dashboard
from alignsvc.io.places import place_of
from alignsvc.run.seeing.parts import PARTS
from alignsvc.run.seeing.served_parts import ServedPart, ServedRun
from alignsvc.views import served_page, served_script, style

#: A scheduler that stands for months has worked for more runs than anybody looks for.
_RUNS_KEPT = 50
#: Of so many the pictures are kept.
_PICTURES_KEPT = 4
#: Pages of dask's that are linked, where there are any.
_DASKS_PAGES = ("status", "workers", "tasks", "system")
#: Nothing on the page comes from elsewhere, and no text can become a script.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'"
)


class RunPages:
    """Runs that are shown, by short names that stand in links.

    Parameters
    ----------
    dasks_pages : tuple of str
        Names of pages beside this one.
    """

    def __init__(self, dasks_pages: tuple[str, ...] = ()) -> None:
        self.dasks_pages = dasks_pages
        self.readers = ThreadPoolExecutor(2, thread_name_prefix="alignsvc-page")
        self._runs: OrderedDict[str, str] = OrderedDict()
        self._served: OrderedDict[str, ServedRun] = OrderedDict()

    def show(self, run: str) -> str:
        """Show a run from now on; return where, relative to dask's own pages."""
        name = hashlib.sha256(run.encode()).hexdigest()[:12]
        self._runs[name] = run
        self._runs.move_to_end(name)
        while len(self._runs) > _RUNS_KEPT:
            self._runs.popitem(last=False)
        return f"{PAGE}?run={name}"

    @property
    def runs(self) -> list[list[str]]:
        """Short name and directory of each, the last one that began first."""
        return [[name, run] for name, run in reversed(self._runs.items())]

    def served(self, name: str) -> ServedRun:
        """Return a run by its short name; KeyError if it is not shown."""
        if name not in self._served:
            self._served[name] = ServedRun(place_of(self._runs[name]))
        self._served.move_to_end(name)
        while len(self._served) > _PICTURES_KEPT:
            self._served.popitem(last=False)
        return self._served[name]


class _Handler(web.RequestHandler):
    """What all routes have in common: they only read, and what they say is kept by nobody."""

    def initialize(self, pages: RunPages) -> None:
        self.pages = pages

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-cache")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Content-Security-Policy", _POLICY)


class _Page(_Handler):
    def get(self) -> None:
        """Answer with the page, which asks for all that it shows."""
        self.finish(served_page("alignsvc: runs of this scheduler", PAGE))


class _File(_Handler):
    """What the page consists of: a script and a style."""

    def get(self, kind: str) -> None:
        """Answer with one of them."""
        type_ = {"js": "javascript", "css": "css"}[kind]
        self.set_header("Content-Type", f"text/{type_}; charset=utf-8")
        self.finish(served_script([part.name for part in PARTS]) if kind == "js" else style())


class _Runs(_Handler):
    def get(self) -> None:
        """Answer with the runs that are shown, and what other pages there are."""
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"runs": self.pages.runs, "pages": self.pages.dasks_pages}))


class _OfRun(_Handler):
    """What is read of a run, where nobody waits for it: the scheduler has other work."""

    async def answer(self, read: Callable[[ServedRun], ServedPart]) -> None:
        """Answer with a part of a run, unless the page has it."""

        def made(served: ServedRun) -> ServedPart:
            part = read(served)
            _ = part.tag, part.compressed
            return part

        try:
            served = self.pages.served(self.get_query_argument("run"))
            part = await asyncio.get_running_loop().run_in_executor(
                self.pages.readers, made, served
            )
        except KeyError:
            raise web.HTTPError(404) from None
        self.set_header("Content-Type", "application/json")
        self.set_header("Vary", "Accept-Encoding")
        self.set_header("ETag", f'"{part.tag}"')
        if self.check_etag_header():
            self.set_status(304)
        elif "gzip" in self.request.headers.get("Accept-Encoding", ""):
            self.set_header("Content-Encoding", "gzip")
            await self.finish(part.compressed)
        else:
            await self.finish(part.content)


class _Part(_OfRun):
    async def get(self, name: str) -> None:
        """Answer with a part of a run's picture."""
        await self.answer(lambda served: served.part(name))


class _Exposure(_OfRun):
    async def get(self) -> None:
        """Answer with what the run keeps of one exposure."""
        name = self.get_query_argument("id")
        await self.answer(lambda served: served.detail(name))


def application(pages: RunPages) -> web.Application:
    """Return the routes of the page, below whatever prefix the dashboard has."""
    at = rf"(?:/[^/]+)*/{PAGE}"
    given = {"pages": pages}
    return web.Application(
        [
            (rf"{at}/?", _Page, given),
            (rf"{at}/page\.(js|css)", _File, given),
            (rf"{at}/runs", _Runs, given),
            (rf"{at}/parts/([a-z_]+)", _Part, given),
            (rf"{at}/exposure", _Exposure, given),
        ]
    )


def dask_setup(scheduler: Any) -> None:
    """Add the page to a scheduler that has started."""
    pages = RunPages(_DASKS_PAGES if has_dashboard(scheduler) else ())
    scheduler.extensions[RUN_PAGES] = pages
    scheduler.http_application.add_application(application(pages))


def dask_teardown(scheduler: Any) -> None:
    """Let go of the threads that read."""
    pages = scheduler.extensions.pop(RUN_PAGES, None)
    if pages is not None:
        pages.readers.shutdown(wait=False, cancel_futures=True)
