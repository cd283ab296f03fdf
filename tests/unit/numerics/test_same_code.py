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
from alignsvc.numerics.displacement.bands import Bands, bands_at
from alignsvc.numerics.displacement.surface_sums import Boxes, trial_sums

rng = np.random.default_rng(1)

def plane(side):
    return read_only(rng.normal(size=(20, side, side)).astype(np.float32))

bands = Bands(*bands_at(read_only(rng.uniform(-1, 1, (20, 2))), 10))
weight = np.abs(plane(40))
weight[:, :3] = weight[:, :, -2:] = 0
sums = trial_sums(bands, plane(60), plane(60), Boxes.of(plane(40), weight))
print(hashlib.sha256(sums.tobytes()).hexdigest())
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
