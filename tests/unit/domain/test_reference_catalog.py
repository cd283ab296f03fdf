"""Stars on their way."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time

from alignsvc.domain.geometry import SkyPoints, unit_vectors
from alignsvc.domain.reference_catalog import ReferenceCatalog, julian_year, moved

PLACES = SkyPoints(
    np.array([10.0, 359.9999999, 0.0, 200.0, 33.0]), np.array([-45.0, 0.0, 89.9999, 60.0, -90.0])
)
MOTION = np.array([[100.0, -50.0], [800.0, 10.0], [-300.0, 5000.0], [0.0, 0.0], [200.0, 100.0]])


def catalog(**changes: object) -> ReferenceCatalog:
    n = len(MOTION)
    values = {
        "sky": PLACES,
        "motion_mas": MOTION,
        "epoch": np.full(n, 2016.0),
        "covariance": np.tile(np.diag([0.3, 0.2, 0.1, 0.05]) ** 2, (n, 1, 1)),
        "has_motion": True,
        **changes,
    }
    return ReferenceCatalog(**values)  # type: ignore[arg-type]


def apart_mas(first: SkyPoints, second: SkyPoints) -> np.ndarray:
    chord = np.linalg.norm(unit_vectors(first) - unit_vectors(second), axis=1)
    return np.degrees(chord) * 3.6e6


@pytest.mark.parametrize("years", [0.0, 12.5, -30.0])
def test_stars_move_as_astropy_moves_them(years: float) -> None:
    # A star at a pole has no east: astropy's agrees only where there is one.
    some = slice(0, 4)
    sky = SkyPoints(PLACES.ra[some], PLACES.dec[some])
    start = SkyCoord(
        sky.ra * u.deg,
        sky.dec * u.deg,
        pm_ra_cosdec=MOTION[some, 0] * u.mas / u.yr,
        pm_dec=MOTION[some, 1] * u.mas / u.yr,
        distance=20.0 * u.pc,
        radial_velocity=0.0 * u.km / u.s,
        obstime=Time(2016.0, format="jyear", scale="tcb"),
    )
    end = start.apply_space_motion(Time(2016.0 + years, format="jyear", scale="tcb"))
    found = moved(sky, MOTION[some], years)
    assert apart_mas(found, SkyPoints(end.ra.deg, end.dec.deg)).max() < 0.01


def test_a_motion_there_and_back_is_none() -> None:
    there = catalog().known_at(2036.0)
    assert apart_mas(there.sky, PLACES) == pytest.approx(
        20 * np.hypot(*MOTION.T), rel=1e-3, abs=1e-6
    )
    assert apart_mas(there.known_at(2016.0).sky, PLACES).max() < 0.02  # one crosses the pole


def test_the_error_of_a_place_grows_with_the_years() -> None:
    later = catalog().known_at(2026.0)
    expected = np.array([0.3**2 + (10 * 0.1) ** 2, 0.2**2 + (10 * 0.05) ** 2])
    assert np.diagonal(later.place_covariance[0]) == pytest.approx(expected / 1e6)


def test_a_correlation_with_the_motion_counts() -> None:
    covariance = np.array(catalog().covariance)
    covariance[:, 0, 2] = covariance[:, 2, 0] = -0.5 * 0.3 * 0.1
    at_best = catalog(covariance=covariance).known_at(2016.0 + 0.5 * 0.3 / 0.1)
    assert at_best.place_covariance[0, 0, 0] == pytest.approx(0.75 * 0.3**2 / 1e6)


def test_a_star_of_unknown_motion_is_nowhere_at_another_time() -> None:
    motion = np.array(MOTION)
    motion[1] = np.nan
    assert len(catalog(motion_mas=motion).known_at(2020.0)) == len(MOTION) - 1
    assert len(catalog(motion_mas=motion).known_at(None)) == len(MOTION)


def test_without_a_time_or_a_motion_places_stay() -> None:
    assert catalog().known_at(None).sky.ra.tolist() == PLACES.ra.tolist()
    assert catalog(has_motion=False).known_at(2050.0).sky.dec.tolist() == PLACES.dec.tolist()


def test_years_are_julian() -> None:
    assert julian_year(57388.5) == 2016.0
