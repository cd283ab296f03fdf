"""Corrected headers against the truth."""

import math

import numpy as np
import pytest

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import TangentPlane
from alignsvc.errors import ConfigError
from alignsvc.numerics.sky.corrected import corrected
from alignsvc.simulation.coverage import covered_points
from alignsvc.simulation.evaluate import evaluate, offsets
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import draw_truth
from alignsvc.simulation.truth import Truth

LAYOUTS = {
    "stack": {"name": "stack", "count": 3},
    "strip": {"name": "strip", "count": 4, "overlap": 0.3},
    "grid": {"name": "grid", "rows": 2, "columns": 2},
    "pole": {"name": "ring", "count": 3},
    "ra 0": {"name": "dither", "count": 3, "ra": 0.0},
}


MORE_LAYOUTS = {
    "pair": {"name": "stack", "count": 2},
    "long strip": {"name": "strip", "count": 5, "overlap": 0.3},
    "deep stack": {"name": "stack", "count": 12},
}


def _truth(layout: str, **more: object) -> Truth:
    return draw_truth(
        sky_settings(
            {
                "seed": 2,
                "layout": {**LAYOUTS, **MORE_LAYOUTS}[layout],
                "camera": {"shape": [256, 256]},
            }
            | more
        )
    )


def _true(truth: Truth) -> dict[str, list[CelestialWcs]]:
    return {e.id: [chip.true_wcs for chip in e.chips] for e in truth.exposures}


def _given(truth: Truth) -> dict[str, list[CelestialWcs]]:
    return {e.id: [chip.given_wcs for chip in e.chips] for e in truth.exposures}


def _moved(truth: Truth, parameters: dict[str, list[float]]) -> dict[str, list[CelestialWcs]]:
    """Return the true WCS after a correction about each exposure's own centre, arcsec and 1."""
    result = {}
    for exposure in truth.exposures:
        chips = [chip.true_wcs for chip in exposure.chips]
        values = parameters.get(exposure.id)
        if values is not None:
            centre = chips[0].centre()
            plane = TangentPlane(float(centre.ra), float(centre.dec))
            change = Correction.from_parameters(plane, np.array(values), Geometry.GENERAL)
            chips = [corrected(chip, change) for chip in chips]
        result[exposure.id] = chips
    return result


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_truth_is_without_fault(layout: str) -> None:
    truth = _truth(layout)
    result = evaluate(truth, _true(truth), geometry=Geometry.RSHIFT)
    assert result.n_exposures == len(truth.exposures)
    assert result.after.local_max_px < 1e-6
    assert result.after.affine_rms_px < 1e-6
    assert 1e-4 < result.bound_local_px < 0.05
    assert 1e-4 < result.bound_affine_px < 0.5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_headers_given_are_as_wrong_as_they_were_made(layout: str) -> None:
    truth = _truth(layout)
    result = evaluate(truth, _given(truth), geometry=Geometry.RSHIFT)
    assert result.after == result.before
    assert 0.1 < result.after.local_rms_px < 2.0
    assert result.as_json()["before_local_rms_px"] == result.after.local_rms_px


def test_one_exposure_off_by_a_pixel_has_the_rms_of_arithmetic() -> None:
    truth = _truth("stack")
    shifted = _moved(truth, {"exp001": [0.2, 0.0, 1.0, 0.0, 0.0, 1.0]})
    result = evaluate(truth, shifted, geometry=Geometry.SHIFT)
    # Offsets from the mean of three: 2/3, -1/3, -1/3 px east, none north.
    expected = math.sqrt((4 + 1 + 1) / 9 / 6)
    assert result.after.local_rms_px == pytest.approx(expected, rel=0.05)
    assert result.after.local_max_px == pytest.approx(2 / 3, rel=0.01)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_all_exposures_share_is_no_misalignment(layout: str) -> None:
    """The same linear map of the common plane moves the frame, not the exposures."""
    truth = _truth(layout)
    (covered,) = covered_points(truth.exposures, range(len(truth.exposures)))
    matrix = [0.3, -0.2, 1.0 + 2e-5, 1e-5, -3e-5, 1.0 - 1e-5]
    change = Correction.from_parameters(covered.plane, np.array(matrix), Geometry.GENERAL)
    moved = {e.id: [corrected(chip.true_wcs, change) for chip in e.chips] for e in truth.exposures}
    assert np.abs(offsets(truth, covered, moved)).max() > 0.1
    result = evaluate(truth, moved, geometry=Geometry.RSHIFT)
    assert result.after.local_rms_px < 1e-5
    assert result.after.affine_rms_px < 1e-5


