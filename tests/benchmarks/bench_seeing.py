"""How long it takes to look at a run of thousands of exposures: first, again, and in a browser."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from page_servers import page_server
from synthetic_runs import SyntheticRun

from alignsvc.io.journal import StageFinished, StageStarted
from alignsvc.io.journal_store import Journal
from alignsvc.io.objects import LocalObjects
from alignsvc.run.seeing.parts import PARTS
from alignsvc.run.seeing.picture import RunViewer
from alignsvc.run.seeing.served_parts import ServedRun

COUNT, PASSES, REPEATS = 5000, 5, 5
#: Each stage's tasks are on record: COUNT * PASSES * 4 ends.
WORKERS = 64
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
#: Done when the browser has drawn what a call changed.
_DRAWN = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)))"
#: Whether a drawing that can be seen is still to be drawn.
_WAITS = """[...document.querySelectorAll("canvas[aria-busy]")].some((one) => {
  const { top, bottom } = one.getBoundingClientRect();
  return bottom >= 0 && top <= innerHeight;
})"""


@dataclass(frozen=True)
class Row:
    """One thing measured, so many times.

    Parameters
    ----------
    what : str
    took : float array, shape (repeats, 2)
        Wall clock, and CPU of this process (that of a browser is another's), s.
    """

    what: str
    took: np.ndarray

    @property
    def line(self) -> str:
        """A line of the table."""
        wall, cpu = np.median(self.took, axis=0)
        return f"| {self.what} | {wall:.2f} | {self.took[:, 0].max():.2f} | {cpu:.2f} |"


def main() -> str:
    """Return the table of all."""
    with tempfile.TemporaryDirectory() as folder:
        run, ended = (
            SyntheticRun(Path(folder) / name, COUNT, PASSES, is_finished, WORKERS)
            for name, is_finished in (("run", False), ("ended", True))
        )
        run.make(), ended.make()
        rows = [*looks(ended.folder), *refreshes(run.folder), *browsed(ended.folder)]
        size, sent = sizes_mb(ended.folder)
    head = "| what | wall, s | the longest | CPU of Python |\n|---|---|---|---|"
    said = f"The JSON has {size:.1f} MB, of which {sent:.1f} MB are sent (gzip)."
    return "\n".join([head, *(row.line for row in rows), "", said])


def sizes_mb(run: Path) -> tuple[float, float]:
    """Return how large a picture is, and how large when sent."""
    served = ServedRun(run)
    parts = [served.part(part.name) for part in PARTS]
    return sum(len(one.content) for one in parts) / 1e6, sum(
        len(one.compressed) for one in parts
    ) / 1e6


def looks(run: Path) -> Iterator[Row]:
    """Measure first looks at a run that has ended: each exposure has an event of its own."""
    pictures: list[Any] = []

    def first() -> None:
        pictures.append(RunViewer(run).look())

    yield Row("first look at a run that has ended", timed(first))
    yield Row("JSON of all parts", timed(lambda: [part.made(pictures[-1]) for part in PARTS]))

    def served() -> list[Any]:
        given = ServedRun(run)
        return [given.part(part.name).compressed for part in PARTS]

    yield Row("from files to all that a page is sent", timed(served))


def refreshes(run: Path) -> Iterator[Row]:
    """Measure looks while the run goes on: nothing new, and the events of a stage."""
    now_s = [0.0]
    served = ServedRun(run, lambda: now_s[0])
    served.part("moment")

    def refresh() -> None:
        now_s[0] += 2.0
        for part in PARTS:
            _ = served.part(part.name).compressed

    yield Row("refresh, nothing new", timed(refresh))
    book = Journal(LocalObjects(run), time.time)

    def news() -> None:
        book.append(StageFinished("resample", PASSES + 1, COUNT, 0, 0, 0))
        book.append(StageStarted("measure", PASSES + 1, COUNT))

    yield Row("refresh after the events of a stage", timed(refresh, before=news))


def browsed(ended: Path) -> Iterator[Row]:
    """Measure what whoever looks waits for, in a browser."""
    program = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return
    if program is None:
        return
    with sync_playwright() as driver, page_server() as server:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = driver.chromium.launch(
            executable_path=program, args=[*arguments, "--no-proxy-server"]
        )
        at = f"{server.url}/{server.pages.show(str(ended))}"
        page: Any = None

        def fresh(*, is_new: bool) -> None:
            nonlocal page
            page = browser.new_page(viewport={"width": 1280, "height": 1600}, bypass_csp=True)
            if is_new:
                server.pages._served.clear()

        def look() -> None:
            opened(page, at)

        first = timed(look, before=lambda: fresh(is_new=True))
        yield Row("page opened, the run not looked at before", first)
        yield Row("page opened again", timed(look, before=lambda: fresh(is_new=False)))

        def look_at_all() -> None:
            look()
            wholly_drawn(page)

        whole = timed(look_at_all, before=lambda: fresh(is_new=False))
        yield Row("page opened again, what is below the fold too", whole)
        for what, act in actions(page):
            yield Row(what, timed(act))
        browser.close()


def opened(page: Any, at: str) -> None:
    """Go to the run's page, and wait until it is drawn."""
    page.goto(at)
    page.locator(f".count:text-is('{COUNT} of {COUNT} exposures')").wait_for()
    page.wait_for_function(f"() => !({_WAITS})")
    page.evaluate(_DRAWN)


def wholly_drawn(page: Any) -> None:
    """Wait until what is below the fold is drawn too."""
    page.wait_for_selector("canvas[aria-busy]", state="detached")


def actions(page: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what people do, each until it is drawn."""

    def done(script: str) -> Callable[[], object]:
        return lambda: page.evaluate(
            f"async () => {{ {script}; do await ({_DRAWN})(); while ({_WAITS}); }}"
        )

    yield "choose an exposure", done("document.querySelector('tbody tr[data-row]').click()")
    yield "sort by another column", done("document.querySelectorAll('thead button')[8].click()")
    search = "document.querySelector('input[type=search]')"
    yield (
        "filter",
        done(f"{search}.value = 'failed'; {search}.dispatchEvent(new Event('input'))"),
    )
    colour = "document.querySelector('select[aria-label*=footprints]')"
    yield (
        "colour the map by shift",
        done(f"{colour}.value = 'shift'; {colour}.dispatchEvent(new Event('change'))"),
    )
    widths = iter(range(1000, 1300, 13))

    def resize() -> None:
        page.set_viewport_size({"width": next(widths), "height": 1600})
        page.evaluate(f"async () => {{ do await ({_DRAWN})(); while ({_WAITS}); }}")

    yield "resize the window", resize


def timed(act: Callable[[], object], before: Callable[[], object] = lambda: None) -> np.ndarray:
    """Return wall clock and CPU of a call, s, for each repeat."""
    took = []
    for _ in range(REPEATS):
        before()
        start = np.array([time.perf_counter(), time.process_time()])
        act()
        took.append(np.array([time.perf_counter(), time.process_time()]) - start)
    return np.array(took)


if __name__ == "__main__":
    print(main())
