"""Tasks, workers and failures in a browser: drawn, named under the mouse, with their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_page import Page, picture
from worked import START_S, task_ends, work, worker_samples

from alignsvc.io.record_pieces import Records
from alignsvc.run.seeing.work_json import sample_columns, task_columns

pytestmark = pytest.mark.browser

NAMES = [f"night{k % 7}/exp{k:04d}" for k in range(120)]


@pytest.fixture
def page(browser: object, tmp_path: Path) -> Iterator[Page]:
    opened = Page(browser, tmp_path)
    yield opened
    assert opened.errors == []
    opened.page.close()


def canvas_of(page: Page, where: str) -> Any:
    return page.page.locator(f"{where} canvas").first


def colours(page: Page, where: str) -> int:
    page.drawn()
    return int(
        canvas_of(page, where).evaluate(
            """(canvas) => new Set(new Uint32Array(canvas.getContext("2d")
                 .getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"""
        )
    )


def test_every_stage_has_its_colour_and_its_numbers(page: Page) -> None:
    page.show(picture())
    assert colours(page, ".tasks") > 8
    rows = [text.split("\t") for text in page.texts(".tasks tr")]
    assert [row[0] for row in rows[1:]] == ["resample", "merge", "detect", "measure"]
    ends = [one for one in task_ends(6, NAMES) if one.stage == "measure"]
    measured = rows[4]
    assert measured[1:3] == [str(len(ends)), str(sum(one.reason == "empty" for one in ends))]
    longest = max(ends, key=lambda one: one.seconds)
    assert float(measured[7]) == pytest.approx(longest.seconds, rel=5e-3)
    assert measured[8] == longest.subject
    shades = page.page.locator(".tasks .swatch").evaluate_all(
        "(all) => all.map((one) => one.style.background)"
    )
    assert len(set(shades)) == 4
    every = len(task_ends(6, NAMES))
    assert page.texts(".tasks .rate") == [
        f"6 workers did {every} tasks; nothing is on record for 3 min"
    ]


def test_a_task_is_named_under_the_mouse_and_by_the_arrows(page: Page) -> None:
    page.show(picture())
    first = next(one for one in picture()["tasks"]["single"]["subject"])
    canvas = canvas_of(page, ".tasks")
    canvas.press("ArrowRight")
    said = page.texts(".tasks .says")[0]
    assert said.startswith(f"pass 1 resample of {first} on node00/")
    canvas.hover(position={"x": 165, "y": 20})
    under = page.texts(".tasks .says")[0]
    assert under.startswith("pass 1 resample of night") and "MB" in under
    # A click chooses the exposure.
    canvas.click(position={"x": 165, "y": 20})
    assert page.texts(".detail h3")[0] in under


def test_workers_and_memory_are_told_in_words_and_drawn(page: Page) -> None:
    page.show(picture())
    last = worker_samples(task_ends(6, NAMES), 6)[-1]
    assert last.workers is not None
    said = page.texts(".workers .now")[0]
    assert "6 workers, 6 busy, 6 tasks running" in said
    assert f"{last.n_waiting} waiting" in said
    assert f"median {round(last.workers.median_bytes / 1e6)} MB of 1000 MB" in said
    assert f"the driver occupies {round(last.driver_bytes / 1e6)} MB" in said
    assert "ago" in said  # the run is looked at minutes later
    assert colours(page, ".workers") > 5
    canvas_of(page, ".workers").press("ArrowRight")
    assert "1 worker, 1 busy, 1 task running" in page.texts(".workers .says")[0]


def test_while_a_run_goes_on_its_rate_is_told(page: Page) -> None:
    page.show(picture(status={**picture()["status"], "standing": "running", "exit_code": None}))
    rate = picture()["tasks"]["rate"]
    assert (
        f"of pass 2 measure {rate['ended']} ended, {rate['per_second']:.3g} a second"
        in page.texts(".tasks .rate")[0]
    )


def test_hundreds_of_workers_share_forty_lanes_and_one(page: Page) -> None:
    ends = task_ends(300, [f"e{k}" for k in range(1500)])
    told = task_columns(Records(records=tuple(ends)))
    assert len(told["lanes"]) == 41
    assert len(told["single"]["lane"]) + len(told["sums"]["lane"]) <= 5000
    assert sum(told["sums"]["tasks"]) + len(told["single"]["lane"]) == len(ends)
    page.show(picture(tasks=told, now_s=START_S + 900.0))
    assert page.texts(".tasks .rate") == [
        "300 workers did 12000 tasks; nothing is on record for 3 min"
    ]
    assert [row.split("\t")[1] for row in page.texts(".tasks tr")[1:]] == ["3000"] * 4
    height = canvas_of(page, ".tasks").bounding_box()["height"]
    assert height < 800


def test_what_is_missing_is_said(page: Page) -> None:
    shown = work(6, NAMES, n_lost=7, damaged=("logs/tasks-1.json",), n_damaged_before=2)
    page.show(picture(**shown))
    assert page.texts(".tasks .notes p") == [
        "logs/tasks-1.json is damaged: the tasks in it are not shown",
        "2 damaged pieces of the record of tasks are gone",
        "7 tasks are missing: the store did not take them in time",
    ]


def test_a_driver_that_does_the_tasks_itself_has_one_lane(page: Page) -> None:
    ends = task_ends(1, NAMES[:20])
    found = worker_samples(ends, 1)
    none = sample_columns(Records(records=tuple(found)))
    for name in ("lowest_mb", "median_mb", "highest_mb", "limit_mb"):
        none["samples"][name] = [v if v is None else 0 for v in none["samples"][name]]
    page.show(picture(tasks=task_columns(Records(records=tuple(ends))), workers=none))
    assert "tasks are done by the driver itself" in page.texts(".workers .now")[0]
    assert page.texts(".tasks .rate")[0].startswith("1 worker did 160 tasks")


def test_a_reason_is_told_once_with_what_to_do_and_whom_it_struck(page: Page) -> None:
    page.show(picture())
    assert page.texts(".failures summary") == [
        "8 failed: empty",
        "8 skipped: empty",
        "1 task of merge tried again",
    ]
    assert "The file is <b>empty</b>. To do: get the file again." in page.texts(".failures p")[0]
    named = page.page.locator(".failures button")
    assert named.count() == 16
    named.nth(2).click()
    assert page.texts(".detail h3") == ["night2/exp0107"]
    assert named.nth(2).get_attribute("aria-pressed") == "true"
    assert "night2/exp0107: the file <i>is</i> empty" in page.texts(".failures .message")[0]


def test_many_exposures_of_one_reason_are_named_when_asked(page: Page) -> None:
    group = {"status": "failed", "reason": "empty", "text": "t", "next": "n"}
    page.show(picture(failures=[{**group, "rows": list(range(300))}]))
    assert page.page.locator(".failures [data-row]").count() == 40
    page.page.locator(".failures .more").click()
    assert page.page.locator(".failures [data-row]").count() == 300


def test_a_reason_that_was_closed_stays_so(page: Page) -> None:
    page.show(picture())
    page.page.locator(".failures summary").first.click()
    page.page.locator(".failures details").nth(1).locator("button").first.click()
    opened = page.page.locator(".failures details").evaluate_all("(all) => all.map((o) => o.open)")
    assert opened == [False, True, False]


def test_parts_that_have_not_come_yet_are_waited_for(page: Page) -> None:
    shown = picture()
    for name in ("tasks", "workers", "failures"):
        del shown[name]
    page.show(shown)
    assert page.texts(".tasks .rate") == page.texts(".workers .now") == [""]