def test_exposures_that_are_left_out_do_not_count() -> None:
    truth = _truth("stack")
    wcs = _true(truth)
    del wcs["exp000"]
    three = evaluate(truth, _true(truth), geometry=Geometry.SHIFT)
    two = evaluate(truth, wcs, geometry=Geometry.SHIFT)
    assert (three.n_exposures, two.n_exposures) == (3, 2)
    assert two.bound_local_px != three.bound_local_px


def test_separate_fields_are_separate_frames() -> None:
    """A strip with its middle left out: the halves may lie anywhere against each other."""
    truth = _truth("long strip")
    far = [0.5, 0.0, 1.0, 0.0, 0.0, 1.0]
    wcs = _moved(truth, {"exp003": far, "exp004": far})
    del wcs["exp002"]
    result = evaluate(truth, wcs, geometry=Geometry.SHIFT)
    assert result.n_exposures == 4
    assert result.after.affine_rms_px < 1e-4


@pytest.mark.parametrize(("layout", "expected"), [("pair", 2), ("stack", 4)])
def test_equal_exposures_have_two_degrees_each_but_the_common_shift(
    layout: str, expected: int
) -> None:
    alike = {"fwhm_arcsec": [1.0, 1.0], "sky": [6.0, 6.0]}
    truth = _truth(layout, conditions=alike)
    result = evaluate(truth, _true(truth), geometry=Geometry.SHIFT)
    assert result.local_degrees == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("geometry", list(Geometry))
def test_unequal_ones_have_fewer_degrees_than_numbers_to_be_found(geometry: Geometry) -> None:
    truth = _truth("strip")
    numbers = (len(truth.exposures) - 1) * geometry.n_parameters
    assert 1 < evaluate(truth, _true(truth), geometry=geometry).local_degrees < numbers


def test_chips_of_an_exposure_share_one_bound() -> None:
    camera = {"shape": [128, 128], "chips": [2, 2], "gap_px": 10}
    truth = _truth("stack", camera=camera)
    assert len(truth.exposures[0].chips) == 4
    result = evaluate(truth, _true(truth), geometry=Geometry.GENERAL)
    assert result.after.local_max_px < 1e-6
    assert 1e-4 < result.bound_local_px < 0.02


def test_honest_errors_have_pulls_of_one() -> None:
    truth = _truth("deep stack")
    generator = np.random.default_rng(4)
    sigma = np.array([0.01, 0.01, 2e-4, 2e-4, 2e-4, 2e-4])
    draws = {
        e.id: np.array([0, 0, 1, 0, 0, 1]) + sigma * generator.standard_normal(6)
        for e in truth.exposures
    }
    wcs = _moved(truth, {name: values.tolist() for name, values in draws.items()})
    corrections = {}
    for exposure in truth.exposures:
        centre = exposure.chips[0].true_wcs.centre()
        plane = TangentPlane(float(centre.ra), float(centre.dec))
        corrections[exposure.id] = Correction.from_parameters(
            plane, draws[exposure.id], Geometry.GENERAL, np.diag(sigma**2)
        )
    pulls = evaluate(truth, wcs, corrections).pulls
    assert pulls is not None
    assert pulls.n == 72
    # Less the common map of twelve: sqrt(11 / 12).
    assert pulls.rms == pytest.approx(math.sqrt(11 / 12), abs=0.2)
    assert pulls.chi2_per_parameter == pytest.approx(11 / 12, abs=0.35)


def test_a_stranger_and_a_lonely_exposure_are_refused() -> None:
    truth = _truth("stack")
    with pytest.raises(ConfigError, match="'other' is not in the truth"):
        evaluate(truth, {"other": []})
    with pytest.raises(ConfigError, match="has 0 chips"):
        evaluate(truth, {"exp000": []})
    with pytest.raises(ConfigError, match="none of which overlap"):
        evaluate(truth, {"exp000": _true(truth)["exp000"]})


def test_a_bound_that_does_not_exist_is_null_in_json() -> None:
    truth = _truth("stack", stars={"density": 0})
    record = evaluate(truth, _true(truth)).as_json()
    assert record["bound_local_px"] is None
    assert record["ratio_local"] is None
    assert record["local_degrees"] is None
