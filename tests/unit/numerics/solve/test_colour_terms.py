"""What refraction does to sources of other colours is found and taken off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.correction import Geometry
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.colour_terms import ColourFitter, SourceColours
from alignsvc.numerics.solve.joint_fit import JointFitter

#: A star redder by a magnitude appears as far off as this, arcsec.
SHIFTS = np.random.default_rng(7).normal(0.0, 0.05, (8, 2))


def colours_of(factors: list[Factors]) -> SourceColours:
    """Colours at random: with a few dozen stars an exposure, corrections feel them."""
    source = np.unique(np.concatenate([one.source for one in factors]))
    colour = np.random.default_rng(3).normal(0.0, 0.8, len(source))
    return SourceColours.of(source, colour)


def refracted(factors: list[Factors], colours: SourceColours, shifts: FloatArray) -> list[Factors]:
    return [
        replace(one, residual=one.residual - colours.of_rows(one)[0][:, None] * shift)
        for one, shift in zip(factors, shifts, strict=True)
    ]


def off(shifts: FloatArray, truth: FloatArray) -> FloatArray:
    """Return errors of shifts, less what all exposures have in common."""
    error = shifts - truth
    return np.asarray(error - error.mean(axis=0))


@pytest.mark.parametrize(
    ("name", "geometry"), [("stack", Geometry.GENERAL), ("strip", Geometry.RSHIFT)]
)
def test_shifts_by_colour_are_found_beside_the_corrections(scene, layouts, name, geometry):
    case = scene(layouts[name], geometry, noise=1.0)
    shifts = np.random.default_rng(7).normal(0.0, 0.05, (len(case.factors), 2))
    colours = colours_of(case.factors)
    spoilt = refracted(case.factors, colours, shifts)
    fitter = JointFitter()
    terms = ColourFitter()(spoilt, lambda some: fitter(some, case.footprints).steps, colours)
    mended = fitter(terms.taken_off(spoilt, colours), case.footprints)
    plain, bare = fitter(case.factors, case.footprints), fitter(spoilt, case.footprints)
    if name == "stack":  # along a strip an error at one joint is passed on to its end
        assert np.abs(off(terms.shift_arcsec, shifts)).max() < 0.002
    error = case.local_errors_arcsec(mended.steps).max()
    assert error < 1.5 * case.local_errors_arcsec(plain.steps).max() + 1e-4
    assert error < 0.2 * case.local_errors_arcsec(bare.steps).max()


def test_where_colours_shift_nothing_nothing_is_found(scene, layouts):
    case = scene(layouts["stack"], Geometry.RSHIFT, noise=1.0)
    colours = colours_of(case.factors)
    fitter = JointFitter()
    terms = ColourFitter()(case.factors, lambda some: fitter(some, case.footprints).steps, colours)
    assert (np.abs(off(terms.shift_arcsec, 0.0)) < 5 * terms.error_arcsec).all()
    assert terms.largest_arcsec < 0.002


def test_sources_without_a_colour_stay_where_they_are(scene, layouts):
    case = scene(layouts["pair"], Geometry.SHIFT)
    one = case.factors[0]
    colours = SourceColours.of(one.source[:3], np.array([1.0, np.nan, 3.0]))
    colour, known = colours.of_rows(one)
    assert known.tolist() == [True, False, True] + [False] * (len(one) - 3)
    assert colour[:3].tolist() == [-1.0, 0.0, 1.0]
    assert not colour[3:].any()
    nobody = SourceColours.of(np.zeros(0, np.int64), np.zeros(0))
    assert not nobody.of_rows(one)[1].any()
