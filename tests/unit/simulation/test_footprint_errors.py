"""Who is called aligned and is not: true errors against stated ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import TangentPlane
from alignsvc.numerics.sky.corrected import corrected
from alignsvc.simulation.footprint_errors import FootprintError, footprint_errors
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import draw_truth
from alignsvc.simulation.truth import Truth

#: Stated error of each shift, arcsec: 0.01 px.
STATED = 0.002


@pytest.fixture(scope="module")
def truth() -> Truth:
    return draw_truth(
        sky_settings(
            {
                "seed": 2,
                "layout": {"name": "stack", "count": 4},
                "camera": {"shape": [256, 256], "scale_arcsec": 0.2},
            }
        )
    )


def shifted(truth: Truth, shifts: list[list[float]]) -> tuple[FootprintError, ...]:
    """Errors where each exposure is off from the truth by a shift, arcsec."""
    wcs: dict[str, list[CelestialWcs]] = {}
    corrections = {}
    covariance = np.diag([STATED**2, STATED**2, 0.0, 0.0, 0.0, 0.0])
    for exposure, shift in zip(truth.exposures, shifts, strict=True):
        true = exposure.chips[0].true_wcs
        centre = true.centre()
        still = Correction.identity(
            TangentPlane(float(centre.ra), float(centre.dec)), Geometry.SHIFT
        )
        moved = replace(still, shift=np.array(shift), covariance=covariance)
        wcs[exposure.id] = [corrected(true, moved)]
        corrections[exposure.id] = moved
    return footprint_errors(truth, wcs, corrections, list(wcs))


def test_what_all_have_in_common_is_the_gauge_and_no_error(truth: Truth) -> None:
    errors = shifted(truth, [[0.3, -0.2]] * 4)
    assert max(error.error_px for error in errors) < 1e-5


def test_errors_within_what_is_stated_are_honest(truth: Truth) -> None:
    shifts = STATED * np.random.default_rng(1).normal(size=(4, 2))
    errors = shifted(truth, shifts.tolist())
    assert [error.stated_px for error in errors] == pytest.approx([0.01] * 4, rel=1e-3)
    assert not any(error.is_false_success for error in errors)


def test_an_exposure_far_outside_its_stated_error_is_a_false_success(truth: Truth) -> None:
    errors = shifted(truth, [[0.0, 0.0], [0.0, 0.0], [0.04, 0.0], [0.0, 0.0]])
    # A quarter of it, or so, went into the gauge: of 0.2 px 0.15 are left, -0.05 for the others.
    assert errors[2].error_px == pytest.approx(0.15, rel=0.1)
    assert errors[2].is_false_success
    assert not errors[0].is_false_success or errors[0].sigmas < errors[2].sigmas


def test_small_errors_matter_to_nobody_however_small_the_stated_one() -> None:
    assert not FootprintError("a", 0.019, 1e-6).is_false_success
    assert FootprintError("a", 0.021, 0.0).is_false_success
    assert not FootprintError("a", 0.5, 0.2).is_false_success
