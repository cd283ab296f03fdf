"""A new WCS from a correction: the only place where the two meet.

A correction is a linear map of a gnomonic plane about a tangent point of its own. A header can
hold a rotation of the sphere (CRVAL, LONPOLE, LATPOLE) and a linear map of its *own* projection
plane, after all distortion. The two agree to second order in the size of the chip times that of
the correction; what a header can hold is fitted to the correction over the chip, and the largest
difference that is left is what `correction_error_px` tells.
"""

from __future__ import annotations

import math

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.celestial import CelestialWcs, PlaneSurface, TpvSurface, WcsTerms
from alignsvc.domain.correction import Correction
from alignsvc.domain.geometry import ARCSEC_PER_RADIAN, Points, SkyPoints, unit_vectors
from alignsvc.errors import HeaderError
from alignsvc.numerics.sky.spherical import (
    best_rotation,
    minimal_rotation,
    native_angles,
    native_to_sky,
)

#: What a written header may differ from its correction, anywhere on the chip.
MAX_ERROR_PX = 1e-3
#: Points along a side of the grid on which the header's terms are fitted, and checked between.
_N_FIT = 7
_N_CHECK = 10
#: Each step shrinks the misfit of CRVAL by the square of the field in radians, or faster.
_MAX_STEPS = 15
_STEP_PX = 1e-9


def corrected(wcs: CelestialWcs, correction: Correction) -> CelestialWcs:
    """Return the WCS of a chip after a correction.

    Parameters
    ----------
    wcs : CelestialWcs
    correction : Correction
        About any tangent point within 90 degrees of the chip.

    Returns
    -------
    CelestialWcs
        In the same frame and projection, with the same CRPIX and distortions. The very same
        object if the correction is the identity.

    Raises
    ------
    HeaderError
        The chip is out of reach of the correction's plane, or the correction stretches the chip
        by more than 1e-3 px and the projection (TNX, ZPX) takes only rigid ones.

    Notes
    -----
    Where nothing follows the CD matrix (TAN, SIP, ZPN, ...) the linear part goes into CD; for TPV
    into its polynomials; TNX and ZPX are turned as a whole, by LONPOLE. `correction_error_px`
    measures how well the result keeps to the correction; this function does not judge that.
    """
    if correction.is_identity:
        return wcs
    grid = wcs.grid(_N_FIT)
    old = wcs.frame.from_icrs(wcs.sky_from_pixel(grid))
    target = _moved(wcs, correction, grid)
    if isinstance(wcs.surface, PlaneSurface):
        _refuse_stretch(wcs, correction)
        return _turned(wcs, best_rotation(old, wcs.frame.from_icrs(target)))
    if _is_round(wcs):
        return _fitted(wcs, wcs, grid, target)
    turned = _turned(wcs, best_rotation(old, wcs.frame.from_icrs(target)))
    return turned if correction.is_rigid else _fitted(wcs, turned, grid, target)


def correction_error_px(old: CelestialWcs, new: CelestialWcs, correction: Correction) -> float:
    """Return how far `new` is from `old` corrected, at worst over the chip's area, in pixels.

    Infinite if some part of the chip has no place on the sky.
    """
    grid = old.grid(_N_CHECK)
    wanted = new.virtual_from_sky(_moved(old, correction, grid))
    given = new.undistorted(grid)
    error = np.hypot(wanted.x - given.x, wanted.y - given.y)
    return float(error.max()) if np.isfinite(error).all() else math.inf


def _moved(wcs: CelestialWcs, correction: Correction, grid: Points) -> SkyPoints:
    plane = correction.plane
    target = plane.to_sky(correction.apply(plane.from_sky(wcs.sky_from_pixel(grid))))
    if not np.isfinite(target.dec).all():
        raise HeaderError(
            f"WCS of a chip of {wcs.shape} pixels: not all of it lies within 90 degrees of the "
            f"correction's tangent point ({plane.ra_deg}, {plane.dec_deg}); "
            "correct it about a point near the chip"
        )
    return target


def _is_round(wcs: CelestialWcs) -> bool:
    # A rotation about the native pole is then a rotation of the plane, so that CD can hold it and
    # LONPOLE may stay. Slanted projections (SZP, SIN with PV) are not round.
    if wcs.projection == "SIN":
        return not any(value for _, _, value in wcs.terms.pv)
    return wcs.projection in {"TAN", "TPV", "STG", "ARC", "ZPN", "ZEA", "AIR"} and _reference(
        wcs
    ) == (0.0, 90.0)


def _reference(wcs: CelestialWcs) -> tuple[float, float]:
    celestial = wcs.wcs.wcs.cel
    return (float(celestial.phi0), float(celestial.theta0))


def _fitted(
    wcs: CelestialWcs, start: CelestialWcs, grid: Points, target: SkyPoints
) -> CelestialWcs:
    """Return `start` with CRVAL and the linear map that best carry `grid` to `target`.

    Gauss-Newton on the residual in undistorted pixels ``q ~ K v + k`` about CRPIX: K goes into the
    linear part, and CRVAL moves to where ``k`` is, until ``k`` vanishes.
    """
    virtual = wcs.undistorted(grid)
    before = np.stack([virtual.x - wcs.crpix[0], virtual.y - wcs.crpix[1]], axis=-1)
    trial = start
    last = math.inf
    for _ in range(_MAX_STEPS):
        places = trial.virtual_from_sky(target)
        after = np.stack([places.x - wcs.crpix[0], places.y - wcs.crpix[1]], axis=-1)
        if not np.isfinite(after).all():
            raise HeaderError(
                f"WCS of a chip of {wcs.shape} pixels: its projection {wcs.projection} does not "
                "reach where the correction puts it; correct it by less"
            )
        stretch, rest = _linear_fit(before, after)
        left = float(np.hypot(*rest))
        # CRPIX far off the chip: `rest` is extrapolated, and rounding sets its floor.
        if left < _STEP_PX or left > last / 2.0:
            break
        last = left
        trial = _recentred(trial, rest)
    return _stretched(trial, stretch)


