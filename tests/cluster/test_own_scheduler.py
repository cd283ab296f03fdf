"""Whole runs on a scheduler and workers that somebody else started."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from durable_runs import content, make_sky, write_config
from own_cluster import OwnCluster, own_cluster

from alignsvc import api
from alignsvc.errors import TransientError
from alignsvc.run.records import events

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("own") / "sky", count=4)


@pytest.fixture(scope="module")
def wanted(sky: Path) -> dict[str, str]:
    """What a run in one process gives."""
    return content(api.align(write_config(sky.with_name("serial.yaml"), sky)).directory)


def on(cluster: OwnCluster) -> dict[str, object]:
    return {"backend": "scheduler", "address": cluster.address}


def test_a_run_on_workers_of_others_gives_the_same_bits(
    sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    with own_cluster(tmp_path / "own", workers=2) as cluster:
        config = write_config(tmp_path / "run.yaml", sky, cluster=on(cluster))
        assert content(api.align(config).directory) == wanted
        # They stay, for their owner.
        assert all(worker.poll() is None for worker in cluster.workers)


def test_a_worker_killed_in_a_run_changes_no_bit(
    sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    with own_cluster(tmp_path / "own", workers=2) as cluster:

        def kill_one(event: events.Event) -> None:
            first = cluster.workers[0]
            if isinstance(event, events.TaskEnded) and event.stage == "measure":
                first.kill()

        config = write_config(tmp_path / "run.yaml", sky, cluster=on(cluster))
        result = api.align(config, api.RunOptions(listener=kill_one))
        assert cluster.workers[0].wait(30) == -9
        assert cluster.workers[1].poll() is None
        assert content(result.directory) == wanted


def test_a_worker_that_comes_later_is_waited_for(
    sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    with own_cluster(tmp_path / "own", workers=0) as cluster:

        def bring_one(event: events.Event) -> None:
            if isinstance(event, events.StageStarted) and not cluster.workers:
                cluster.start_worker()

        config = write_config(tmp_path / "run.yaml", sky, cluster=on(cluster))
        result = api.align(config, api.RunOptions(listener=bring_one))
        assert content(result.directory) == wanted


def test_a_scheduler_killed_in_the_second_pass_stops_the_run_and_another_brings_it_home(
    sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    config = tmp_path / "run.yaml"
    with own_cluster(tmp_path / "first", workers=2) as cluster:

        def kill_it(event: events.Event) -> None:
            if isinstance(event, events.StageStarted) and event.pass_number == 2:
                cluster.scheduler.kill()

        write_config(config, sky, cluster=on(cluster))
        with pytest.raises(TransientError, match="scheduler"):
            api.align(config, api.RunOptions(listener=kill_it))
    with own_cluster(tmp_path / "second", workers=2) as cluster:
        write_config(config, sky, cluster=on(cluster))
        assert content(api.align(config).directory) == wanted
