"""The mosaic before and after in a page: blinked, wiped, and said in words."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_page import Page, picture

from alignsvc.io.png import greys, png_bytes, viridis

pytestmark = pytest.mark.browser

STRETCH = {"black": -0.2, "white": 87.1, "softening": 0.23, "sky": 0.01, "sigma": 0.077}


def png(shade: float, colours: list[tuple[int, int, int]] | None = None) -> dict[str, Any]:
    """Return a picture of one shade with a corner of no data."""
    shades = np.full((60, 80), shade)
    shades[:10, :10] = np.nan
    content = png_bytes(shades, colours or greys())
    return {"width": 80, "height": 60, "png": base64.b64encode(content).decode()}


def mosaic(**changed: Any) -> dict[str, Any]:
    """Return pictures of a mosaic of two components: before is dark, after bright."""
    grid = {
        "component": 0,
        "shape": [1200, 1600],
        "scale_arcsec": 0.2,
        "factor": 20,
        "east": [-1.0, 0.0],
        "north": [0.0, 1.0],
        "stretch": STRETCH,
        "before": png(0.2),
        "after": png(0.8),
        "weight": png(0.5, viridis()),
        "largest_weight": 173.6,
        "crop": {
            "x0": 12,
            "y0": 34,
            "stretch": STRETCH,
            "before": png(0.3),
            "after": png(0.7),
        },
    }
    other = {**grid, "component": 3, "shape": [600, 800], "factor": 10, "crop": None}
    made = {
        "before_is": "mosaic of the first pass: exposures by their <b>input</b> headers",
        "after_is": "final mosaic, as in mosaic.fits",
        "missing": "",
        "left_out": 2,
        "fwhm": {"sources": 160, "before_px": 6.31, "after_px": 5.88},
        "grids": [grid, other],
    }
    return {**made, **changed}


@pytest.fixture
def page(browser: object, tmp_path: Path) -> Iterator[Page]:
    opened = Page(browser, tmp_path)
    yield opened
    assert opened.errors == []
    opened.page.close()


def middle(page: Page, where: str = ".whole .stage", x: float = 0.5) -> int:
    """Return the shade that is seen in a stage, at a part of its width."""
    shot = Image.open(io.BytesIO(page.page.locator(where).screenshot())).convert("L")
    return int(shot.getpixel((int(x * (shot.width - 1)), shot.height // 2)))


def show_with_clock_stopped(page: Page) -> None:
    """Show the mosaic on a page whose time passes only when a test says so."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    page.page.clock.install(time=start)
    page.show(picture(mosaic=mosaic()))
    page.page.clock.pause_at(start + timedelta(hours=1))


def says(page: Page) -> str:
    return page.texts(".mosaic .controls + .says")[0]


def test_before_and_after_lie_side_by_side_with_what_they_are(page: Page) -> None:
    page.show(picture(mosaic=mosaic()))
    assert page.texts(".whole .frame .name") == ["before", "after"]
    assert abs(middle(page, x=0.25) - 51) < 6
    assert abs(middle(page, x=0.75) - 203) < 6
    told = "\n".join(page.texts(".mosaic .told p"))
    assert "exposures by their <b>input</b> headers" in told
    assert "1600 x 1200 px of 0.2 arcsec; a pixel of the picture is 20 x 20" in told
    assert "North is up, east to the left." in told
    assert "FWHM of 160 sources: before 6.31 px, after 5.88 px." in told
    assert "black -0.2, white 87.1, softening 0.23" in told
    assert "2 smaller components have no picture." in told
    assert "173.6" in page.texts(".mosaic .scale")[0]
    assert page.page.locator(".mosaic .told b").count() == 0


def test_blinking_changes_the_picture_and_stops_when_asked(page: Page) -> None:
    show_with_clock_stopped(page)
    page.page.locator("[data-mode=blink]").click()
    assert says(page).startswith("now: before")
    assert abs(middle(page) - 51) < 6
    page.page.clock.run_for(501)
    assert says(page).startswith("now: after")
    assert abs(middle(page) - 203) < 6
    assert abs(middle(page, ".part .stage") - 178) < 6
    page.page.select_option("[aria-label='speed of blinking']", "2")
    before = says(page)
    page.page.clock.run_for(251)
    assert says(page) != before
    page.page.locator("button[data-mode=blink]").press("b")
    assert page.texts("button[data-mode=side][aria-pressed=true]") == ["Side by side"]
    page.page.clock.run_for(2000)
    assert says(page).startswith("before and after have the same stretch")


def test_nothing_blinks_that_nobody_sees(page: Page) -> None:
    show_with_clock_stopped(page)
    page.page.locator("[data-mode=blink]").click()
    page.page.evaluate(
        """() => {
          Object.defineProperty(document, "hidden", { value: true, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    before = says(page)
    page.page.clock.run_for(501)
    assert says(page) == before
    page.page.evaluate(
        """() => {
          delete document.hidden;
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    page.page.clock.run_for(501)
    assert says(page) != before


def test_a_wipe_has_before_to_the_left_of_its_edge(page: Page) -> None:
    page.show(picture(mosaic=mosaic()))
    page.page.locator("[data-mode=wipe]").click()
    slider = page.page.locator(".mosaic input[type=range]")
    assert [abs(middle(page, x=x) - want) < 6 for x, want in ((0.3, 51), (0.7, 203))] == [True] * 2
    slider.focus()
    for _ in range(30):
        page.page.keyboard.press("ArrowRight")
    assert says(page) == "before is left of the edge at 80 %, after right of it"
    assert [abs(middle(page, x=x) - want) < 6 for x, want in ((0.7, 51), (0.9, 203))] == [True] * 2


def test_another_component_can_be_chosen(page: Page) -> None:
    page.show(picture(mosaic=mosaic()))
    page.page.select_option("[aria-label=component]", "3")
    assert "Component 3: 800 x 600 px" in "\n".join(page.texts(".mosaic .told p"))
    assert not page.page.locator(".part").is_visible()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"mosaic": None}, "none has been made yet"),
        ({"mosaic": mosaic(grids=[], missing="output.mosaic is none")}, "output.mosaic is none"),
    ],
)
def test_where_there_is_no_picture_the_page_says_why(
    page: Page, changed: dict[str, Any], sentence: str
) -> None:
    page.show(picture(**changed))
    assert sentence in page.texts("section.mosaic")[0]
    assert page.page.locator(".mosaic img").count() == 0


def test_while_there_is_only_one_of_the_two_nothing_can_be_compared(page: Page) -> None:
    shown = mosaic()
    for grid in shown["grids"]:
        grid["after"] = None
    shown["grids"][0]["crop"] = None
    page.show(picture(mosaic=shown))
    assert says(page) == "the final mosaic is not made yet: this is the one before"
    assert page.texts(".whole .frame .name") == ["before"]
    assert page.page.locator("[data-mode=blink]").is_disabled()
