"""The report of a small real run in a browser: what it shows is what the run's tables say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from alignsvc.api import align, simulate
from alignsvc.io.corrections_table import read_corrections

pytestmark = pytest.mark.browser

SKY = {
    "seed": 5,
    "layout": {"name": "stack", "count": 6, "ra": 10.0, "dec": 20.0, "jitter_arcsec": 4.0},
    "camera": {"shape": [320, 320], "scale_arcsec": 0.2},
    "header_errors": {"shift_px": [0.5, 2.0], "rotation_deg": 0.02},
}
EVIL = "a'<img src=x onerror=alert(1)>&.fits"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six exposures and an empty file, whose name means harm."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "sky.yaml").write_text(yaml.safe_dump(SKY))
    simulate(folder / "sky.yaml", folder / "sky")
    (folder / "sky" / EVIL).touch()
    settings = {
        "images": {"paths": [f"{folder}/sky/*.fits"]},
        "run": {"directory": str(folder / "run")},
        "cluster": {"backend": "serial"},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    assert int(align(folder / "run.yaml").exit_code) == 1
    return folder / "run"


@pytest.fixture(scope="module")
def told(run: Path) -> Any:
    return json.loads((run / "report.json").read_text())


class Page:
    """The report in a browser, with what its console said and what it asked the network for."""

    def __init__(self, browser: Any, run: Path, scripts: bool = True) -> None:
        self.context = browser.new_context(
            viewport={"width": 1280, "height": 1600}, java_script_enabled=scripts
        )
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda one: self.said.append(one.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda one: (self.said.append(one.message), one.dismiss()))
        self.page.on("request", lambda one: self.asked.append(one.url))
        self.url = (run / "report.html").as_uri()
        self.page.goto(self.url)

    def texts(self, where: str) -> list[str]:
        return [str(one).strip() for one in self.page.locator(where).all_inner_texts()]

    def rows(self) -> list[list[str]]:
        """Return the cells of the table of all exposures, as far as they are in sight."""
        return list(
            self.page.locator("section:not(.detail) > .rows tbody tr[data-row]").evaluate_all(
                "(all) => all.map((row) => [...row.cells].map((cell) => cell.innerText.trim()))"
            )
        )

    def sort(self, name: str) -> int:
        """Sort by a column, largest first; return which it is."""
        names = [one.rstrip(" \u25be\u25b4") for one in self.texts(".rows thead th button")]
        self.page.locator(".rows thead th button").nth(names.index(name)).click()
        return names.index(name)


@pytest.fixture
def page(browser: Any, run: Path) -> Iterator[Page]:
    opened = Page(browser, run)
    opened.page.wait_for_selector(".alignsvc .count")
    yield opened
    # Whatever is pressed, nothing complains, and nothing is fetched but the page itself.
    assert opened.said == []
    assert [one for one in opened.asked if not one.startswith("data:")] == [opened.url]
    opened.context.close()


def test_the_verdict_stands_first_and_every_exposure_is_in_the_table(page: Page, told: Any) -> None:
    assert page.texts("h1") == [f"converged, exit {told['exit_code']}"]
    assert page.texts(".answer")[0].startswith("Use what is aligned: the loop converged")
    assert page.texts(".count") == ["7 of 7 exposures"]
    assert {cells[0] for cells in page.rows()} == {row["id"] for row in told["exposures"]}
    # What a file is called is text, wherever it stands.
    assert page.page.locator("main img[src=x]").count() == 0
    assert any("<img src=x onerror=alert(1)>" in one for one in page.texts("#worst td"))


def test_columns_sort_and_have_the_numbers_of_the_table_of_corrections(
    page: Page, run: Path
) -> None:
    rows = {row.id: row for row in read_corrections(run / "corrections.ecsv")}
    aligned = [row for row in rows.values() if row.correction is not None]
    for name, value in (
        ("rmse [px]", lambda row: row.quality.rmse_px),
        ("east [mas]", lambda row: 1e3 * row.correction.shift[0]),
        ("error north [mas]", lambda row: 1e3 * row.correction.covariance[1, 1] ** 0.5),
        ("rotation [arcsec]", lambda row: 3600 * row.correction.rotation_deg),
        ("rejected", lambda row: row.quality.n_rejected),
    ):
        column = page.sort(name)
        shown = page.rows()
        numbers = [float(cells[column]) for cells in shown[: len(aligned)]]
        assert numbers == sorted(numbers, reverse=True)
        assert shown[-1][column] == ""
        for cells in shown[: len(aligned)]:
            assert float(cells[column]) == pytest.approx(value(rows[cells[0]]), rel=1e-3)


def test_a_name_among_the_worst_shows_the_exposure_from_near(page: Page, told: Any) -> None:
    assert len(told["seen_from_near"]) == 6
    # The worst one is shown at once.
    assert page.texts(".detail h3") == [told["seen_from_near"][0]]
    other = told["seen_from_near"][3]
    page.page.locator("#worst button", has_text=other).click()
    assert page.texts(".detail h3") == [other]
    page.page.wait_for_selector(".detail canvas")
    (row,) = [one for one in told["exposures"] if one["id"] == other]
    marked = page.texts("section:not(.detail) > .rows tr.chosen td:nth-child(11)")
    assert marked == [str(row["n_used"])]


def test_exposures_are_chosen_by_keys_alone(page: Page) -> None:
    shown = [cells[0] for cells in page.rows()]
    page.page.locator("section:not(.detail) > .rows").focus()
    chosen = page.page.locator("section:not(.detail) > .rows tr.chosen td:first-child")
    before = shown.index(chosen.inner_text())
    page.page.keyboard.press("ArrowUp" if before else "ArrowDown")
    after = before - 1 if before else 1
    assert chosen.inner_text() == shown[after]
    assert page.texts(".detail h3") == [shown[after]]
    for _ in shown:
        page.page.keyboard.press("ArrowDown")
    assert chosen.inner_text() == shown[-1]


def test_histograms_say_their_numbers_and_the_mosaic_is_there(
    page: Page, told: Any, tmp_path: Path
) -> None:
    page.page.screenshot(path=tmp_path / "report.png", full_page=True)
    after = told["residuals"]["held_out_after_px"]
    cells = " ".join(page.texts("main section:has(.figures) td"))
    assert f"{after['median']:.4f}" in cells and f"{after['worst']:.4f}" in cells
    assert any(f"rms {told['pulls']['rms']:.2f}" in one for one in page.texts(".figures .says"))
    assert page.page.locator(".figures svg path").count() == 3
    assert page.page.locator(".mosaic img, .mosaic canvas").count() >= 2


def test_without_scripts_and_on_paper_verdict_reasons_and_numbers_are_there(
    browser: Any, run: Path, told: Any, tmp_path: Path
) -> None:
    still = Page(browser, run, scripts=False)
    assert still.texts("h1") == [f"converged, exit {told['exit_code']}"]
    assert any("This browser runs no scripts" in one for one in still.texts("noscript, main p"))
    assert "empty" in still.texts("#reasons td")
    assert len(still.texts("#worst tbody tr")) == 7
    assert still.page.locator("svg").count() == 2
    still.page.pdf(path=str(tmp_path / "report.pdf"))
    still.context.close()
