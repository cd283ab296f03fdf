"""A driver's memory with a wide set in hand: the real plan, journal and solve, in a process."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks/bench_driver_memory.py"
SIDE, N_SOURCES = 32, 100


@pytest.mark.slow
def test_a_solve_of_a_thousand_exposures_takes_a_tenth_of_a_gigabyte(tmp_path):
    """The compiler is there before. With a matrix row for each displacement: 240 MB."""
    for part in ("simulate", "store", "measure"):
        command = [sys.executable, str(BENCHMARK), part, str(tmp_path), str(SIDE), str(N_SOURCES)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    peak_mb = [float(found) for found in re.findall(r": (\d+) MB", told)]
    assert len(peak_mb) == 5
    assert peak_mb[3] - peak_mb[2] < 100.0, told
