"""Exposure times that are wrong do not pull positions: the set tells each other's flux scales."""

from __future__ import annotations

import pytest
from simulated_cases import Align, Case

#: Nine exposures that overlap by a fifth: most sources lie where the mosaic changes its members.
GRID = {"rows": 3, "columns": 3}
CAMERA = {"shape": [512, 512]}
WRONG = {"exposure_time": [0.3, 3.0]}


@pytest.mark.slow
def test_wrong_exposure_times_cost_nothing(align: Align) -> None:
    """1.68 of the bound, as with right ones (1.67); 11.9 where flux scales are not matched."""
    right = align(Case("grid6x6", layout=GRID, camera=CAMERA))
    wrong = align(Case("grid6x6", layout=GRID, camera=CAMERA, changes={"header_errors": WRONG}))
    assert wrong.result.exit_code == 0
    assert wrong.ratio < 1.15 * right.ratio
