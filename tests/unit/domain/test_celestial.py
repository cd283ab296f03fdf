"""Pixels to ICRS and back, for every convention that a header may use."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS, DistortionLookupTable, Sip
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.domain.celestial import (
    CelestialWcs,
    CrossTerms,
    PlaneSurface,
    SurfaceKind,
    SurfacePolynomial,
    TpvSurface,
    WcsTerms,
)
from alignsvc.domain.geometry import Points, SkyPoints
from alignsvc.domain.plane_surface import TPV_EXCHANGE

SHAPE = (180, 240)
SCALE = 7e-5


def simple_wcs(projection: str = "TAN", crval: tuple[float, float] = (150.0, 2.0)) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.crval = crval
    wcs.wcs.crpix = [110.0, 95.0]
    wcs.wcs.cd = [[-SCALE, 2e-6], [1e-6, SCALE]]
    return wcs


def tpv_header(**extra: float) -> fits.Header:
    header = simple_wcs().to_header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
    header["PV1_1"], header["PV2_1"] = 1.001, 0.999
    header["PV1_4"], header["PV2_5"], header["PV1_11"] = 0.03, -0.02, 0.4
    for keyword, value in extra.items():
        header[keyword] = value
    return header


def bent_by_tables() -> WCS:
    wcs = simple_wcs()
    rng = np.random.default_rng(3)
    for name in ("cpdis1", "cpdis2", "det2im1"):
        data = rng.uniform(-0.4, 0.4, (4, 5)).astype(np.float32)
        table = DistortionLookupTable(data, (1.0, 1.0), (1.0, 1.0), (60.0, 60.0))
        setattr(wcs, name, table)
    return wcs


def bent_by_sip() -> WCS:
    wcs = simple_wcs()
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    a[2, 0], a[1, 1], b[0, 2], b[3, 0] = 2e-5, -1e-5, 3e-5, 1e-7
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    return wcs


def zpn() -> WCS:
    wcs = simple_wcs("ZPN")
    wcs.wcs.set_pv([(2, 1, 1.0), (2, 3, 44.0), (2, 5, -10300.0)])
    wcs.wcs.crpix = [5000.0, -4900.0]
    return wcs


KINDS = {
    "tan": simple_wcs,
    "sip": bent_by_sip,
    "tables": bent_by_tables,
    "tpv": lambda: WCS(tpv_header()),
    "zpn": zpn,
}


@pytest.fixture(params=sorted(KINDS))
def astropy_wcs(request: pytest.FixtureRequest) -> WCS:
    return KINDS[request.param]()


def test_sky_positions_are_those_of_astropy(astropy_wcs: WCS) -> None:
    wcs = CelestialWcs(astropy_wcs, SHAPE)
    grid = wcs.grid(6)
    sky = wcs.sky_from_pixel(grid)
    expected = astropy_wcs.all_pix2world(np.stack(grid, axis=-1), 0)
    np.testing.assert_allclose(np.stack(sky, axis=-1), expected, rtol=0, atol=1e-13)


def test_a_pixel_comes_back_from_the_sky(astropy_wcs: WCS) -> None:
    wcs = CelestialWcs(astropy_wcs, SHAPE)
    grid = wcs.grid(6)
    back = wcs.pixel_from_sky(wcs.sky_from_pixel(grid))
    np.testing.assert_allclose(np.stack(back), np.stack(grid), atol=2e-8)


def test_the_shape_of_the_points_is_kept(astropy_wcs: WCS) -> None:
    wcs = CelestialWcs(astropy_wcs, SHAPE)
    for shape in ((), (0,), (2, 3)):
        sky = wcs.sky_from_pixel(Points(np.full(shape, 3.0), np.full(shape, 4.0)))
        assert sky.ra.shape == shape
        assert wcs.pixel_from_sky(sky).y.shape == shape


def test_the_other_side_of_the_sky_has_no_pixel(astropy_wcs: WCS) -> None:
    wcs = CelestialWcs(astropy_wcs, SHAPE)
    centre = wcs.centre()
    far = SkyPoints(np.array([centre.ra + 180.0, np.nan]), np.array([-centre.dec, 0.0]))
    pixel = wcs.pixel_from_sky(far)
    assert np.isnan(pixel.x).all() and np.isnan(pixel.y).all()


def test_a_point_where_sip_has_no_inverse_is_nan_and_its_neighbours_are_not() -> None:
    wcs = CelestialWcs(bent_by_sip(), SHAPE)
    near = wcs.sky_from_pixel(Points(np.array([5.0]), np.array([7.0])))
    points = SkyPoints(np.append(near.ra, near.ra + 60.0), np.append(near.dec, near.dec))
    pixel = wcs.pixel_from_sky(points)
    assert pixel.x[0] == pytest.approx(5.0, abs=1e-9)
    assert np.isnan(pixel.x[1])


def test_a_copy_and_a_pickle_say_the_same_to_the_last_bit(astropy_wcs: WCS) -> None:
    wcs = CelestialWcs(astropy_wcs, SHAPE)
    sky = wcs.sky_from_pixel(wcs.grid(4))
    pickled = pickle.loads(pickle.dumps(wcs))  # noqa: S301
    for twin in (pickled, copy.deepcopy(wcs), wcs.with_terms(wcs.terms)):
        assert twin.wcs is not wcs.wcs
        again = twin.sky_from_pixel(wcs.grid(4))
        assert np.array_equal(again.ra, sky.ra) and np.array_equal(again.dec, sky.dec)
        assert twin.projection == wcs.projection
        assert (twin.has_sip, twin.has_tables) == (wcs.has_sip, wcs.has_tables)


def test_changing_the_given_wcs_afterwards_changes_nothing() -> None:
    given_wcs = bent_by_tables()
    wcs = CelestialWcs(given_wcs, SHAPE)
    before = wcs.sky_from_pixel(wcs.grid(3))
    given_wcs.wcs.crval = [10.0, 20.0]
    given_wcs.cpdis1.data[:] = 0.0
    np.testing.assert_array_equal(wcs.sky_from_pixel(wcs.grid(3)).ra, before.ra)


@pytest.mark.parametrize(("first_x", "expected"), [(-SCALE, -1), (SCALE, 1)])
def test_parity_is_negative_for_the_usual_east_left_chip(first_x: float, expected: int) -> None:
    astropy_wcs = simple_wcs()
    astropy_wcs.wcs.cd = [[first_x, 0.0], [0.0, SCALE]]
    wcs = CelestialWcs(astropy_wcs, SHAPE)
    assert wcs.parity == expected
    assert wcs.pixel_scale_arcsec == pytest.approx(SCALE * 3600.0, rel=1e-4)


def test_the_order_of_the_axes_does_not_matter() -> None:
    usual = simple_wcs()
    swapped = WCS(naxis=2)
    swapped.wcs.ctype = ["DEC--TAN", "RA---TAN"]
    swapped.wcs.crval = usual.wcs.crval[::-1]
    swapped.wcs.crpix = usual.wcs.crpix
    swapped.wcs.cd = usual.wcs.cd[::-1]
    first, second = CelestialWcs(usual, SHAPE), CelestialWcs(swapped, SHAPE)
    grid = first.grid(4)
    np.testing.assert_allclose(
        np.stack(second.sky_from_pixel(grid)), np.stack(first.sky_from_pixel(grid)), atol=1e-12
    )
    back = second.pixel_from_sky(first.sky_from_pixel(grid))
    np.testing.assert_allclose(back.x, grid.x, atol=1e-8)


FRAMES = {
    "galactic": (["GLON-TAN", "GLAT-TAN"], "", np.nan, "galactic"),
    "fk5_1975": (["RA---TAN", "DEC--TAN"], "FK5", 1975.0, "fk5"),
    "fk4": (["RA---TAN", "DEC--TAN"], "FK4", 1950.0, "fk4"),
    "ecliptic": (["ELON-TAN", "ELAT-TAN"], "", np.nan, "barycentricmeanecliptic"),
}


@pytest.mark.parametrize("name", sorted(FRAMES))
def test_positions_are_icrs_whatever_the_frame_of_the_header(name: str) -> None:
    ctype, radesys, equinox, frame = FRAMES[name]
    astropy_wcs = simple_wcs()
    astropy_wcs.wcs.ctype = ctype
    astropy_wcs.wcs.radesys = radesys
    if np.isfinite(equinox):
        astropy_wcs.wcs.equinox = equinox
    wcs = CelestialWcs(astropy_wcs, SHAPE)
    grid = wcs.grid(3)
    own = astropy_wcs.wcs_pix2world(np.stack(grid, axis=-1), 0)
    extra = {"equinox": f"{'B' if name == 'fk4' else 'J'}{equinox}"} if radesys else {}
    icrs = SkyCoord(own * units.deg, frame=frame, **extra).icrs
    sky = wcs.sky_from_pixel(grid)
    np.testing.assert_allclose(sky.ra, icrs.ra.deg, atol=1e-11)
    np.testing.assert_allclose(sky.dec, icrs.dec.deg, atol=1e-11)
    np.testing.assert_allclose(wcs.pixel_from_sky(sky).x, grid.x, atol=1e-6)


def test_an_absent_first_tpv_term_is_one() -> None:
    surface = TpvSurface.from_pv(((1, 4, 0.1),))
    moved = surface.distorted(Points(np.array([0.5]), np.array([0.25])))
    assert moved.x[0] == pytest.approx(0.5 + 0.1 * 0.25)
    assert moved.y[0] == 0.25


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.floats(-1, 1), min_size=80, max_size=80),
    st.lists(st.floats(-1, 1), min_size=4, max_size=4),
)
def test_mixing_tpv_rows_is_a_matrix_after_the_polynomials(
    numbers: list[float], matrix: list[float]
) -> None:
    surface = TpvSurface(np.array(numbers[:40]), np.array(numbers[40:]))
    m = np.array(matrix).reshape(2, 2)
    plane = Points(np.array([0.3, -0.7]), np.array([0.9, 0.2]))
    before, after = surface.distorted(plane), surface.mixed(m).distorted(plane)
    np.testing.assert_allclose(np.stack(after), m @ np.stack(before), atol=1e-12)


def test_the_exchange_of_tpv_axes_is_the_published_one() -> None:
    assert (TPV_EXCHANGE[1], TPV_EXCHANGE[4], TPV_EXCHANGE[7], TPV_EXCHANGE[8]) == (2, 6, 10, 9)
    assert all(TPV_EXCHANGE[TPV_EXCHANGE[k]] == k for k in range(40))


@pytest.mark.parametrize("kind", list(SurfaceKind))
def test_a_surface_is_the_sum_of_its_basis(kind: SurfaceKind) -> None:
    basis = {
        SurfaceKind.CHEBYSHEV: np.polynomial.chebyshev.chebval2d,
        SurfaceKind.LEGENDRE: np.polynomial.legendre.legval2d,
        SurfaceKind.POLYNOMIAL: np.polynomial.polynomial.polyval2d,
    }[kind]
    coefficients = np.arange(1.0, 13.0)
    surface = SurfacePolynomial(kind, 3, 4, CrossTerms.FULL, (-2.0, 4.0), (1.0, 3.0), coefficients)
    xi, eta = np.array([0.1, 3.0]), np.array([1.5, 2.8])
    plain = kind is SurfaceKind.POLYNOMIAL
    x, y = (xi, eta) if plain else ((xi - 1.0) / 3.0, eta - 2.0)
    np.testing.assert_allclose(surface(xi, eta), basis(x, y, coefficients.reshape(4, 3).T))


@pytest.mark.parametrize(
    ("cross", "orders", "count"),
    [("NONE", (3, 2), 4), ("FULL", (3, 2), 6), ("HALF", (4, 4), 10), ("HALF", (2, 4), 7)],
)
def test_the_cross_terms_decide_how_many_coefficients_there_are(
    cross: str, orders: tuple[int, int], count: int
) -> None:
    args = (SurfaceKind.CHEBYSHEV, *orders, CrossTerms[cross], (0.0, 1.0), (0.0, 1.0))
    assert len(SurfacePolynomial(*args, np.ones(count)).terms) == count
    with pytest.raises(ValueError, match=f"need {count}"):
        SurfacePolynomial(*args, np.ones(count + 1))


def test_a_plane_surface_bends_the_plane_and_is_inverted() -> None:
    lng = SurfacePolynomial(
        SurfaceKind.CHEBYSHEV,
        2,
        3,
        CrossTerms.HALF,
        (-0.02, 0.02),
        (-0.02, 0.02),
        1e-3 * np.ones(5),
    )
    wcs = CelestialWcs(simple_wcs(), SHAPE, PlaneSurface(lng, None))
    flat = CelestialWcs(simple_wcs(), SHAPE)
    assert (wcs.projection, flat.projection) == ("TNX", "TAN")
    grid = wcs.grid(5)
    moved = flat.virtual_from_sky(wcs.sky_from_pixel(grid))
    assert np.hypot(moved.x - grid.x, moved.y - grid.y).max() > 5.0
    np.testing.assert_allclose(wcs.pixel_from_sky(wcs.sky_from_pixel(grid)).x, grid.x, atol=1e-8)


def test_a_surface_that_nobody_parsed_is_refused() -> None:
    header = simple_wcs().to_header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TNX", "DEC--TNX"
    header["WAT1_001"] = 'wtype=tnx axtype=ra lngcor = "3. 2. 2. 2. -1. 1. -1. 1. 0. 1E-3 1E-3 "'
    header["WAT2_001"] = 'wtype=tnx axtype=dec latcor = "3. 2. 2. 2. -1. 1. -1. 1. 0. 1E-3 1E-3 "'
    with pytest.raises(ValueError, match="PlaneSurface"):
        CelestialWcs(WCS(header), SHAPE)


def test_two_celestial_axes_are_needed() -> None:
    with pytest.raises(ValueError, match="two celestial"):
        CelestialWcs(WCS(naxis=2), SHAPE)
    with pytest.raises(ValueError, match="invertible"):
        WcsTerms((0.0, 0.0), np.zeros((2, 2)), 180.0, 0.0)
