"""The systemd units: as systemd reads them, and with the environment that workers want."""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from alignsvc.engine.worker_environment import (
    ARITHMETIC,
    spawned_environment,
    worker_environment,
)

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))


@pytest.fixture(autouse=True)
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files say nothing of which kernels of linear algebra this very machine has."""
    for name in os.environ:
        if name.startswith(ARITHMETIC):
            monkeypatch.delenv(name)


def environment() -> dict[str, str]:
    """Return what the file of settings sets."""
    lines = (line for line in (FOLDER / "alignsvc.env").read_text().splitlines() if line)
    pairs = (line.split("=", 1) for line in lines if not line.startswith("#"))
    return {name: "".join(shlex.split(value)) for name, value in pairs}


def unit(file: Path) -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None, strict=True)
    found.optionxform = str  # type: ignore[assignment, method-assign]
    found.read(file)
    return found


def judged(folder: Path) -> str:
    """Return what systemd says against the units in a folder."""
    names = [
        str(file.with_name(file.name.replace("@.", "@1."))) for file in folder.glob("*.service")
    ]
    found = subprocess.run(
        ["systemd-analyze", "verify", *names], capture_output=True, text=True, check=False
    )
    return found.stdout + found.stderr


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units in a folder, and a program where they want one."""
    for file in UNITS:
        text = file.read_text().replace("/opt/alignsvc/bin/dask", "/bin/true")
        (tmp_path / file.name).write_text(text)
    return tmp_path


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="NOT TESTED: no systemd-analyze here"
)
def test_systemd_says_nothing_against_them_and_something_against_a_broken_copy(
    installed: Path,
) -> None:
    assert judged(installed) == ""
    broken = installed / UNITS[0].name
    broken.write_text(broken.read_text().replace("Restart=", "Restrat="))
    assert "Restrat" in judged(installed)


@pytest.mark.parametrize("file", UNITS, ids=lambda file: file.name)
def test_every_variable_of_a_command_has_a_value_and_nobody_is_root(file: Path) -> None:
    service = unit(file)["Service"]
    assert service["User"] == "alignsvc"
    assert service["NoNewPrivileges"] == "yes"
    wanted = {word[2:-1] for word in shlex.split(service["ExecStart"]) if word.startswith("${")}
    assert wanted <= set(environment())


def test_workers_have_the_environment_that_ours_have() -> None:
    found = environment()
    assert worker_environment().items() <= found.items()
    assert found["DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON"] == str(spawned_environment())


def test_only_this_machine_reaches_them_until_somebody_says_otherwise() -> None:
    assert environment()["ALIGNSVC_LISTEN"] == "tcp://127.0.0.1:8786"
    scheduler = unit(FOLDER / "alignsvc-scheduler.service")["Service"]["ExecStart"]
    assert "--dashboard-address 127.0.0.1:8787" in scheduler
