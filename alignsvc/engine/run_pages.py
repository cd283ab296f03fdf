"""The page on which a scheduler shows the runs that it works for: how one gets there.

The page itself is a module that the scheduler loads (dask's preload); which one, whoever begins a
run says. A scheduler of somebody else has it if its owner wants it.
"""

# distributed is typed in parts only.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import platform
from concurrent.futures import CancelledError
from typing import Any
from urllib.parse import urljoin, urlsplit

import dask.config
from distributed import Client

from alignsvc.engine import dasks_pages
from alignsvc.engine.base import RunContext, ShownPages
from alignsvc.engine.security import is_loopback

#: Under this name a scheduler has what shows runs, among its extensions.
RUN_PAGES = "alignsvc-runs"
#: Name of the page, beside dask's own ``status``.
PAGE = "alignsvc"
#: Where pages are bound of schedulers that are started for a run: who asks nobody for a password
#: is not to be reached from elsewhere.
PAGES_ON = "127.0.0.1"
#: Errors of a scheduler that does not answer, has another version of this package, or no pages; and
#: of a setting for links that names a variable which is not there.
_NO_PAGES = (
    *(OSError, TimeoutError, CancelledError, RuntimeError),
    *(ImportError, AttributeError, KeyError),
)
_PRELOAD, _LINK = "distributed.scheduler.preload", "distributed.dashboard.link"
#: How dask writes links unless somebody wants them otherwise.
DASKS_LINK = "{scheme}://{host}:{port}/status"


def with_page(context: RunContext) -> dict[str, object]:
    """Return the setting of dask by which a scheduler that is started now has the page."""
    return {_PRELOAD: [*dask.config.get(_PRELOAD), *context.preload]}


def with_pages(context: RunContext) -> dict[str, object]:
    """Return the same of a scheduler in this process, with dask's own pages when somebody looks.

    For dask itself the scheduler is one without pages.
    """
    return {_PRELOAD: [*dask.config.get(_PRELOAD), dasks_pages.__name__, *context.preload]}


def links_to(host: str) -> dict[str, object]:
    """Return the setting of dask by which links name the address that pages are bound to.

    By itself dask names that of the scheduler, where pages may not be reached.

    Whoever looks through a proxy has said so in dask's own configuration
    (``/user/{USER}/proxy/{port}/status``): that stays.
    """
    is_asked_for = dask.config.get(_LINK) != DASKS_LINK
    return {} if is_asked_for else {_LINK: f"{{scheme}}://{host}:{{port}}/status"}


def shown_pages(client: Client, context: RunContext, *, link: str, timeout_s: float) -> ShownPages:
    """Have the scheduler show a run, if it can.

    Parameters
    ----------
    client : distributed.Client
        Connected.
    context : RunContext
    link : str
        To dask's own pages, where dask does not know it.
    timeout_s : float
        How long the scheduler may take to answer; pages are not worth more than that.
    """
    try:
        at, has_pages, bound, host = client.sync(
            client.run_on_scheduler, _show, str(context.objects.root), callback_timeout=timeout_s
        )
        with dask.config.set(links_to(bound) if is_loopback(bound) else {}):
            link = link or str(client.dashboard_link or "")
    except _NO_PAGES:
        return ShownPages()
    run, dashboard = urljoin(link, at) if at and link else "", link if has_pages else ""
    is_local = bool(run or dashboard) and is_loopback(urlsplit(link).hostname or "")
    return ShownPages(run, dashboard, host if is_local else "")


def has_dashboard(scheduler: Any) -> bool:
    """Return whether a scheduler shows dask's own pages, which are drawn by bokeh."""
    return any(
        isinstance(one, dasks_pages.PagesToCome) or hasattr(one, "app_paths")
        for one in scheduler.http_application.applications
    )


def _show(run: str, dask_scheduler: Any) -> tuple[str, bool, str, str]:
    shows = dask_scheduler.extensions.get(RUN_PAGES)
    at = "" if shows is None else str(shows.show(run))
    bound = str(dask_scheduler.http_server.address)
    return at, has_dashboard(dask_scheduler), bound, platform.node()
