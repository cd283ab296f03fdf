"""One run, done in different ways, gives the same bits."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import pytest
from durable_runs import content, make_sky, write_config

from alignsvc import api
from alignsvc.domain.outcome import TaskOutcome
from alignsvc.domain.task import Task
from alignsvc.engine.distributed import DaskExecutor
from alignsvc.engine.serial import SerialExecutor
from alignsvc.run.driving import service
from alignsvc.run.records import events


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four exposures of two chips each."""
    return make_sky(tmp_path_factory.mktemp("bits") / "sky", count=4, chips=(1, 2), rays=800.0)


@pytest.fixture(scope="module")
def wanted(sky: Path) -> dict[str, str]:
    """What a run in one process gives."""
    config = write_config(sky.with_name("serial.yaml"), sky)
    result = api.align(config)
    found = content(result.directory)
    shutil.rmtree(result.directory)
    assert len(result.corrections) == 4
    assert any(name.startswith("tables/solved") for name in found)
    return found


class Shuffled(SerialExecutor):
    """Does tasks in an order of its own, other each time."""

    def run(self, tasks: Iterable[Task]) -> Iterator[TaskOutcome]:
        every = list(tasks)
        random.Random(len(every)).shuffle(every)
        return super().run(every)


def test_the_order_of_tasks_changes_no_bit(
    sky: Path, wanted: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "build_cluster", lambda config, workers: Shuffled)
    result = api.align(write_config(tmp_path / "shuffled.yaml", sky))
    assert content(result.directory) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 4])
def test_neither_order_nor_number_of_workers_changes_a_bit(
    sky: Path,
    wanted: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
) -> None:
    run = DaskExecutor.run

    def shuffled(executor: DaskExecutor, tasks: Iterable[Task]) -> Iterator[TaskOutcome]:
        every = list(tasks)
        random.Random(workers + len(every)).shuffle(every)
        return run(executor, every)

    monkeypatch.setattr(DaskExecutor, "run", shuffled)
    config = write_config(tmp_path / "local.yaml", sky, cluster={"backend": "local"})
    result = api.align(config, api.RunOptions(workers=workers))
    assert content(result.directory) == wanted


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_the_number_of_workers_changes_no_bit(
    sky: Path, wanted: dict[str, str], tmp_path: Path, workers: int
) -> None:
    config = write_config(tmp_path / "local.yaml", sky, cluster={"backend": "local"})
    result = api.align(config, api.RunOptions(workers=workers))
    assert content(result.directory) == wanted


@pytest.mark.slow
def test_cosmic_rays_are_the_same_in_any_order(
    sky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rejecting = {"mosaic": {"reject_cosmic_rays": True}, "alignment": {"max_iterations": [2, 2]}}
    in_order = api.align(write_config(tmp_path / "serial.yaml", sky, **rejecting))
    monkeypatch.setattr(service, "build_cluster", lambda config, workers: Shuffled)
    shuffled = api.align(write_config(tmp_path / "shuffled.yaml", sky, **rejecting))
    assert content(shuffled.directory) == content(in_order.directory)


@pytest.mark.slow
def test_a_worker_that_dies_changes_no_bit(
    sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill_one(event: events.Event) -> None:
        if isinstance(event, events.TaskEnded) and event.stage == "measure" and not killed:
            workers = [
                child
                for child in psutil.Process().children(recursive=True)
                if any("spawn_main" in word for word in child.cmdline())
            ]
            killed.append(workers[0].pid)
            workers[0].kill()

    config = write_config(tmp_path / "local.yaml", sky, cluster={"backend": "local"})
    result = api.align(config, api.RunOptions(workers=2, listener=kill_one))
    assert killed
    assert content(result.directory) == wanted
