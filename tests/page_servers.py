"""The routes of a scheduler's page on a port of this machine, without a scheduler."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tornado.httpserver import HTTPServer

from alignsvc.run.seeing.scheduler_page import RunPages, application


@dataclass
class PageServer:
    """What is served, and where."""

    pages: RunPages = field(default_factory=lambda: RunPages(("status",)))
    url: str = ""


@contextmanager
def page_server() -> Iterator[PageServer]:
    """Serve the page, in a thread, while the context lasts."""
    loop, made = asyncio.new_event_loop(), PageServer()
    ready, over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        listening = HTTPServer(application(made.pages))
        listening.listen(0, "127.0.0.1")
        (socket,) = listening._sockets.values()
        made.url = f"http://127.0.0.1:{socket.getsockname()[1]}"
        ready.set()
        await over.wait()
        listening.stop()
        await listening.close_all_connections()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(20)
        yield made
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
        made.pages.readers.shutdown()
