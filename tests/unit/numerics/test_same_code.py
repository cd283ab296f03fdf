"""A loop that was compiled by this process and one that was found on the disk do the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SUMS = """
import hashlib
import numpy as np
from alignsvc.domain.arrays import read_only
from alignsvc.numerics.displacement.fitting.informed import PixelNoise
from alignsvc.numerics.displacement.fitting.steps import Limits, stepped
from alignsvc.numerics.displacement.splines.surface_sums import Boxes

rng = np.random.default_rng(1)

def stars(side):
    along = np.arange(side) - (side - 1) / 2
    star = np.exp(-(along[:, None] ** 2 + along**2) / 32)
    return read_only((star + 0.01 * rng.normal(size=(20, side, side))).astype(np.float32))

weight = np.abs(stars(40))
weight[:, :3] = weight[:, :, -2:] = 0
weight = read_only(weight)
boxes = Boxes.of(stars(40), weight)
noise = PixelNoise(weight, read_only(np.abs(stars(40))), weight, np.float32(0.1))
start, expected = read_only(rng.uniform(-1, 1, (20, 2))), read_only(np.zeros((20, 4)))
found = stepped(start, (stars(60), stars(60)), (boxes, noise), expected, Limits(1e-3, 9.0, 9.0, 8))
assert np.isfinite(found.place).all()
print(hashlib.sha256(found.place.tobytes() + found.worth.flux.tobytes()).hexdigest())
"""


def test_sums_of_sums_are_the_same_bits_whether_compiled_or_found(tmp_path: Path) -> None:
    """Found by a run whose workers compiled nothing: a loop called by others had two forms."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    said = []
    for _ in range(2):
        command = [sys.executable, "-c", SUMS]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        said.append(done.stdout)
    assert list(tmp_path.rglob("*.nbc"))
    assert said[0] == said[1]
