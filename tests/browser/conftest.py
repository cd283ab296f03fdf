"""A real browser for what people look at: Chromium, as the system has it."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator

import pytest
from labs import Lab, running_lab

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """A headless Chromium; tests are skipped, saying so, where there is none."""
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser on PATH ({', '.join(_NAMES)}): pages were not looked at")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pages were not looked at"
    )
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        opened = driver.chromium.launch(
            executable_path=program, args=[*arguments, "--no-proxy-server"]
        )
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab; tests are skipped, saying so, where it is not installed."""
    if importlib.util.find_spec("jupyterlab") is None:
        pytest.skip("jupyterlab is not installed: what is seen in it was not looked at")
    with running_lab(tmp_path_factory.mktemp("lab")) as opened:
        yield opened
