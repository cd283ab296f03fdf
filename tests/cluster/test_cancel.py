"""A run on workers of others is cancelled, whatever its tasks do, and other runs go on."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from durable_runs import content, make_sky, write_config
from own_cluster import OwnCluster, own_cluster

from alignsvc import api
from alignsvc.errors import RunCancelled
from alignsvc.io.control import CancelRequest, put_cancel_request
from alignsvc.io.locations import RunLocations
from alignsvc.run.driving import wheel
from alignsvc.run.driving.keeping import Keeper
from alignsvc.run.records import events

pytestmark = pytest.mark.cluster


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel, "Keeper", partial(Keeper, interval_s=0.02))


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("cancel") / "sky", count=4)


@pytest.fixture(scope="module")
def wanted(sky: Path) -> dict[str, str]:
    """What a run in one process gives."""
    return content(api.align(write_config(sky.with_name("serial.yaml"), sky)).directory)


def run_on(cluster: OwnCluster, config: Path, sky: Path) -> Path:
    return write_config(config, sky, cluster={"backend": "scheduler", "address": cluster.address})


def when_measured(does: Callable[[], object]) -> events.Listener:
    """Return a listener that does something once, when the first exposure has been measured."""
    left = [does]

    def hear(event: events.Event) -> None:
        if isinstance(event, events.TaskEnded) and event.stage == "measure" and left:
            left.pop()()

    return hear


def ask(run: Path) -> None:
    put_cancel_request(RunLocations(run).objects, CancelRequest("7", "somebody", 0.0))


def test_one_of_two_runs_is_cancelled_and_the_other_ends_as_if_alone(
    sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    with own_cluster(tmp_path / "own", workers=2) as cluster:
        one, other = (run_on(cluster, tmp_path / f"{name}.yaml", sky) for name in ("one", "two"))
        both_at_work = threading.Barrier(2, timeout=120)
        ended: list[Path] = []

        def drive_other() -> None:
            listener = when_measured(both_at_work.wait)
            ended.append(api.align(other, api.RunOptions(listener=listener)).directory)

        thread = threading.Thread(target=drive_other)
        thread.start()

        def cancel() -> None:
            both_at_work.wait()
            ask(one.with_suffix(""))
            time.sleep(1.0)  # fifty heartbeats

        with pytest.raises(RunCancelled):
            api.align(one, api.RunOptions(listener=when_measured(cancel)))
        thread.join(240)
        assert content(ended[0]) == wanted
        assert content(api.resume(one.with_suffix("")).directory) == wanted


def test_a_cancel_is_obeyed_while_no_task_ends(
    sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    with own_cluster(tmp_path / "own", workers=1) as cluster:
        config = run_on(cluster, tmp_path / "run.yaml", sky)
        run = config.with_suffix("")

        def stop_worker() -> None:
            cluster.workers[0].send_signal(signal.SIGSTOP)
            threading.Timer(0.5, ask, [run]).start()

        began_s = time.monotonic()
        with pytest.raises(RunCancelled):
            api.align(config, api.RunOptions(listener=when_measured(stop_worker)))
        assert time.monotonic() - began_s < 600  # the worker would sleep for ever
        cluster.workers[0].send_signal(signal.SIGCONT)
        assert content(api.resume(run).directory) == wanted
