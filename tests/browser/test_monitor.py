"""The monitor in JupyterLab, beside a run that goes on: it changes by itself, its buttons work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from labs import PATIENCE_S, Lab, execute, wait_for

from alignsvc.api import simulate, status
from alignsvc.io.objects import LocalObjects
from alignsvc.run.seeing.exposure_detail import find_exposure_detail

pytestmark = pytest.mark.browser

SKY = {
    "seed": 5,
    "layout": {"name": "stack", "count": 32, "ra": 10.0, "dec": 20.0, "jitter_arcsec": 4.0},
    "camera": {"shape": [512, 512], "scale_arcsec": 0.2},
    "header_errors": {"shift_px": [0.5, 2.0], "rotation_deg": 0.02},
}


@pytest.fixture
def config(lab: Lab, tmp_path: Path) -> Path:
    """A run that takes a while, in this process alone."""
    (tmp_path / "sky.yaml").write_text(yaml.safe_dump(SKY))
    simulate(tmp_path / "sky.yaml", tmp_path / "sky")
    file = tmp_path / "run.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "images": {"paths": [f"{tmp_path}/sky/*.fits"]},
                "run": {"directory": str(tmp_path / "run")},
                "cluster": {"backend": "serial"},
            }
        )
    )
    return file


def test_a_run_is_seen_cancelled_and_resumed_from_a_notebook(
    browser: Any, lab: Lab, config: Path
) -> None:
    run = config.with_suffix("")
    driver = subprocess.Popen([sys.executable, "-m", "alignsvc.cli.main", "run", str(config)])
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(PATIENCE_S * 1000)
    try:
        wait_for(lambda: (run / "config.yaml").exists())
        source = f"import alignsvc\nalignsvc.monitor({str(run)!r}, interval_s=0.5)"
        page.goto(lab.notebook("watch.ipynb", source))
        execute(page)
        assert page.inner_text(".alignsvc h1") == "running"
        # It changes by itself: the first pass is solved.
        page.wait_for_function(
            "document.querySelector('.alignsvc .lines').innerText.includes('pass 1')"
        )
        page.click("button[data-ask=cancel]")
        page.wait_for_function("document.querySelector('.alignsvc h1').innerText === 'cancelled'")
        assert driver.wait(PATIENCE_S) != 0
        page.wait_for_function("document.querySelector('.answer').innerText.includes('cancelled')")
        page.click("button[data-ask=resume]")
        page.wait_for_function(
            "document.querySelector('.alignsvc h1').innerText === 'finished, exit 0'"
        )
        shown = page.locator(".alignsvc .count").inner_text()
        assert shown == "32 of 32 exposures"
        told = status(run)
        assert f"{told.counts.aligned} aligned" in page.inner_text(".alignsvc .lines")
        assert page.locator("button[data-ask=cancel]").is_disabled()
        _look_closely(page, run)
        assert errors == []
    finally:
        driver.kill()
        driver.wait()
        page.close()


def _look_closely(page: Any, run: Path) -> None:
    """Choose an exposure: the kernel sends its sources, and they are those of the store."""
    page.fill(".alignsvc input[type=search]", "exp007")
    page.click(".alignsvc tbody tr[data-row]")
    page.wait_for_selector(".alignsvc .detail .grid canvas")
    found = find_exposure_detail(LocalObjects(run), "exp007")
    assert found is not None
    assert found.residuals is not None
    worst = found.cutouts[0].row
    shown = page.inner_text(".alignsvc .detail td[data-number=residual]")
    numbers = [float(one) for one in shown.removesuffix(" px").split(", ")]
    assert numbers == pytest.approx(found.residuals.residual_px[worst], rel=1e-3)
    listed = page.locator(".alignsvc .worst tbody tr td:first-child").all_inner_texts()
    assert listed == [str(found.residuals.source[one.row]) for one in found.cutouts]