def _linear_fit(before: FloatArray, after: FloatArray) -> tuple[FloatArray, FloatArray]:
    # About the means, so that a CRPIX far off the chip costs no digits.
    u, v = before.mean(axis=0), after.mean(axis=0)
    solution, *_ = np.linalg.lstsq(before - u, after - v, rcond=None)
    matrix = np.asarray(solution.T, dtype=float)
    return matrix, np.asarray(v - matrix @ u, dtype=float)


def _recentred(wcs: CelestialWcs, offset_px: FloatArray) -> CelestialWcs:
    """Return `wcs` with its reference point moved to `offset_px` from CRPIX."""
    point = np.array([wcs.crpix]) + offset_px
    terms = wcs.terms
    if _is_round(wcs):
        world = wcs.wcs.wcs_pix2world(point, 0)[0]
        latitude = float(world[1 - wcs.longitude_axis])
        crval = (float(world[0]), float(world[1]))
        return wcs.with_terms(WcsTerms(crval, terms.cd, terms.lonpole, latitude, terms.pv))
    native = wcs.wcs.wcs.p2s(point, 0)
    goal = unit_vectors(SkyPoints(native["phi"], native["theta"]))[0]
    phi, theta = _reference(wcs)
    start = unit_vectors(SkyPoints(np.asarray(phi), np.asarray(theta)))
    rotation = native_to_sky(wcs.wcs)
    return _oriented(wcs, rotation @ minimal_rotation(start, goal))


def _stretched(wcs: CelestialWcs, stretch: FloatArray) -> CelestialWcs:
    """Return `wcs` with its projection plane mapped by K, given in pixels about CRPIX."""
    terms = wcs.terms
    if isinstance(wcs.surface, TpvSurface):
        # K acts on undistorted pixels; on the plane that is CD K CD^-1, after the polynomials.
        matrix: FloatArray = terms.cd @ stretch @ np.linalg.inv(terms.cd)
        pv = wcs.surface.mixed(matrix).pv
        return wcs.with_terms(WcsTerms(terms.crval, terms.cd, terms.lonpole, terms.latpole, pv))
    return wcs.with_terms(
        WcsTerms(terms.crval, terms.cd @ stretch, terms.lonpole, terms.latpole, terms.pv)
    )


def _turned(wcs: CelestialWcs, rotation: FloatArray) -> CelestialWcs:
    """Return `wcs` with the sphere rotated, in the frame of the header."""
    return _oriented(wcs, rotation @ native_to_sky(wcs.wcs))


def _oriented(wcs: CelestialWcs, native_rotation: FloatArray) -> CelestialWcs:
    angles = native_angles(native_rotation, _reference(wcs))
    crval = (angles.longitude, angles.latitude)
    if wcs.longitude_axis == 1:
        crval = (angles.latitude, angles.longitude)
    terms = wcs.terms
    return wcs.with_terms(WcsTerms(crval, terms.cd, angles.lonpole, angles.latpole, terms.pv))


def _refuse_stretch(wcs: CelestialWcs, correction: Correction) -> None:
    u, _, vt = np.linalg.svd(correction.matrix)
    stretch = float(np.linalg.norm(correction.matrix - u @ vt, 2))
    displaced_px = stretch * math.hypot(*wcs.shape) / 2.0
    if displaced_px > MAX_ERROR_PX:
        raise HeaderError(
            f"WCS in projection {wcs.projection}: the correction stretches the chip by "
            f"{displaced_px:.2g} px at its corner, and this projection takes only shifts and "
            "rotations; set alignment.geometry: rshift"
        )


def checked_error_px(old: CelestialWcs, new: CelestialWcs, correction: Correction) -> float:
    """Return `correction_error_px` of a WCS that is about to be written.

    Raises
    ------
    HeaderError
        It is above 1e-3 px, apart from what the correction's own plane costs.

    Notes
    -----
    A shift s of a gnomonic plane differs from the rotation of the sky that a pointing error is, by
    ``s r^2 + s^2 r`` at r radians from the chip's centre (to second order, for a tangent point on
    the chip), and a header can hold the rotation only, which is then the truer of the two. That
    much is not held against a header: 5e-4 px for 100 arcsec on a chip of 0.15 degrees.
    """
    error_px = correction_error_px(old, new, correction)
    scale = old.pixel_scale_arcsec
    radius = math.hypot(*old.shape) / 2.0 * scale / ARCSEC_PER_RADIAN
    shift = float(np.hypot(*correction.shift)) / ARCSEC_PER_RADIAN
    curvature_px = (shift * radius**2 + shift**2 * radius) * ARCSEC_PER_RADIAN / scale
    if not error_px <= MAX_ERROR_PX + curvature_px:
        raise HeaderError(
            f"WCS in projection {old.projection}: written, it would differ from its correction by "
            f"{error_px:.2g} px, wanted {MAX_ERROR_PX:g} px; "
            "set alignment.geometry: rshift, or a tangent point on the exposure"
        )
    return error_px
