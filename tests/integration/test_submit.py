"""A run that is handed in: prepared here, driven by a process that outlives the client."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from durable_runs import content
from workplaces import Command, Workplace

from alignsvc import api
from alignsvc.engine.driver_places import DriverJob, DriverRun, DriverStanding, DriverState
from alignsvc.engine.driver_places import local as local_place
from alignsvc.engine.driver_places.local import DetachedProcess
from alignsvc.errors import ResourceError
from alignsvc.io.lease import LeaseOwner, Patience, take_lease
from alignsvc.io.locations import RunLocations
from alignsvc.run.status import submitted_driver
from alignsvc.run.verbs import submitting


@dataclass
class Desk:
    """A place that takes drivers and starts none."""

    taken: list[DriverRun] = field(default_factory=list)
    waits: bool = True
    removed: list[str] = field(default_factory=list)

    def script(self, run: DriverRun) -> str:
        return f"resume {run.where}"

    def start(self, run: DriverRun) -> DriverJob:
        self.taken.append(run)
        return DriverJob(str(len(self.taken)))

    def state_of(self, job: DriverJob) -> DriverState:
        if self.waits and job.id not in self.removed:
            return DriverState(DriverStanding.WAITS, "PENDING (Resources)")
        return DriverState(DriverStanding.GONE)

    def remove(self, job: DriverJob) -> None:
        self.removed.append(job.id)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk()
    for module in (submitting, submitted_driver):
        monkeypatch.setattr(module, "driver_place", lambda name, backend: desk)
    return desk


def test_a_rehearsal_shows_plan_and_scripts_and_leaves_nothing(
    work: Workplace, command: Command
) -> None:
    config = work.config(
        {"cluster.backend": "slurm", "cluster.workers": 2, "cluster.memory": "2 GiB"}
    )
    ended = command("submit", config, "--dry-run", "--json")
    assert ended.code == 0
    assert "#SBATCH" in ended.json["driver_script"]
    assert "dask_worker" in ended.json["worker_script"]
    assert len(ended.json["plan"]["exposures"]) == 3
    assert "resume" in command("submit", config, "--dry-run").out
    assert not (work.root / "run").exists()


def test_a_submitted_run_is_prepared_and_told_apart_by_its_id(
    work: Workplace, command: Command, desk: Desk
) -> None:
    ended = command("submit", work.config(), "--json")
    state = api.status(work.root / "run").state
    assert ended.json["run_id"] == state.run_id != ""
    assert ended.json["driver"]["job"] == "1"
    assert not ended.json["attached"]
    assert desk.taken == [DriverRun(str(work.root / "run"), state.run_id, work.root / "run/logs")]
    assert command("status", work.root / "run", "--json").json["submitted"]["job"] == "1"


def test_the_same_again_attaches_to_a_driver_that_waits(work: Workplace, desk: Desk) -> None:
    first = api.submit(work.config())
    again = api.submit(work.config())
    assert (first.is_new, again.is_new) == (True, False)
    assert again.run_id == first.run_id
    assert "attached" in again.line()
    assert len(desk.taken) == 1


def test_a_driver_that_died_is_replaced_with_what_the_configuration_says_now(
    work: Workplace, desk: Desk
) -> None:
    first = api.submit(work.config())
    desk.waits = False
    second = api.submit(work.config({"cluster.backend": "local", "cluster.workers": 1}))
    assert second.is_new
    assert second.run_id == first.run_id
    assert "workers: 1" in (work.root / "run" / "config.yaml").read_text()


def test_status_and_list_say_in_the_place_s_words_how_a_driver_waits(
    work: Workplace, command: Command, desk: Desk
) -> None:
    run = api.submit(work.config()).directory
    assert f"{run}: queued as serial job 1: PENDING (Resources)" in command("status", run).out
    told = command("status", run, "--json").json
    assert told["standing"] == "queued"
    assert (told["submitted"]["standing"], told["submitted"]["began"]) == ("waits", False)
    assert "queued as serial job 1: PENDING (Resources)" in command("list", work.root).out
    desk.waits = False
    said = command("status", run).out
    assert "serial job 1 is gone, and its driver never began; see its output; submit again" in said
    assert command("status", run, "--json").json["standing"] == "stopped"


def test_a_run_whose_driver_waits_is_cancelled_and_can_be_submitted_again(
    work: Workplace, command: Command, desk: Desk
) -> None:
    run = api.submit(work.config()).directory
    ended = command("cancel", run, "--json")
    assert (ended.code, ended.json["outcome"], desk.removed) == (0, "withdrawn", ["1"])
    assert command("status", run, "--json").json["standing"] == "cancelled"
    again = api.submit(work.config())
    assert again.is_new and again.driver is not None and again.driver.job == "2"
    assert command("status", run, "--json").json["standing"] == "queued"


@pytest.mark.parametrize("verb", ["submit", "run"])
def test_a_machine_without_the_batch_system_is_refused_before_anything_is_made(
    verb: str, work: Workplace, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    slurm = {"backend": "slurm", "workers": 2, "memory": "2 GiB", "interface": "lo"}
    config = work.config({f"cluster.{key}": value for key, value in slurm.items()})
    ended = command(verb, config)
    assert ended.code == 2
    assert "slurm: there is no sbatch, squeue, scancel here; wanted a machine" in ended.sentence
    assert not work.run.exists()


def test_a_run_that_somebody_drives_gets_no_second_driver(work: Workplace, desk: Desk) -> None:
    run = api.submit(work.config()).directory
    desk.waits = False
    with take_lease(RunLocations(run).objects, Patience(time.time, time.sleep, print)):
        found = api.submit(work.config())
    assert not found.is_new
    assert found.owner == LeaseOwner.this_process()


def test_a_driver_here_has_a_session_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(where: str, python: str = sys.executable) -> list[str]:
        return ["/bin/sh", "-c", f"echo drives {where}; cat; exec sleep 60"]

    monkeypatch.setattr(local_place, "resume_command", command)
    place = DetachedProcess(None)  # type: ignore[arg-type]
    job = place.start(DriverRun("there", "id", tmp_path / "logs"))
    pid = int(job.id.split("@")[0])
    try:
        assert os.getsid(pid) == pid
        until(lambda: Path(job.log).read_text() == "drives there\n")
        assert place.state_of(job).standing is DriverStanding.RUNS
        with pytest.raises(ResourceError, match=rf"process {pid} on .* can only be asked there"):
            place.state_of(DriverJob(job.id + "elsewhere"))
        place.remove(job)
        until(lambda: place.state_of(job).standing is DriverStanding.GONE)
        place.remove(job)  # nothing is left to do
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["serial", "local"])
def test_a_run_that_is_handed_in_comes_home_by_itself(
    backend: str, work: Workplace, command: Command
) -> None:
    straight = api.align(work.config({"run.directory": str(work.root / "straight")}))
    config = work.config({"cluster.backend": backend})
    ended = command("submit", config, "--json")
    run = work.root / "run"
    until(lambda: api.status(run).state.is_finished, limit_s=300)
    assert content(run) == content(straight.directory)
    log = Path(ended.json["driver"]["log"])
    until(lambda: "3 aligned" in log.read_text())  # the last that it does
    assert command("submit", config, "--json").json["finished"]


def until(is_so: Callable[[], bool], limit_s: float = 60.0) -> None:
    end = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < end, f"not so within {limit_s:g} s"
        time.sleep(0.05)
