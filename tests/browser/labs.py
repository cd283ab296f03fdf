"""JupyterLab with a folder of notebooks, and what tests do in it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Seconds that a lab, a kernel or a run on a busy machine may take.
PATIENCE_S = 300
#: Connections to servers of this machine, whatever proxy the environment names.
STRAIGHT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Lab:
    """A JupyterLab that serves a folder."""

    folder: Path
    url: str

    def notebook(self, name: str, *cells: str) -> str:
        """Write a notebook; return its address."""
        cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
        made = [{**cell, "id": f"cell{k}", "source": source} for k, source in enumerate(cells)]
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        content = {"cells": made, "metadata": {"kernelspec": kernel}}
        (self.folder / name).write_text(json.dumps({**content, "nbformat": 4, "nbformat_minor": 5}))
        return f"{self.url}/lab/tree/{name}"


@contextmanager
def running_lab(folder: Path) -> Iterator[Lab]:
    """Serve a folder while the context lasts, without a password."""
    own = folder / "jupyter"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {f"JUPYTER_{name}_DIR": str(own) for name in ("CONFIG", "DATA", "RUNTIME")}
    with (folder / "lab.log").open("w") as log:
        served = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                *(f"--port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"),
                *("--IdentityProvider.token=", "--LabApp.check_for_updates_class="
                  "jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=None"),
            ],
            stdout=log, stderr=log, env={**os.environ, **environment},
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert served.poll() is None, (folder / "lab.log").read_text()
        try:
            STRAIGHT.open(f"{url}/api", timeout=5).close()
        except OSError:
            return False
        return True

    try:
        wait_for(answers)
        yield Lab(folder, url)
    finally:
        served.terminate()
        served.wait(30)


def execute(page: Any) -> None:
    """Run the cell; JupyterLab drops what is asked before the kernel is really there."""
    page.wait_for_selector(".jp-Notebook .jp-Cell")

    def has_begun() -> bool:
        page.click(".jp-Notebook .jp-Cell")
        page.keyboard.press("Control+Enter")
        page.wait_for_timeout(3000)
        return page.inner_text(".jp-Notebook .jp-InputPrompt").strip() != "[ ]:"

    wait_for(has_begun)
    page.wait_for_selector(".alignsvc h1")


def wait_for(happened: Callable[[], Any]) -> None:
    """Wait until something has happened, for as long as a busy machine may take."""
    last_s = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < last_s
        time.sleep(0.1)
