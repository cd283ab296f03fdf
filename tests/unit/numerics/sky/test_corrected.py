"""A correction becomes terms of a header: what is exact, what is not, and what is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from astropy.wcs import WCS, Sip
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alignsvc.domain.celestial import (
    CelestialWcs,
    CrossTerms,
    PlaneSurface,
    SurfaceKind,
    SurfacePolynomial,
    TpvSurface,
)
from alignsvc.domain.correction import Correction, Geometry, rotation_matrix
from alignsvc.domain.geometry import (
    Points,
    SkyPoints,
    TangentPlane,
    from_unit_vectors,
    unit_vectors,
)
from alignsvc.errors import HeaderError
from alignsvc.numerics.sky.corrected import checked_error_px, corrected, correction_error_px
from alignsvc.numerics.sky.spherical import best_rotation, native_angles, native_to_sky
from alignsvc.numerics.sky.tpv import as_tpv

SHAPE = (400, 300)
SCALE = 7e-5


@dataclass(frozen=True)
class Sky:
    """A header to be made: where it points and how."""

    projection: str = "TAN"
    crval: tuple[float, float] = (150.0, 22.0)
    axes: tuple[str, str] = ("RA--", "DEC-")
    crpix: tuple[float, float] = (130.0, 220.0)
    lonpole: float | None = None
    pv: tuple[tuple[int, int, float], ...] = ()

    def wcs(self) -> WCS:
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = [f"{axis}-{self.projection}" for axis in self.axes]
        wcs.wcs.crval = self.crval
        wcs.wcs.crpix = self.crpix
        wcs.wcs.cd = [[-SCALE, 3e-6], [4e-6, SCALE]]
        if self.lonpole is not None:
            wcs.wcs.lonpole = self.lonpole
        if self.pv:
            wcs.wcs.set_pv(list(self.pv))
        return wcs

    def celestial(self) -> CelestialWcs:
        return CelestialWcs(self.wcs(), SHAPE)


def with_sip(wcs: WCS) -> WCS:
    a, b = np.zeros((3, 3)), np.zeros((3, 3))
    a[2, 0], a[1, 1], b[0, 2] = 2e-5, -1e-5, 3e-5
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    return wcs


def with_tpv(wcs: WCS) -> CelestialWcs:
    pv = ((1, 0, 1e-3), (1, 1, 1.01), (1, 2, 0.02), (1, 4, 0.05), (1, 7, 0.1), (1, 11, 0.2))
    pv += ((2, 1, 0.99), (2, 5, -0.04), (2, 8, 0.3), (2, 12, 0.2))
    return CelestialWcs(wcs, SHAPE, TpvSurface.from_pv(pv))


def with_surface(wcs: WCS) -> CelestialWcs:
    half = (-0.02, 0.02)
    bent = SurfacePolynomial(
        SurfaceKind.LEGENDRE, 3, 3, CrossTerms.HALF, half, half, 1e-5 * np.arange(1.0, 7.0)
    )
    return CelestialWcs(wcs, SHAPE, PlaneSurface(bent, bent))


ZPN = Sky(
    "ZPN", (36.5, -4.6), crpix=(5274.8, -4915.5), pv=((2, 1, 1.0), (2, 3, 44.0), (2, 5, -1e4))
)

CHIPS = {
    "tan": Sky().celestial(),
    "tan with a lonpole of its own": Sky(lonpole=33.0).celestial(),
    "reference point far off the chip": Sky(crpix=(4000.0, -3000.0)).celestial(),
    "north pole on the chip": Sky(crval=(77.0, 89.9999)).celestial(),
    "reference point at the pole": Sky(crval=(10.0, 90.0)).celestial(),
    "right ascension 0 on the chip": Sky(crval=(359.9999, -30.0)).celestial(),
    "galactic": Sky(axes=("GLON", "GLAT")).celestial(),
    "declination first": Sky(axes=("DEC-", "RA--"), crval=(22.0, 150.0)).celestial(),
    "sip": CelestialWcs(with_sip(Sky().wcs()), SHAPE),
    "tpv": with_tpv(Sky().wcs()),
    "arc": Sky("ARC").celestial(),
    "zpn": ZPN.celestial(),
    "tnx": with_surface(Sky().wcs()),
    "tnx at the pole": with_surface(Sky(crval=(10.0, 89.9999)).wcs()),
    "car": Sky("CAR", (150.0, 0.0)).celestial(),
    "car off its equator": Sky("CAR", (150.0, 22.0), lonpole=0.0).celestial(),
    "cea": Sky("CEA", (150.0, 10.0)).celestial(),
}
#: Projections that take a linear map as well as a rotation, and how well.
LINEAR = {name: 1e-6 for name in CHIPS if name not in {"tnx", "tnx at the pole", "zpn", "arc"}} | {
    "zpn": 1e-3,
    "arc": 1e-4,
}
LINEAR |= {"car": 1e-4, "car off its equator": 1e-4, "cea": 1e-4}


def plane_near(wcs: CelestialWcs, north_deg: float = 0.0) -> TangentPlane:
    centre = wcs.centre()
    moved = TangentPlane(float(centre.ra), float(centre.dec)).to_sky(
        Points(np.array(0.0), np.array(north_deg * 3600.0))
    )
    return TangentPlane(float(moved.ra), float(moved.dec))


def correction(
    plane: TangentPlane,
    rotation_deg: float = 0.0,
    shift: tuple[float, float] = (0.0, 0.0),
    stretch: tuple[float, float, float] = (1.0, 1.0, 0.0),
) -> Correction:
    sx, sy, skew = stretch
    matrix = rotation_matrix(rotation_deg) @ np.array([[sx, sx * math.tan(skew)], [0.0, sy]])
    return Correction(plane, matrix, np.array(shift), Geometry.GENERAL, np.zeros((6, 6)))


@pytest.fixture(params=sorted(CHIPS))
def chip(request: pytest.FixtureRequest) -> CelestialWcs:
    return CHIPS[request.param]


def difference_px(first: CelestialWcs, second: CelestialWcs) -> float:
    grid = first.grid(5)
    back = second.pixel_from_sky(first.sky_from_pixel(grid))
    return float(np.hypot(back.x - grid.x, back.y - grid.y).max())


def test_the_identity_gives_the_same_object(chip: CelestialWcs) -> None:
    same = Correction.identity(plane_near(chip), Geometry.SHIFT)
    assert corrected(chip, same) is chip
    # What is left is the rounding of positions on the sky and of the ZPN's own inverse.
    assert correction_error_px(chip, chip, same) < 2e-8


def test_a_shift_and_rotation_is_exact_in_every_projection(chip: CelestialWcs) -> None:
    rigid = correction(plane_near(chip), 0.01, (0.1, -0.07))
    assert correction_error_px(chip, corrected(chip, rigid), rigid) < 1e-6


def test_a_shift_and_rotation_about_a_point_off_the_chip_is_as_good(chip: CelestialWcs) -> None:
    rigid = correction(plane_near(chip, 0.3), 0.01, (0.1, -0.07))
    # A shift of a plane is not quite rigid 0.3 degrees from its tangent point: 2e-9 of scale,
    # which a matrix can hold and a pure rotation cannot.
    limit_px = 1e-6 if chip.projection in {"TAN", "TPV", "ARC", "ZPN"} else 5e-6
    assert correction_error_px(chip, corrected(chip, rigid), rigid) < limit_px


def test_a_rotation_of_the_sphere_is_exact_however_large(chip: CelestialWcs) -> None:
    # Two planes, before and after: the correction about the first that the rotation looks like
    # is not linear, so the rotation itself is compared.
    grid = chip.grid(4)
    rigid = correction(plane_near(chip), 25.0)
    new = corrected(chip, rigid)
    old_sky, new_sky = chip.sky_from_pixel(grid), new.sky_from_pixel(grid)
    carried = unit_vectors(old_sky) @ best_rotation(old_sky, new_sky).T
    np.testing.assert_allclose(carried, unit_vectors(new_sky), atol=1e-12)


@pytest.mark.parametrize("name", sorted(LINEAR))
def test_a_linear_correction_is_written_in_the_projection_s_own_plane(name: str) -> None:
    chip = CHIPS[name]
    linear = correction(plane_near(chip), 0.004, (0.1, 0.1), (1 + 8e-5, 1 - 3e-5, 2e-5))
    assert correction_error_px(chip, corrected(chip, linear), linear) < LINEAR[name]


def test_a_large_rotation_needs_no_small_angles(chip: CelestialWcs) -> None:
    turn = correction(plane_near(chip), 140.0, (0.1, 0.1))
    assert correction_error_px(chip, corrected(chip, turn), turn) < 1e-6


def test_a_shift_of_degrees_is_off_by_the_curvature_of_the_plane_only(chip: CelestialWcs) -> None:
    far = correction(plane_near(chip), 0.0, (5400.0, -3600.0))
    new = corrected(chip, far)
    radius = math.radians(SCALE * math.hypot(*SHAPE) / 2.0)
    shift = math.radians(math.hypot(5400.0, 3600.0) / 3600.0)
    second_order_px = (shift * radius**2 + shift**2 * radius) / math.radians(SCALE)
    assert correction_error_px(chip, new, far) < second_order_px
    assert checked_error_px(chip, new, far) < second_order_px


def test_crpix_distortions_and_projection_are_left_alone(chip: CelestialWcs) -> None:
    new = corrected(chip, correction(plane_near(chip), 0.01, (0.3, 0.2)))
    assert new.crpix == chip.crpix
    assert new.projection == chip.projection
    assert (new.has_sip, new.has_distortion) == (chip.has_sip, chip.has_distortion)
    assert new.shape == chip.shape


@pytest.mark.parametrize("name", ["tan", "sip", "zpn", "tpv"])
def test_lonpole_stays_where_a_matrix_can_hold_the_rotation(name: str) -> None:
    chip = CHIPS[name]
    new = corrected(chip, correction(plane_near(chip), 0.5, (3.0, 2.0)))
    assert new.terms.lonpole == chip.terms.lonpole
    assert np.array_equal(new.terms.cd, chip.terms.cd) == (name == "tpv")


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from(["tan", "sip", "tpv", "north pole on the chip", "galactic", "arc", "car"]),
    st.floats(-0.05, 0.05),
    st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
    st.tuples(st.floats(1 - 1e-4, 1 + 1e-4), st.floats(1 - 1e-4, 1 + 1e-4), st.floats(-1e-4, 1e-4)),
)
@example("car", 0.0, (1.0, 0.0), (0.9999, 0.9999, 0.0))
def test_a_correction_and_its_inverse_cancel_or_it_is_refused(
    name: str,
    rotation_deg: float,
    shift: tuple[float, float],
    stretch: tuple[float, float, float],
) -> None:
    chip = CHIPS[name]
    there = correction(plane_near(chip), rotation_deg, shift, stretch)
    moved = corrected(chip, there)
    if correction_error_px(chip, moved, there) > 1e-3:
        # A stretch about the equator of a cylindrical projection: LONPOLE loses its hold there.
        assert name == "car"
        with pytest.raises(HeaderError):
            checked_error_px(chip, moved, there)
        return
    # What is left is what each of the two headers cannot hold, and no more.
    back = corrected(moved, there.inverse())
    held = correction_error_px(chip, moved, there) + correction_error_px(
        moved, back, there.inverse()
    )
    assert difference_px(chip, back) < 1.01 * held + 1e-6


@settings(deadline=None, max_examples=20)
@given(
    st.sampled_from(["tan", "tpv", "declination first", "right ascension 0 on the chip"]),
    st.floats(-0.5, 0.5),
    st.floats(-0.5, 0.5),
    st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
)
def test_one_correction_after_another_is_their_composition(
    name: str, first_deg: float, second_deg: float, shift: tuple[float, float]
) -> None:
    chip = CHIPS[name]
    plane = plane_near(chip)
    first = correction(plane, first_deg, shift, (1 + 1e-5, 1.0, 0.0))
    second = correction(plane, second_deg, (shift[1], -shift[0]))
    in_steps = corrected(corrected(chip, first), second)
    at_once = corrected(chip, second.after(first))
    assert difference_px(in_steps, at_once) < 1e-5


def test_the_sky_moves_as_the_correction_says() -> None:
    chip = CHIPS["tan"]
    plane = plane_near(chip)
    new = corrected(chip, correction(plane, 0.0, (2.0, 1.0)))
    here = chip.centre()
    there = plane.from_sky(new.centre())
    before = plane.from_sky(SkyPoints(here.ra, here.dec))
    assert float(there.x - before.x) == pytest.approx(2.0, abs=1e-6)
    assert float(there.y - before.y) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", ["tnx", "tnx at the pole"])
def test_a_surface_takes_no_stretch(name: str) -> None:
    chip = CHIPS[name]
    with pytest.raises(HeaderError, match="rshift"):
        corrected(chip, correction(plane_near(chip), 0.0, (0.0, 0.0), (1 + 1e-4, 1.0, 0.0)))
    # A stretch that moves no pixel by 1e-3 px is dropped.
    corrected(chip, correction(plane_near(chip), 0.0, (0.1, 0.0), (1 + 1e-7, 1.0, 0.0)))


def test_a_plane_on_the_other_side_of_the_sky_is_refused() -> None:
    chip = CHIPS["tan"]
    with pytest.raises(HeaderError, match="90 degrees"):
        corrected(chip, correction(TangentPlane(330.0, -22.0), 0.1))


def test_a_header_that_cannot_follow_is_refused_before_it_is_written() -> None:
    wide = Sky("ZPN", pv=((2, 1, 1.0), (2, 3, 4000.0)), crpix=(3000.0, 200.0)).celestial()
    stretch = correction(plane_near(wide), 0.0, (0.0, 0.0), (1.02, 0.98, 0.01))
    new = corrected(wide, stretch)
    assert correction_error_px(wide, new, stretch) > 1e-3
    with pytest.raises(HeaderError, match="differ from its correction"):
        checked_error_px(wide, new, stretch)


def test_a_correction_asks_the_header_for_a_hundred_places_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes a millisecond, where an exposure has a hundred chips."""
    chip = CHIPS["tpv"]
    change = correction(plane_near(chip), 0.01, (0.1, 0.1), (1 + 1e-5, 1.0, 0.0))
    asked: list[int] = []
    for name, axis in (("sky_from_pixel", "x"), ("pixel_from_sky", "ra")):
        convert = getattr(CelestialWcs, name)

        def counted(
            wcs: CelestialWcs, at: Points | SkyPoints, convert: Any = convert, axis: str = axis
        ) -> Any:
            asked.append(np.size(getattr(at, axis)))
            return convert(wcs, at)

        monkeypatch.setattr(CelestialWcs, name, counted)
    corrected(chip, change)
    assert 0 < sum(asked) < 200


