"""Passes over the scenes of stars named in a JSON on stdin: CPU time and memory."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from fit_alignsvc import peak_mb
from model_scenes import Stars

from alignsvc.numerics.models.least_squares import LevenbergMarquardt
from alignsvc.numerics.models.scene.scene_problem import SceneProblem

#: Passes over large scenes are few, over small ones many.
VIEWS_PASSED = 2000


def main() -> None:
    """Read what to do, write what came of it."""
    found = [measured(Stars(**scene)) for scene in json.load(sys.stdin)]
    json.dump({"peak_mb": peak_mb(), "scenes": found}, sys.stdout)


def measured(stars: Stars) -> dict:
    """A pass with its step, the median; and a whole fit."""
    problem = SceneProblem(stars.scene())
    start = problem.start()

    def one_pass() -> None:
        equations = problem.linearise(start)
        assert equations is not None
        equations.step(1e-3)

    one_pass()
    repeats = min(max(VIEWS_PASSED // (stars.exposures * stars.sources), 3), 25)
    passes = [seconds(one_pass) for _ in range(repeats)]
    begin = time.process_time()
    search = LevenbergMarquardt()(problem, start)
    return {
        "pass_s": float(np.median(passes)),
        "fit_s": time.process_time() - begin,
        "passes": search.passes,
        "outcome": search.outcome.value,
        "unknowns": stars.unknowns,
        "chi2_per_degree": search.history[-1].chi2_per_degree,
    }


def seconds(work: Callable[[], None]) -> float:
    """CPU time."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


if __name__ == "__main__":
    main()
