"""Whole runs on a real Slurm: workers as jobs, the driver as one, and what befalls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from durable_runs import content, make_sky, write_config
from own_cluster import wait_until
from own_slurm import OwnSlurm, own_slurm, search_path, why_no_slurm

from alignsvc import api
from alignsvc.engine import batch_jobs
from alignsvc.errors import ResourceError, TransientError
from alignsvc.run.records import events

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(why_no_slurm()), reason=f"NO SLURM TESTED: {why_no_slurm()}"),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSlurm]:
    with (
        own_slurm(tmp_path_factory.mktemp("slurm")) as slurm,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("SLURM_CONF", str(slurm.conf))
        patch.setenv("PATH", search_path())
        # A small set is done before the batch system would be asked twice.
        patch.setattr(batch_jobs, "_LOOK_S", 1.0)
        yield slurm


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("exposures") / "sky", count=12)


@pytest.fixture(scope="module")
def wanted(sky: Path) -> dict[str, str]:
    """What a run in one process gives."""
    return content(api.align(write_config(sky.with_name("serial.yaml"), sky)).directory)


@pytest.fixture(autouse=True)
def no_job_is_left(slurm: OwnSlurm) -> Iterator[None]:
    yield
    # Those of a killed driver end when they do not find it.
    wait_until(lambda: not slurm.jobs(), limit_s=120)


def on_slurm(**settings: Any) -> dict[str, Any]:
    return {
        "backend": "slurm",
        "workers": {"minimum": 0, "maximum": 2},
        "memory": "700 MiB",
        "queue": "debug",
        "interface": "lo",
        "driver": {"memory": "500 MiB", "walltime": "00:30:00"},
        **settings,
    }


def test_a_job_cancelled_and_the_driver_killed_change_no_bit(
    slurm: OwnSlurm, sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    config = write_config(tmp_path / "run.yaml", sky, cluster=on_slurm())
    doomed = Path(__file__).with_name("doomed_driver.py")
    killed = subprocess.run([sys.executable, str(doomed), str(config)], timeout=300)
    assert killed.returncode == -9
    assert slurm.jobs(), "its jobs did not outlive it"
    status = api.status(tmp_path / "run")
    assert len(status.state.solved_passes) == 1
    assert content(api.resume(tmp_path / "run").directory) == wanted


def test_the_only_job_is_replaced_when_it_is_cancelled(
    slurm: OwnSlurm, sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    cancelled: list[str] = []

    def cancel(event: events.Event) -> None:
        if isinstance(event, events.TaskEnded) and event.stage == "reject" and not cancelled:
            cancelled.extend(slurm.jobs())
            slurm.tell("scancel", *cancelled)

    config = write_config(tmp_path / "run.yaml", sky, cluster=on_slurm(workers=1))
    result = api.align(config, api.RunOptions(listener=cancel))
    assert len(cancelled) == 1
    assert content(result.directory) == wanted


@pytest.mark.slow
def test_a_walltime_that_is_over_costs_nothing(
    slurm: OwnSlurm, sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    seen: set[str] = set()

    def wait(event: events.Event) -> None:
        if isinstance(event, events.PassSolved):
            seen.update(slurm.jobs())
            wait_until(lambda: not slurm.jobs("RUNNING"))  # they end by themselves

    cluster = on_slurm(workers=1, walltime="00:00:20")
    config = write_config(tmp_path / "run.yaml", sky, cluster=cluster)
    result = api.align(config, api.RunOptions(listener=wait))
    assert len(seen) >= 2, "one job did it all"
    assert content(result.directory) == wanted


@pytest.mark.slow
def test_a_run_that_gets_no_worker_ends_and_can_be_resumed(
    slurm: OwnSlurm, sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    cluster = on_slurm(workers=2, queue_timeout_s=40.0)
    config = write_config(tmp_path / "run.yaml", sky, cluster=cluster)

    def cancel_all(event: events.Event) -> None:
        if isinstance(event, events.PassSolved):
            slurm.tell("scontrol", "update", "partitionname=debug", "state=down")
            slurm.tell("scancel", "--partition=debug")

    try:
        with pytest.raises(TransientError, match=r"no worker for 40 s, \d+ tasks wait;.*resume"):
            api.align(config, api.RunOptions(listener=cancel_all))
    finally:
        slurm.tell("scontrol", "update", "partitionname=debug", "state=up")
    assert api.status(tmp_path / "run").standing == "stopped"
    mended = write_config(tmp_path / "run.yaml", sky, cluster=on_slurm(workers=2))
    assert content(api.align(mended).directory) == wanted


def test_jobs_that_end_at_once_are_not_submitted_for_ever(
    slurm: OwnSlurm, sky: Path, tmp_path: Path
) -> None:
    cluster = on_slurm(python=f"{tmp_path}/no/python")
    config = write_config(tmp_path / "run.yaml", sky, cluster=cluster)
    with pytest.raises(ResourceError, match=r"slurm: no worker is left, and \d+ jobs in a row"):
        api.align(config)
    assert any("no/python" in log.read_text() for log in (tmp_path / "run/logs/jobs").glob("*.err"))


def test_a_queue_that_is_not_there_is_told_in_its_own_words(
    slurm: OwnSlurm, sky: Path, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "run.yaml", sky, cluster=on_slurm(queue="nowhere"))
    with pytest.raises(ResourceError, match=r"no job is taken: .*[Ii]nvalid partition"):
        api.align(config)


def told(*words: object) -> Any:
    """Return what the command line says, as a user asks it: in a process that is gone then."""
    command = [sys.executable, "-m", "alignsvc.cli.main", *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def submitted(config: Path) -> Any:
    return told("submit", config)


def test_a_driver_that_waits_in_the_queue_is_told_of_and_cancelled_there(
    slurm: OwnSlurm, sky: Path, tmp_path: Path
) -> None:
    held = on_slurm(extra_directives=["--hold"])
    config, run = write_config(tmp_path / "run.yaml", sky, cluster=held), tmp_path / "run"
    first = submitted(config)["driver"]["job"]
    status = told("status", run)
    assert (status["standing"], status["submitted"]["words"]) == ("queued", "PENDING (JobHeldUser)")
    assert told("cancel", run)["outcome"] == "withdrawn"
    assert not slurm.jobs()
    assert told("status", run)["standing"] == "cancelled"

    second = submitted(config)
    assert not second["attached"] and second["driver"]["job"] != first
    assert (
        f"queued as slurm job {second['driver']['job']}"
        in told("list", tmp_path)["runs"][0]["driver"]
    )
    slurm.tell("scancel", second["driver"]["job"])
    wait_until(lambda: not slurm.jobs())
    status = told("status", run)
    assert status["submitted"]["standing"] == "gone" and not status["submitted"]["began"]


def test_a_driver_in_a_job_outlives_its_client_and_is_replaced_when_it_dies(
    slurm: OwnSlurm, sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    config = write_config(tmp_path / "run.yaml", sky, cluster=on_slurm())
    run = tmp_path / "run"
    first = submitted(config)
    again = submitted(config)
    assert not first["attached"]
    assert again == {**first, "attached": True}
    assert first["driver"]["job"] in slurm.jobs()
    wait_until(lambda: len(api.status(run).state.passes) >= 1)

    slurm.tell("scancel", first["driver"]["job"])
    wait_until(lambda: first["driver"]["job"] not in slurm.jobs())
    assert not api.status(run).state.is_finished
    second = submitted(config)
    assert second["run_id"] == first["run_id"]
    assert not second["attached"]
    assert second["driver"]["job"] != first["driver"]["job"]
    assert any(f"slurm job {second['driver']['job']}" in line for line in api.status(run).lines())

    wait_until(lambda: api.status(run).state.is_finished, limit_s=300)
    assert content(run) == wanted
    assert submitted(config)["finished"]
    assert os.environ["SLURM_CONF"] not in (run / "config.yaml").read_text()
