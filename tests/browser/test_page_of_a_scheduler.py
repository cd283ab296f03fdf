"""The page on a scheduler's dashboard, beside a run that goes on: straight, and through Jupyter."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from labs import PATIENCE_S, Lab, wait_for

from alignsvc.api import simulate, status
from alignsvc.run.seeing.parts import picture_json
from alignsvc.run.seeing.picture import RunViewer

pytestmark = pytest.mark.browser

SKY = {
    "seed": 5,
    "layout": {"name": "stack", "count": 24, "ra": 10.0, "dec": 20.0, "jitter_arcsec": 4.0},
    "camera": {"shape": [384, 384], "scale_arcsec": 0.2},
    "header_errors": {"shift_px": [0.5, 2.0], "rotation_deg": 0.02},
}


@dataclass
class Driven:
    """A run, and the process that drives it with a worker of its own."""

    run: Path
    driver: subprocess.Popen[bytes]

    @property
    def link(self) -> str:
        """Return the link that `status` has, once it has one."""
        found: list[str] = []

        def has_link() -> bool:
            assert self.driver.poll() is None
            if (self.run / "config.yaml").exists():
                found[:] = [status(self.run).as_json()["live_page"] or ""]
            return bool(found and found[0])

        wait_for(has_link)
        return found[0]


@pytest.fixture
def driven(tmp_path: Path) -> Iterator[Driven]:
    (tmp_path / "sky.yaml").write_text(yaml.safe_dump(SKY))
    simulate(tmp_path / "sky.yaml", tmp_path / "sky")
    file = tmp_path / "run.yaml"
    config = {
        "images": {"paths": [f"{tmp_path}/sky/*.fits"]},
        "run": {"directory": str(tmp_path / "run")},
        "cluster": {"backend": "local", "workers": 1},
    }
    file.write_text(yaml.safe_dump(config))
    driver = subprocess.Popen([sys.executable, "-m", "alignsvc.cli.main", "run", str(file)])
    yield Driven(tmp_path / "run", driver)
    driver.terminate()
    driver.wait()


@dataclass
class Opened:
    """A page, and what its console complained of."""

    page: Any
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: said.type == "error" and self.errors.append(said.text))
        self.page.set_default_timeout(100_000)

    def wait_for(self, shown: str) -> None:
        """Wait for an element; the page's own policy forbids to wait for what a text evaluates."""
        self.page.locator(shown).first.wait_for()

    @property
    def lines(self) -> str:
        return str(self.page.inner_text(".alignsvc .lines"))


@pytest.fixture
def opened(browser: Any) -> Iterator[Opened]:
    page = browser.new_page(viewport={"width": 1280, "height": 1900})
    yield Opened(page)
    page.close()


def test_a_live_run_is_seen_on_its_schedulers_page_and_changes(
    opened: Opened, driven: Driven, tmp_path: Path
) -> None:
    page = opened.page
    link = driven.link
    told = subprocess.run(
        [sys.executable, "-m", "alignsvc.cli.main", "status", str(driven.run), "--json"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(told.stdout)["live_page"] == link
    page.goto(link)
    opened.wait_for("h1:text-is('running')")
    assert page.locator("nav a", has_text="status").count() == 1
    assert "only shows" in page.inner_text(".note")
    opened.wait_for(".lines p:text-matches('pass 1 .full.: [0-9.]+ px')")
    solved = status(driven.run).state.movements_px[0]
    assert f"pass 1 (full): {solved:.4f} px" in opened.lines
    # The table is that of the store: the largest movement of the last solved pass comes first.
    page.click("thead button:has-text('last movement')")
    cell = float(page.inner_text("tbody tr[data-row] td:nth-child(9)"))
    told = picture_json(RunViewer(driven.run).look())["passes"]
    largest = [max(v for v in one["move_px"] if v is not None) for one in told]
    assert any(cell == pytest.approx(one, rel=1e-3) for one in largest)
    page.wait_for_timeout(500)
    page.screenshot(path=tmp_path / "live.png")
    # What was there before the scheduler went stays, and the page says how it is now.
    assert driven.driver.wait(PATIENCE_S) == 0
    opened.wait_for(".trouble:visible")
    assert "no answer from the scheduler" in page.inner_text(".trouble")
    assert page.locator("tbody tr[data-row]").count() > 0
    refused = [
        one for one in opened.errors if "ERR_CONNECTION" not in one and "ERR_EMPTY" not in one
    ]
    assert refused == []


def test_the_page_goes_through_jupyter(
    opened: Opened, driven: Driven, lab: Lab, tmp_path: Path
) -> None:
    if importlib.util.find_spec("jupyter_server_proxy") is None:
        pytest.skip("jupyter-server-proxy is not installed: the page was not looked at through it")
    port, rest = driven.link.removeprefix("http://127.0.0.1:").split("/", 1)
    page = opened.page
    page.goto(f"{lab.url}/proxy/{port}/{rest}")
    opened.wait_for("h1:text-is('running')")
    opened.wait_for(".count:text-is('24 of 24 exposures')")
    # What is chosen is read from the run's directory, too.
    opened.wait_for(".lines p:text-matches('pass 1 .full.: [0-9.]+ px')")
    page.click("tbody tr[data-row]")
    opened.wait_for(".detail .state:has-text('pass')")
    page.screenshot(path=tmp_path / "proxied.png")
    page.click("nav a:has-text('status')")
    page.wait_for_url(f"**/proxy/{port}/status")
    assert opened.errors == []
