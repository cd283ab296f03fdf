"""A model fit on a scheduler and workers that somebody else started."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "science"))
from own_cluster import OwnCluster, own_cluster
from tutorial_scene import TUTORIAL, exposures

import alignsvc
from alignsvc.engine.base import ClusterBackend, Executor, RunContext, TaskEnded, TaskEvent
from alignsvc.engine.clusters.local import LocalBackend
from alignsvc.engine.clusters.scheduler import SchedulerBackend
from alignsvc.engine.clusters.serial import SerialBackend
from alignsvc.numerics.models.modelling.fitted_scene import FittedScene

pytestmark = pytest.mark.cluster


def on(backend: ClusterBackend, folder: Path) -> FittedScene:
    """Return the fit of two turned images of three stars, each star a part."""
    folder.mkdir()
    workers = alignsvc.SceneWorkers(backend, folder, pixels_per_part=1)
    return alignsvc.fit_scene(exposures(replace(TUTORIAL, turn=math.pi / 32), 1), workers=workers)


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> FittedScene:
    """What the same parts give in one process."""
    return on(SerialBackend(), tmp_path_factory.mktemp("scene") / "serial")


def assert_same_bits(found: FittedScene, wanted: FittedScene) -> None:
    assert found.outcome.is_answer
    assert found.fit is not None
    assert wanted.fit is not None
    for name in ("value", "covariance", "source_covariance", "place"):
        assert np.array_equal(getattr(found.fit, name), getattr(wanted.fit, name)), name
    assert found.fit.history == wanted.fit.history


def test_workers_of_others_give_the_same_bits(wanted: FittedScene, tmp_path: Path) -> None:
    with own_cluster(tmp_path / "own", workers=2) as cluster:
        assert_same_bits(on(SchedulerBackend(cluster.address), tmp_path / "shared"), wanted)
        # They stay, for their owner.
        assert all(worker.poll() is None for worker in cluster.workers)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_of_our_own_give_the_same_bits(
    workers: int, wanted: FittedScene, tmp_path: Path
) -> None:
    assert_same_bits(on(LocalBackend(workers, dashboard=False), tmp_path / "local"), wanted)


@dataclass(frozen=True)
class KillsOne:
    """Workers of others, of which one dies when some tasks have ended."""

    cluster: OwnCluster
    after: int = 7

    def __call__(self, context: RunContext) -> Executor:
        left = [self.after]

        def listen(event: TaskEvent) -> None:
            left[0] -= isinstance(event, TaskEnded)
            if left[0] == 0:
                self.cluster.workers[0].kill()

        return SchedulerBackend(self.cluster.address)(replace(context, on_event=listen))


def test_a_worker_that_dies_in_a_fit_changes_no_bit(wanted: FittedScene, tmp_path: Path) -> None:
    with own_cluster(tmp_path / "own", workers=2) as cluster:
        assert_same_bits(on(KillsOne(cluster), tmp_path / "shared"), wanted)
        assert cluster.workers[0].wait(30) == -9
        assert cluster.workers[1].poll() is None
