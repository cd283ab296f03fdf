"""Whole runs through the commands of PBS, Grid Engine and LSF, played by a shim on PATH."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from durable_runs import content, make_sky, write_config
from own_cluster import wait_until

from alignsvc import api
from alignsvc.engine import batch_jobs
from alignsvc.run.records import events

pytestmark = pytest.mark.cluster

SHIM = Path(__file__).with_name("batch_shim.py")
COMMANDS = ("qsub", "qstat", "qdel", "bsub", "bjobs", "bkill")


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("exposures") / "sky", count=4)


@pytest.fixture(scope="module")
def wanted(sky: Path) -> dict[str, str]:
    """What a run in one process gives."""
    return content(api.align(write_config(sky.with_name("serial.yaml"), sky)).directory)


Jobs = Callable[[], list[str]]


@pytest.fixture
def jobs(system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    """The shim on PATH; returns the jobs that run. All of them are ended afterwards."""
    for command in COMMANDS:
        link = tmp_path / "bin" / command
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(SHIM)
    (tmp_path / "jobs").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("BATCH_SHIM_FOLDER", str(tmp_path / "jobs"))
    monkeypatch.setenv("BATCH_SHIM_DIALECT", system)
    monkeypatch.setattr(batch_jobs, "_LOOK_S", 1.0)

    def running() -> list[str]:
        said = subprocess.run(["bjobs"], capture_output=True, text=True, timeout=60)
        return said.stdout.split()

    yield running
    subprocess.run(["bkill", *running()], check=True, timeout=60)


def on(system: str, **settings: Any) -> dict[str, Any]:
    return {
        "backend": system,
        "workers": {"minimum": 0, "maximum": 2},
        "memory": "700 MiB",
        "interface": "lo",
        # By its name: a job has only what it is given.
        "environment": {"PYTHONPATH": None},
        **settings,
    }


@pytest.mark.parametrize("system", ["pbs", "sge", "lsf"])
def test_a_run_through_its_commands_gives_the_same_bits(
    system: str, jobs: Jobs, sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    config = write_config(tmp_path / "run.yaml", sky, cluster=on(system))
    assert content(api.align(config).directory) == wanted
    wait_until(lambda: not jobs())


@pytest.mark.parametrize("system", ["pbs"])
def test_a_job_that_is_deleted_is_replaced(
    system: str, jobs: Jobs, sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    deleted: list[str] = []

    def delete(event: events.Event) -> None:
        if isinstance(event, events.TaskEnded) and event.stage == "measure" and not deleted:
            deleted.extend(jobs())
            subprocess.run(["qdel", *deleted], check=True)

    config = write_config(tmp_path / "run.yaml", sky, cluster=on(system, workers=1, cores=2))
    result = api.align(config, api.RunOptions(listener=delete))
    assert len(deleted) == 1
    assert content(result.directory) == wanted


@pytest.mark.parametrize("system", ["pbs", "sge", "lsf"])
def test_a_driver_is_submitted_and_works_by_itself(
    system: str, jobs: Jobs, sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    config = write_config(tmp_path / "run.yaml", sky, cluster=on(system))
    first = api.submit(config)
    assert first.is_new
    assert first.driver is not None
    assert first.driver.job in jobs()
    assert not api.submit(config).is_new
    wait_until(lambda: api.status(first.directory).state.is_finished, limit_s=300)
    assert content(first.directory) == wanted
    wait_until(lambda: not jobs())
