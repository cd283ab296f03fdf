"""Runs by models end near the bound: over several skies, and beside the best that each one allows.

The ratio of one small set is a random number, also of an estimator at the bound (`best_estimator`):
what has a limit is the rms over skies, by their degrees of freedom, of ratios and of what the runs
add to the noise that everybody has. Measured values stand in tests/README.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from best_estimator import compared
from simulated_cases import Align, Aligned, Case

from alignsvc.domain.correction import Geometry
from alignsvc.domain.outcome import ExitCode

MOST_PASSES = 3


def by_model(sky: str, geometry: str, source: str, **more: Any) -> Case:
    method = {"name": "model", "source": source}
    return Case(sky, geometry, alignment={"eps_shift": 0.001, "method": method}, **more)


@dataclass(frozen=True)
class Row:
    """A set, its skies, and the most that the rms of its ratios may be."""

    case: Case
    seeds: tuple[int, ...]
    most: float

    def __str__(self) -> str:
        return f"{self.case}-{self.most}"


#: Each source has another one within 2 FWHM, in the mean.
CROWDED: Mapping[str, Any] = {
    "camera": {"shape": [384, 384]},
    "changes": {"stars": {"density": 300.0, "flux": [50.0, 3.0e4]}},
}
ROWS = [
    Row(by_model("stack4", "rshift", "moffat"), (4, 201, 202, 203, 204), 1.3),
    Row(by_model("stack4", "general", "auto"), (4, 201), 1.3),
    Row(by_model("stack8", "general", "auto"), (8,), 1.2),
    Row(by_model("pair", "rshift", "moffat"), (2, 101, 102, 103, 104), 1.6),
    # The bound knows the neighbours.
    Row(by_model("stack4", "rshift", "moffat", **CROWDED), (4, 201, 202, 203), 1.5),
]


def aligned_by_model(align: Align, case: Case) -> Aligned:
    """Align; nothing is lost, and nothing falsely called aligned."""
    aligned = align(case)
    assert aligned.result.exit_code == ExitCode.DONE
    assert aligned.judged["n_aligned"] == len(aligned.result.corrections)
    assert aligned.judged["false_success"] == []
    assert aligned.judged["passes"] <= MOST_PASSES
    return aligned


def rms(values: list[float], degrees: list[float]) -> float:
    return math.sqrt(np.average(np.square(values), weights=degrees))


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_over_skies_runs_end_near_the_bound(align: Align, row: Row) -> None:
    runs = [aligned_by_model(align, replace(row.case, seed=seed)) for seed in row.seeds]
    degrees = [run.judged["local_degrees"] for run in runs]
    assert rms([run.judged["ratio_local"] for run in runs], degrees) <= row.most
    beside = [compared(run, Geometry(row.case.geometry)) for run in runs]
    # The best ones are at the bound, as far as so many degrees of freedom tell.
    scatter = 1.0 / math.sqrt(2.0 * sum(degrees))
    assert abs(rms([one.best for one in beside], degrees) - 1.0) < 3.0 * scatter
    assert math.hypot(1.0, rms([one.apart for one in beside], degrees)) <= row.most
