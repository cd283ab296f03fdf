"""Stated errors are the errors: pulls of corrections, of every geometry and solver, against truth.

For the table of tests/README.md, from 2,000 pulls a row, see `pull_bench`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pull_bench import HELD_OUT, gather, kept, pulls_by_row

#: Skies of a slow test: of six exposures each, and of two.
SKIES = {"stack": 20, "strip": 20, "pair": 60}


@pytest.mark.slow
@pytest.mark.parametrize("layout", list(SKIES))
def test_stated_errors_are_the_errors(tmp_path: Path, layout: str) -> None:
    """Exposures of a sky share errors: so many fix an rms to 0.03-0.08, a width to 0.14."""
    gather(tmp_path, layout, range(1, SKIES[layout] + 1))
    for row, pulls in pulls_by_row(kept(tmp_path, layout)).items():
        assert 0.8 < pulls.width < 1.2, row
        if row != HELD_OUT:  # a few faint ones have another source's peak
            assert 0.85 < pulls.rms < 1.15, row
