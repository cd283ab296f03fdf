"""A page of a run, opened in a browser: what it shows is what the store says, and it answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worked import START_S, work

from alignsvc.io.record_pieces import Records
from alignsvc.run.seeing.work_json import sample_columns, task_columns
from alignsvc.views import view_html

pytestmark = pytest.mark.browser

N = 400


def picture(n: int = N, **changed: Any) -> dict[str, Any]:
    """Return a picture of a run of `n` exposures on a ring of the sky, some of which failed."""
    random = np.random.default_rng(3)
    ids = [f"night{k % 7}/exp{k:04d}" for k in range(n)]
    status = [
        "failed" if k % 50 == 7 else "skipped" if k % 50 == 9 else "aligned" for k in range(n)
    ]
    good = [one == "aligned" for one in status]
    ra = (359.9 + 0.2 * random.random(n)) % 360
    dec = 20 + 0.2 * random.random(n)

    def column(values: Any) -> list[float | None]:
        return [float(v) if ok else None for v, ok in zip(values, good, strict=True)]

    passes = [
        {
            "number": k + 1,
            "full": k < 2,
            "movement_px": 2.0 * 10.0 ** (-k),
            "catalogued": 900,
            "move_px": column(2.0 * 10.0 ** (-k) * random.random(n)),
            "east_mas": column(200 * random.normal(size=n)),
            "north_mas": column(200 * random.normal(size=n)),
            "east_error_mas": column(np.full(n, 0.3)),
            "north_error_mas": column(np.full(n, 0.4)),
            "rotation_arcsec": column(random.normal(size=n)),
            "rmse_px": column(0.02 * random.random(n)),
            "used": column(np.full(n, 170)),
            "measured": column(np.full(n, 200)),
        }
        for k in range(4)
    ]
    half = 0.02
    outlines = [
        [k, [(x + a * half) % 360 for a in (-1, 1, 1, -1)], [y + b * half for b in (-1, -1, 1, 1)]]
        for k, (x, y) in enumerate(zip(ra, dec, strict=True))
    ]
    struck = {"failed": 7, "skipped": 9}
    made = {
        **work(6, ids[:120]),
        "failures": [
            {
                **{"status": how, "reason": "empty", "text": "the file is <b>empty</b>"},
                **{"next": "get the file again", "rows": list(range(first, n, 50))},
            }
            for how, first in struck.items()
        ],
        "version": "0",
        "status": {"standing": "finished", "exit_code": 1, "eps_shift_px": 0.003, "finished": True},
        "lines": ["/data/run: ended, exit 1", "</script><b>not bold</b>"],
        "now_s": START_S + 600.0,
        "exposures": {
            "id": ids,
            "status": status,
            "reason": ["" if ok else "empty" for ok in good],
            "message": ["" if ok else "the file <i>is</i> empty" for ok in good],
            "ra": ra.tolist(),
            "dec": dec.tolist(),
            "scale_arcsec": [0.2] * n,
            "outlines": outlines,
        },
        "held_out": {
            "verdict": ["improved" if ok else "" for ok in good],
            "before_px": column(random.random(n)),
            "after_px": column(0.02 * random.random(n)),
        },
        "passes": passes,
        "stages": [
            stage("resample", START_S, START_S + 20.0),
            stage("measure", START_S + 20.0, START_S + 50.0, failed=8),
        ],
        "log": [
            [START_S + 50.0, "task_failed", "measure", ids[7], "empty: the file <i>is</i> empty"],
            [START_S + 51.0, "task_retried", "merge", "tile 3", "try 2: workers died"],
        ],
    }
    return {**made, **changed}


def stage(name: str, began_s: float, ended_s: float, failed: int = 0) -> dict[str, Any]:
    return {
        **{"stage": name, "pass": 1, "began_s": began_s, "ended_s": ended_s, "tasks": N},
        **{"skipped": 0, "failed": failed, "reused": 0, "work_s": 35.0, "peak_bytes": 300_000_000},
        "lost": False,
    }


class Page:
    """A page in a browser, with what its console said."""

    def __init__(self, browser: Any, folder: Path) -> None:
        self.page = browser.new_page(viewport={"width": 1280, "height": 1600})
        self.errors: list[str] = []
        self.page.on("console", lambda said: said.type == "error" and self.errors.append(said.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self._file = folder / "page.html"

    def show(self, shown: dict[str, Any], details: dict[str, Any] | None = None) -> Page:
        title = "<!doctype html><html lang=en><meta charset=utf-8><title>run</title>"
        self._file.write_text(title + view_html(shown, details=details), encoding="utf-8")
        self.page.goto(self._file.as_uri())
        self.page.wait_for_selector(".alignsvc h1")
        self.drawn()
        return self

    def drawn(self) -> None:
        """Wait until nothing is to be drawn any more."""
        self.page.wait_for_selector("canvas[aria-busy]", state="detached")

    def texts(self, where: str) -> list[str]:
        return [str(one) for one in self.page.locator(where).all_inner_texts()]

    def colours(self, canvas: int) -> int:
        """Return how many colours a canvas has: one if nothing is drawn."""
        self.drawn()
        return int(
            self.page.evaluate(
                """(k) => {
                  const canvas = document.querySelectorAll("canvas")[k];
                  const { width, height } = canvas;
                  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
                  return new Set(new Uint32Array(data.buffer)).size;
                }""",
                canvas,
            )
        )


@pytest.fixture
def page(browser: object, tmp_path: Path) -> Iterator[Page]:
    opened = Page(browser, tmp_path)
    yield opened
    assert opened.errors == []
    opened.page.close()


def test_everything_is_drawn_and_nothing_from_outside_is_markup(page: Page) -> None:
    page.show(picture())
    assert page.texts("h1") == ["finished, exit 1"]
    assert "</script><b>not bold</b>" in page.texts(".lines p")
    assert page.page.locator(".lines b, .log i").count() == 0
    assert [page.colours(k) > 5 for k in range(3)] == [True] * 3
    assert page.texts(".count") == [f"{N} of {N} exposures"]
    assert "measure night0/exp0007: empty: the file <i>is</i> empty" in page.texts(".log li")[1]


def test_rows_are_those_in_sight_and_sort_by_any_column(page: Page) -> None:
    page.show(picture())
    rows = page.page.locator("tbody tr[data-row]")
    assert rows.count() < 60
    head = page.page.locator("thead button", has_text="last movement [px]")
    head.click()
    last = [v for v in picture()["passes"][-1]["move_px"] if v is not None]
    first = page.texts("tbody tr[data-row] td:nth-child(9)")[0]
    assert float(first) == pytest.approx(max(last), rel=1e-3)
    head.click()
    first = page.texts("tbody tr[data-row] td:nth-child(9)")[0]
    assert float(first) == pytest.approx(min(last), rel=5e-3)
    page.page.locator(".rows").evaluate("(one) => { one.scrollTop = one.scrollHeight; }")
    page.page.wait_for_function(
        "document.querySelectorAll('tbody tr[data-row]').length > 0 && "
        "[...document.querySelectorAll('tbody tr[data-row]')].at(-1).innerText.includes('exp0359')"
    )


def test_a_filter_leaves_what_has_its_words(page: Page) -> None:
    page.show(picture())
    page.page.fill("input[type=search]", "failed night0")
    wanted = [k for k in range(N) if k % 50 == 7 and k % 7 == 0]
    assert page.texts(".count") == [f"{len(wanted)} of {N} exposures"]
    shown = page.page.locator("tbody tr[data-row]").evaluate_all(
        "(all) => all.map((r) => +r.dataset.row)"
    )
    assert shown == wanted


def test_an_exposure_that_is_chosen_tells_its_story(page: Page) -> None:
    page.show(picture())
    page.page.fill("input[type=search]", "exp0012")
    page.page.locator("tbody tr[data-row]").click()
    assert page.texts(".detail h3") == ["night5/exp0012"]
    moved = picture()["passes"][0]["move_px"][12]
    assert f"moved {float(f'{moved:.4g}')} px" in page.texts(".detail tr")[0].replace("\t", " ")
    page.page.locator("tbody tr[data-row]").click()
    assert page.texts(".detail h3") == []


def test_a_point_under_the_mouse_is_named(page: Page) -> None:
    shown = picture()
    page.show(shown)
    canvas = page.page.locator("canvas").nth(0)
    box = canvas.bounding_box()
    canvas.hover(position={"x": 64 + (box["width"] - 78) * 0.3 / 3.6, "y": 40})
    assert "px" in page.texts(".says")[0]


def test_a_map_can_be_coloured_by_shift(page: Page) -> None:
    page.show(picture())
    before = page.colours(1)
    page.page.select_option("select", "shift")
    assert page.colours(1) != before


def test_a_run_that_has_not_begun_says_so(page: Page) -> None:
    names = ("id", "status", "reason", "message", "ra", "dec", "scale_arcsec", "outlines")
    nothing: dict[str, list[Any]] = {name: [] for name in names}
    page.show(
        picture(
            status={"standing": "never begun", "exit_code": None, "eps_shift_px": 0.003},
            exposures=nothing,
            passes=[],
            stages=[],
            log=[],
            failures=[],
            tasks=task_columns(Records()),
            workers=sample_columns(Records()),
            held_out={"verdict": [], "before_px": [], "after_px": []},
        )
    )
    assert page.texts("h1") == ["never begun"]
    assert page.texts(".count") == ["0 of 0 exposures"]


def test_five_thousand_exposures_are_there_at_once(page: Page) -> None:
    shown = picture(5000)
    page.show(shown)
    assert page.texts(".count") == ["5000 of 5000 exposures"]
    took_ms = page.page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert took_ms > 0
    assert len(json.dumps(shown)) < 20e6


def test_nobody_waits_for_what_is_below_the_fold(page: Page) -> None:
    page.page.set_viewport_size({"width": 1280, "height": 700})
    # The page never has nothing to do, until we say so; and it counts how often a canvas is drawn.
    page.page.add_init_script(
        """window.idle = []; window.requestIdleCallback = (act) => window.idle.push(act);
        const made = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (...kind) {
          this.drawn = (this.drawn ?? 0) + 1;
          return made.apply(this, kind);
        };"""
    )
    page._file.write_text(view_html(picture()), encoding="utf-8")
    page.page.goto(page._file.as_uri())
    waiting = "canvas[aria-busy]"
    page.page.wait_for_function("() => document.querySelector('canvas')?.drawn")
    every = page.page.locator("canvas").evaluate_all("(all) => all.map((one) => one.drawn ?? 0)")
    assert every[:2] == [1, 1]
    below = page.page.locator(".tasks canvas")
    assert below.evaluate("(one) => [one.drawn ?? 0, one.ariaBusy]") == [0, "true"]
    # Nor does what is in sight wait for what is not.
    page.page.evaluate("() => document.querySelector('tbody tr[data-row]').click()")
    page.page.wait_for_function("() => document.querySelector('canvas').drawn === 2")
    n_waiting = page.page.locator(waiting).count()
    assert n_waiting >= 3
    # Who asks does not wait for idleness.
    below.press("ArrowRight")
    assert " of night" in page.page.inner_text(".tasks .says")
    assert page.page.locator(waiting).count() == n_waiting - 1
    page.page.evaluate("() => { while (idle.length) idle.shift()(); }")
    assert page.page.locator(waiting).count() == 0
    assert page.colours(3) > 1
