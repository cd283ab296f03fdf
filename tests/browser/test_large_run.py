"""A run of 5,000 exposures and 5 passes in a browser: all of it is there, and answers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from page_servers import page_server
from synthetic_runs import SyntheticRun

from alignsvc.run.seeing.parts import PARTS
from alignsvc.run.seeing.served_parts import ServedRun

pytestmark = pytest.mark.browser


def test_thousands_of_exposures_are_seen_sorted_and_chosen(browser: Any, tmp_path: Path) -> None:
    run = SyntheticRun(tmp_path / "run", 5000, 5)
    served = ServedRun(run.make())
    assert sum(len(served.part(part.name).compressed) for part in PARTS) < 2e6
    with page_server() as server:
        page = browser.new_page(viewport={"width": 1280, "height": 1600})
        errors: list[str] = []
        page.on("console", lambda said: said.type == "error" and errors.append(said.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{server.url}/{server.pages.show(str(run.folder))}")
        page.locator(".count:text-is('5000 of 5000 exposures')").wait_for(timeout=120_000)
        assert page.inner_text("h1") == "finished, exit 1"
        page.click("thead button:has-text('last movement')")
        moved = run.moves_px(5)
        cell = page.locator("tbody tr[data-row] td:nth-child(9)").first
        assert float(cell.inner_text()) == pytest.approx(np.nanmax(moved), rel=1e-3)
        page.locator("tbody tr[data-row]").first.click()
        assert page.inner_text(".detail h3") == run.ids[int(np.nanargmax(moved))]
        assert page.locator("tbody tr[data-row]").count() < 60
        page.screenshot(path=tmp_path / "large.png")
        page.close()
    assert errors == []
