"""What a page says of runs that did not go well, of real stores: each as it is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from labs import wait_for

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from durable_runs import make_sky, write_config
from page_servers import PageServer, page_server

from alignsvc.api import align
from alignsvc.io.codec import sealed, unsealed
from alignsvc.io.locations import FORMAT_VERSION

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three exposures, an empty file and one without pixels, to its end."""
    folder = tmp_path_factory.mktemp("states")
    sky = make_sky(folder / "sky")
    (sky / "empty.fits").touch()
    (sky / "text.fits").write_text("no FITS file, <b>whatever</b> its name says\n" * 100)
    align(write_config(folder / "run.yaml", sky))
    return folder / "run"


@pytest.fixture
def server() -> Iterator[PageServer]:
    with page_server() as made:
        yield made


@pytest.fixture
def show(browser: Any, server: PageServer, tmp_path: Path) -> Iterator[Callable[[Path], Any]]:
    """Open the page of a run; nothing may be wrong with the page itself."""
    page = browser.new_page(viewport={"width": 1280, "height": 1500})
    errors: list[str] = []
    page.on("console", lambda said: said.type == "error" and errors.append(said.text))
    page.on("pageerror", lambda error: errors.append(str(error)))

    def opened(run: Path) -> Any:
        page.goto(f"{server.url}/{server.pages.show(str(run))}")
        page.locator(".lines p, .trouble:visible").first.wait_for()
        page.screenshot(path=tmp_path / "page.png")
        return page

    yield opened
    page.close()
    assert errors == []


def test_a_run_whose_driver_was_killed(show: Callable[[Path], Any], tmp_path: Path) -> None:
    config = write_config(tmp_path / "run.yaml", make_sky(tmp_path / "sky", count=6))
    driver = subprocess.Popen([sys.executable, "-m", "alignsvc.cli.main", "run", str(config)])
    run = config.with_suffix("")
    wait_for(lambda: (run / "tables/solved/pass-0001.npz").exists() or driver.poll() is not None)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    page = show(run)
    assert page.inner_text("h1") == "dead"
    said = page.inner_text(".lines")
    assert f"its driver, process {driver.pid} on " in said
    assert f"is gone; `alignsvc resume {run}` goes on with it" in said
    assert "last sign of life" in said
    assert page.inner_text(".count") == "6 of 6 exposures"
    assert page.locator(".trouble").is_hidden()


def test_a_run_with_failures(show: Callable[[Path], Any], ended: Path) -> None:
    page = show(ended)
    assert page.inner_text("h1") == "finished, exit 4"
    assert "2 failed" in page.inner_text(".lines")
    page.fill("input[type=search]", "failed")
    assert page.inner_text(".count") == "2 of 5 exposures"
    rows = page.locator("tbody tr[data-row]").all_inner_texts()
    assert ["empty" in rows[0], "unreadable" in rows[1]] == [True, True]
    page.click("tbody tr[data-row] >> nth=1")
    assert "text.fits" in page.inner_text(".detail")
    assert page.locator(".detail b").count() == 0


def test_a_run_that_never_began(show: Callable[[Path], Any], ended: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    shutil.copy(ended / "config.yaml", tmp_path / "run")
    page = show(tmp_path / "run")
    assert page.inner_text("h1") == "never begun"
    assert "never begun; `alignsvc resume" in page.inner_text(".lines")
    assert page.inner_text(".count") == "0 of 0 exposures"


def test_a_run_of_an_older_version(
    show: Callable[[Path], Any], ended: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(ended, tmp_path / "run")
    for file in (run / "journal").iterdir():
        file.write_bytes(sealed({**unsealed(file.read_bytes()), "format": FORMAT_VERSION - 1}))
    # Settings of then, which mean nothing now, are not what is complained of.
    (run / "config.yaml").write_text("images: {files: [a.fits]}\n")
    said = show(run).inner_text(".trouble")
    assert f"in format {FORMAT_VERSION - 1}, this version of alignsvc reads format" in said
    assert "resume with the version that began the run, or begin it anew" in said
    assert "Traceback" not in said


def test_a_run_that_is_being_written(
    show: Callable[[Path], Any], ended: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(ended, tmp_path / "run")
    names = sorted((run / "journal").glob("*.json"))
    (run / "journal/.partial-0f3a").write_bytes(names[-1].read_bytes()[:40])
    names[-1].unlink()
    (run / "tables/solved/.partial-77").write_bytes(b"PK")
    page = show(run)
    assert page.inner_text("h1") == "stopped"
    assert page.locator(".trouble").is_hidden()
    assert page.inner_text(".count") == "5 of 5 exposures"


def test_a_run_whose_last_event_is_cut_short(
    show: Callable[[Path], Any], ended: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(ended, tmp_path / "run")
    last = max((run / "journal").glob("*.json"))
    last.write_bytes(last.read_bytes()[:40])
    page = show(run)
    assert f"journal/{last.name} is damaged" in page.inner_text(".trouble")
    assert "restore it or start a new run" in page.inner_text(".trouble")
    # All that comes before it is there.
    assert page.inner_text(".count") == "5 of 5 exposures"
    last.write_bytes((ended / "journal" / last.name).read_bytes())
    page.locator(".trouble").wait_for(state="hidden", timeout=60_000)


def test_a_run_that_the_schedulers_host_cannot_read(
    show: Callable[[Path], Any], tmp_path: Path
) -> None:
    said = show(tmp_path / "elsewhere").inner_text(".trouble")
    assert f"{tmp_path}/elsewhere cannot be shown by " in said