def test_the_inputs_are_unchanged(chip: CelestialWcs) -> None:
    before = chip.sky_from_pixel(chip.grid(3))
    corrected(chip, correction(plane_near(chip), 0.1, (1.0, 1.0)))
    after = chip.sky_from_pixel(chip.grid(3))
    assert np.array_equal(before.ra, after.ra) and np.array_equal(before.dec, after.dec)


def test_the_angles_of_an_orientation_give_it_back(chip: CelestialWcs) -> None:
    rotation = native_to_sky(chip.wcs)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)
    celestial = chip.wcs.wcs.cel
    angles = native_angles(rotation, (celestial.phi0, celestial.theta0))
    crval = (angles.longitude, angles.latitude)
    again = chip.with_terms(
        replace(
            chip.terms,
            crval=crval[::-1] if chip.longitude_axis else crval,
            lonpole=angles.lonpole,
            latpole=angles.latpole,
        )
    )
    np.testing.assert_allclose(native_to_sky(again.wcs), rotation, atol=1e-14)


def test_the_best_rotation_of_a_tiny_field_is_known_to_a_millionth_of_its_size() -> None:
    plane = TangentPlane(200.0, 70.0)
    old = plane.to_sky(Points(np.array([-1.0, 1.0, 1.0, -1.0]), np.array([-1.0, -1.0, 1.0, 1.0])))
    turned = rotation_matrix(33.0) @ np.array([[-1.0, 1.0, 1.0, -1.0], [-1.0, -1.0, 1.0, 1.0]])
    new = plane.to_sky(Points(turned[0], turned[1]))
    carried = best_rotation(old, new)
    found = plane.from_sky(from_unit_vectors(unit_vectors(old) @ carried.T))
    np.testing.assert_allclose(np.stack(found), turned, atol=1e-8)


@pytest.mark.parametrize("name", sorted(CHIPS))
def test_every_wcs_can_be_said_as_tpv(name: str) -> None:
    chip = CHIPS[name]
    plain = as_tpv(chip)
    assert plain.projection in {"TAN", "TPV"}
    assert difference_px(chip, plain) < 1e-3
    if name in {"tan", "tpv"}:
        assert plain is chip
