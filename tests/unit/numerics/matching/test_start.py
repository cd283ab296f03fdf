"""A place on a common plane becomes a correction, as free as the geometry lets it be."""

from __future__ import annotations

import cmath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignsvc.domain.correction import Geometry
from alignsvc.domain.geometry import Points, SkyPoints, TangentPlane
from alignsvc.numerics.matching.similarity import Similarity, as_complex
from alignsvc.numerics.matching.start import start_with

COMMON, OWN = TangentPlane(150.0, 60.0), TangentPlane(150.06, 60.02)
SCALE_ARCSEC = 0.2
SIDE = np.array([-100.0, 0.0, 100.0])  #: arcsec
SAMPLES: SkyPoints = OWN.to_sky(Points(*(axis.ravel() for axis in np.meshgrid(SIDE, SIDE))))


def about_the_field(factor: complex, shift: complex) -> Similarity:
    """Return a turn about the exposure's middle, and a shift, px of the common plane."""
    middle = complex(as_complex(COMMON.from_sky(SAMPLES)).mean()) / SCALE_ARCSEC
    return Similarity(factor, middle - factor * middle + shift)


@given(st.floats(-3.1, 3.1), st.floats(0.98, 1.02), st.floats(-500, 500), st.floats(-500, 500))
def test_a_similarity_is_followed_to_a_tenth_of_a_pixel(
    angle: float, scale: float, x: float, y: float
) -> None:
    wanted = about_the_field(cmath.rect(scale, angle), complex(x, y))
    start = start_with(wanted, SAMPLES, (COMMON, OWN), SCALE_ARCSEC, Geometry.GENERAL)
    flat = COMMON.from_sky(SAMPLES)
    goal = wanted(Points(flat.x / SCALE_ARCSEC, flat.y / SCALE_ARCSEC))
    moved = COMMON.from_sky(OWN.to_sky(start.correction.apply(OWN.from_sky(SAMPLES))))
    assert np.hypot(moved.x / SCALE_ARCSEC - goal.x, moved.y / SCALE_ARCSEC - goal.y).max() < 0.1
    assert start.missed_px < 0.1


def test_a_geometry_takes_what_it_can_and_says_what_it_missed() -> None:
    wanted = about_the_field(cmath.rect(1.01, 0.2), 30.0 - 40.0j)
    misses = {}
    for geometry in (Geometry.SHIFT, Geometry.RSHIFT, Geometry.RSCALE):
        start = start_with(wanted, SAMPLES, (COMMON, OWN), SCALE_ARCSEC, geometry)
        misses[geometry] = start.missed_px
        if geometry is not Geometry.RSCALE:
            assert start.correction.is_rigid
    corner_px = 100.0 * np.sqrt(2) / SCALE_ARCSEC
    assert misses[Geometry.SHIFT] == pytest.approx(0.2 * corner_px, rel=0.02)
    assert misses[Geometry.RSHIFT] == pytest.approx(0.01 * corner_px, rel=0.02)
    assert misses[Geometry.RSCALE] < 0.1


def test_what_does_not_move_stays() -> None:
    start = start_with(
        Similarity(1.0 + 0.0j, 0j), SAMPLES, (COMMON, OWN), SCALE_ARCSEC, Geometry.GENERAL
    )
    assert start.moved_px < 1e-6
