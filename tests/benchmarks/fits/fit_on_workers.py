"""Whole fits of a scene of stars in one piece and in parts on workers: wall and CPU time.

Reads ``{"stars": ..., "workers": [0, 1, 2]}`` on stdin; 0 workers are one piece in this process.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from model_scenes import Stars

from alignsvc.engine.clusters.local import LocalBackend
from alignsvc.numerics.models.least_squares import LevenbergMarquardt
from alignsvc.numerics.models.scene.scene_fit import FitsScenes, SceneFitter
from alignsvc.run.stages.scene_workers import SceneWorkers


def main() -> None:
    """Read what to do, write what came of it."""
    asked = json.load(sys.stdin)
    scene, fits, whole = Stars(**asked["stars"]).scene(), [], None
    for workers in asked["workers"]:
        idle = cpu()
        with fitter_on(workers):
            pass
        before, begin = cpu(), time.perf_counter()
        with fitter_on(workers) as fitter:
            ready = time.perf_counter()
            fit = fitter(scene)
            end = time.perf_counter()
        after = cpu()
        whole = whole or fit
        off = np.abs(fit.value - whole.value) / np.sqrt(np.diagonal(whole.covariance))
        fits.append(
            {
                "workers": workers,
                "start_s": ready - begin,
                "wall_s": end - ready,
                "driver_s": after[0] - before[0],
                "workers_s": after[1] - before[1],
                "workers_start_s": before[1] - idle[1],
                "faults": after[2] - before[2],
                "passes": len(fit.history),
                "outcome": fit.outcome.value,
                "off_sigma": float(off.max()),
            }
        )
    json.dump({"fits": fits}, sys.stdout)


def cpu() -> tuple[float, float, int]:
    """CPU time of this process and of those that it started and that have ended; page faults."""
    mine = resource.getrusage(resource.RUSAGE_SELF)
    theirs = resource.getrusage(resource.RUSAGE_CHILDREN)
    faults = mine.ru_minflt + theirs.ru_minflt
    return time.process_time(), theirs.ru_utime + theirs.ru_stime, faults


@contextmanager
def fitter_on(workers: int) -> Iterator[FitsScenes]:
    """Yield what fits scenes."""
    if workers == 0:
        yield SceneFitter()
        return
    with SceneWorkers(LocalBackend(workers, dashboard=False)).fitter(LevenbergMarquardt()) as one:
        yield one


if __name__ == "__main__":
    main()
