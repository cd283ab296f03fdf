"""Stated errors are the errors: pulls of corrections, of every geometry and solver, against truth.

Run as a program it prints the table of tests/README.md: ``python test_pulls.py LAYOUT FIRST LAST``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from pull_bench import SeenSet, aligned_set

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.correction import Geometry

FREE = (Geometry.SHIFT, Geometry.RSHIFT, Geometry.RSCALE, Geometry.GENERAL)
#: Median of the absolute value of a normal variable.
_MEDIAN = 0.6745
#: Sets of a slow test: 20 x 6 exposures, 240 pulls of shifts and 720 of general maps.
SEEDS = range(1, 21)


def rms(pulls: FloatArray) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(pulls**2)))


def width(pulls: FloatArray) -> float:
    """Return the standard deviation of the normal distribution with the same median length."""
    return float(np.median(np.abs(pulls))) / _MEDIAN


def all_pulls(sets: list[SeenSet]) -> dict[str, FloatArray]:
    """Return the pulls of sets, by solver and geometry, and those of held-out sources."""
    pulls = {}
    for geometry in FREE:
        pulls[f"joint, {geometry.value}"] = np.concatenate(
            [one.joint_pulls(geometry) for one in sets]
        )
        pulls[f"independent, {geometry.value}"] = np.concatenate(
            [one.independent_pulls(geometry) for one in sets]
        )
    held_out = np.concatenate([one.held_out_pulls(Geometry.RSHIFT) for one in sets])
    return {**pulls, "held out": held_out}


def sets_of(folder: Path, layout: str, seeds: range) -> list[SeenSet]:
    """Return aligned skies."""
    found = []
    for seed in seeds:
        place = folder / f"{layout}-{seed}"
        place.mkdir()
        found.append(aligned_set(place, layout, seed))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["stack", "strip"])
def test_stated_errors_are_the_errors(tmp_path: Path, layout: str) -> None:
    """Exposures of a set share sources and errors: twenty sets fix a width to a tenth."""
    for name, pulls in all_pulls(sets_of(tmp_path, layout, SEEDS)).items():
        assert 0.8 < rms(pulls) < 1.2, name
        assert 0.8 < width(pulls) < 1.2, name


def main(layout: str, first: int, last: int) -> None:
    """Print the table of one layout."""
    with tempfile.TemporaryDirectory() as folder:
        sets = sets_of(Path(folder), layout, range(first, last + 1))
        for name, pulls in all_pulls(sets).items():
            print(f"| {layout} | {name} | {len(pulls)} | {rms(pulls):.2f} | {width(pulls):.2f} |")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
