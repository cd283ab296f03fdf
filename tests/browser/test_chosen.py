"""An exposure that is chosen, seen from near: numbers and pixels in a browser are the store's."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from test_page import Page, picture

from alignsvc.domain.quality import DisplacementFlag
from alignsvc.run.seeing.detail_json import detail_json
from alignsvc.run.seeing.exposure_detail import ExposureDetail, SourceCutout, SourceResiduals

pytestmark = pytest.mark.browser

ID = "night5/exp0012"
SIDE = 32


@pytest.fixture
def page(browser: object, tmp_path: Path) -> Iterator[Page]:
    opened = Page(browser, tmp_path)
    yield opened
    assert opened.errors == []
    opened.page.close()


def star(x: float, y: float) -> np.ndarray:
    row, column = np.mgrid[:SIDE, :SIDE]
    return (500 * np.exp(-((column - x) ** 2 + (row - y) ** 2) / 8)).astype(np.float32)


def detail() -> ExposureDetail:
    """Return an exposure of two chips whose header was 1.5 px off, with a bright star kept."""
    random = np.random.default_rng(2)
    n = 60
    flags = np.zeros(n, np.int64)
    flags[5:12] = DisplacementFlag.HELD_OUT
    flags[12:15] = DisplacementFlag.SATURATED
    fitted = np.tile([0.3, -0.1], (n, 1))
    residuals = SourceResiduals(
        source=np.arange(100, 100 + n),
        chip=np.repeat([0, 1], n // 2),
        x=random.uniform(0, 400, n),
        y=random.uniform(0, 300, n),
        measured_px=fitted + 0.02 * random.normal(size=(n, 2)),
        fitted_px=fitted,
        shared_px=np.zeros((n, 2)),
        covariance_px2=np.tile([4e-4, 0.0, 4e-4], (n, 1)),
        snr=random.uniform(10, 1000, n),
        flags=flags,
    )
    exposure = star(15.7, 16.1)
    step = np.arange(-6, 7) / 2
    map_ = np.exp(-((step[:, None] + 0.1) ** 2 + (step[None, :] - 0.3) ** 2) / 8)
    cutouts = [
        SourceCutout(
            row,
            (40, 50),
            exposure,
            star(16.0, 16.0),
            star(17.2, 15.3),
            exposure,
            map_.astype(np.float32),
            exposure if row == 45 else None,
            (-1.2, 0.7),
        )
        for row in (45, 3)
    ]
    shape = np.array([[300, 400], [300, 400]])
    return ExposureDetail(ID, 4, True, 48, shape, residuals, tuple(cutouts))


def choose(page: Page, name: str = "exp0012") -> None:
    page.page.fill("input[type=search]", name)
    page.page.locator("tbody tr[data-row]").first.click()


def said(page: Page) -> dict[str, str]:
    rows = page.page.locator(".detail .numbers tr").all()
    return {row.locator("th").inner_text(): row.locator("td").inner_text() for row in rows}


def pixels(page: Page, caption: str) -> list[list[int]]:
    """Return the colours of a drawn grid, (r, g, b) by pixel, the last row first."""
    return page.page.evaluate(
        """(caption) => {
          const figure = [...document.querySelectorAll(".detail .grid")]
            .find((one) => one.querySelector("figcaption").innerText.startsWith(caption));
          const canvas = figure.querySelector("canvas"), n = canvas.width;
          const { data } = canvas.getContext("2d").getImageData(0, 0, n, n);
          return Array.from({ length: n * n }, (_, k) => [...data.slice(4 * k, 4 * k + 3)]);
        }""",
        caption,
    )


def test_the_worst_source_is_shown_with_its_numbers(page: Page) -> None:
    found = detail()
    page.show(picture(), {ID: detail_json(found)})
    choose(page)
    page.page.wait_for_selector(".detail .numbers tr")
    left = found.residuals
    assert left is not None
    numbers = said(page)
    assert numbers["source"] == "145: in the fit"
    shown = [float(one) for one in numbers["residual"].removesuffix(" px").split(", ")]
    assert shown == pytest.approx(left.residual_px[45], rel=1e-3)
    shown = [float(one) for one in numbers["displacement"].removesuffix(" px").split(", ")]
    assert shown == pytest.approx(left.measured_px[45], rel=1e-3)
    assert float(numbers["sigma"]) == pytest.approx(left.sigma[45], rel=1e-3)
    assert float(numbers["S/N in the mosaic"]) == pytest.approx(left.snr[45], rel=1e-3)
    assert numbers["since the header"] == "1.5, -0.8 px"
    key = page.texts(".detail .key")[0]
    assert "50 in the fit" in key
    assert "the solve used 48" in key


def test_the_dipole_is_there_before_and_gone_after(page: Page) -> None:
    page.show(picture(), {ID: detail_json(detail())})
    choose(page)
    page.page.wait_for_selector(".detail .grid canvas")
    before, after = (pixels(page, f"Difference {one}") for one in ("before", "after"))
    blue = sum(b > r + 60 for r, _, b in before)
    vermilion = sum(r > b + 60 for r, _, b in before)
    assert min(blue, vermilion) > 5
    assert {tuple(one) for one in after} == {(255, 255, 255)}
    # Rows go up: the star's brightest pixel is where it is in the array.
    lit = np.array(pixels(page, "Exposure")).reshape(SIDE, SIDE, 3)[..., 1][::-1]
    assert np.unravel_index(lit.argmax(), lit.shape) == (16, 16)
    captions = page.texts(".detail .grid figcaption")
    assert "Model" in captions
    assert "Exposure less model" in captions


def test_a_source_is_chosen_from_the_list_or_by_a_click_on_its_arrow(
    page: Page,
) -> None:
    found = detail()
    page.show(picture(), {ID: detail_json(found)})
    choose(page)
    page.page.click(".worst tr[data-source='103']")
    assert said(page)["source"].startswith("103:")
    assert page.texts(".worst tr.chosen td:first-child") == ["103"]
    canvas = page.page.locator(".detail canvas[aria-label^=Residuals]")
    spots = canvas.bounding_box()
    assert spots is not None
    for x in range(80, int(spots["width"]), 30):
        canvas.click(position={"x": x, "y": spots["height"] / 2})
    chosen = int(said(page)["source"].split(":")[0])
    assert chosen in range(100, 130)  # of the chip that is shown
    text = said(page)
    page.page.select_option(".detail select[aria-label=chip]", "1")
    assert said(page) == text


def test_rejected_ones_say_why_and_have_no_pixels_here(page: Page) -> None:
    found = detail()
    told = detail_json(found)
    told["cutouts"][0]["row"] = 13
    page.show(picture(), {ID: told})
    choose(page)
    page.page.wait_for_selector(".detail .numbers tr")
    assert "saturated pixels in the cutout" in said(page)["source"]


def test_what_is_missing_is_said_and_nothing_is_drawn(page: Page) -> None:
    why = "output.history is none: <b>nothing</b> is kept"
    page.show(picture(), {ID: detail_json(ExposureDetail(ID, missing=(why,)))})
    choose(page)
    page.page.wait_for_function("document.querySelector('.state').innerText.includes('history')")
    assert why in page.texts(".detail .state")[0]
    assert page.page.locator(".detail .near").count() == 0
    choose(page, "exp0013")
    page.page.wait_for_function("document.querySelector('.state').innerText.includes('not on')")
    assert page.texts(".detail h3") == ["night6/exp0013"]


def test_grids_have_no_byte_too_many() -> None:
    one = detail_json(detail())["cutouts"][0]
    for name in ("exposure", "mosaic", "before", "after", "map", "model", "residual"):
        grid = one[name]
        assert len(base64.b64decode(grid["bytes"])) == grid["side"] ** 2
        assert grid["low"] < grid["high"]
    assert one["exposure"]["high"] == one["mosaic"]["high"] == one["model"]["high"]
    assert one["before"]["low"] == -one["before"]["high"] == one["after"]["low"]
