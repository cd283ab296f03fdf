"""Runs by models on skies whose optics are lopsided: stated errors hold what no star tells of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from simulated_cases import Align, Case

from alignsvc.domain.outcome import ExitCode

#: FWHM 3.5 to 6.5 px, and a tenth of the light in a tail 3 px away, the same in all exposures.
TAILS = Case(
    "stack4",
    layout={"count": 6},
    changes={
        "conditions": {"fwhm_arcsec": [0.7, 1.3]},
        "aberrations": {"tail": [0.1, 0.1]},
    },
    alignment={"method": {"name": "model", "source": "moffat"}},
)
SEEDS = (1, 2)


@pytest.mark.slow
def test_errors_of_lopsided_stars_are_stated(align: Align) -> None:
    """By the noise of the places alone pulls are 3.6: an exposure's stars are all off alike."""
    pulls, left_px = [], []
    for seed in SEEDS:
        aligned = align(replace(TAILS, seed=seed))
        assert aligned.result.exit_code == ExitCode.DONE
        pulls.append(aligned.judged["pulls"]["rms"])
        left_px.append(aligned.judged["local_rms_px"])
    assert 0.4 < np.sqrt(np.mean(np.square(pulls))) < 1.3
    assert max(left_px) < 0.007
