"""The TPV form of any WCS: what SWarp and SCAMP read."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from astropy.wcs import WCS

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.celestial import CelestialWcs, TpvSurface
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.domain.plane_surface import N_TPV, TPV_POWERS, TPV_RADIAL
from alignsvc.domain.sky_frame import IcrsFrame
from alignsvc.errors import HeaderError
from alignsvc.numerics.sky.corrected import MAX_ERROR_PX

#: A degree is high enough when it leaves a tenth of what may be left.
_GOAL_PX = MAX_ERROR_PX / 10.0
_MAX_DEGREE = 7
_N_FIT = 24
_N_CHECK = 37


def as_tpv(wcs: CelestialWcs) -> CelestialWcs:
    """Return the WCS as TAN or TPV in ICRS, within 1e-3 px over the chip.

    Parameters
    ----------
    wcs : CelestialWcs
        Any projection, frame and distortion.

    Returns
    -------
    CelestialWcs
        `wcs` itself if it is TAN or TPV in ICRS with the default LONPOLE already; else a TPV about
        the chip's centre, of the lowest degree that will do.

    Raises
    ------
    HeaderError
        No polynomial of degree 7 comes within 1e-3 px (a look-up table with steps, say).
    """
    if _is_plain(wcs):
        return wcs
    start = _about_centre(wcs)
    plane = TangentPlane(*start.terms.crval)
    error_px = math.inf
    for degree in range(1, _MAX_DEGREE + 1):
        fitted = start.with_terms(replace(start.terms, pv=_fit(wcs, start, plane, degree).pv))
        error_px = _difference_px(wcs, fitted)
        if error_px < _GOAL_PX:
            break
    if not error_px < MAX_ERROR_PX:
        raise HeaderError(
            f"WCS in projection {wcs.projection}: as TPV it is off by {error_px:.2g} px, wanted "
            f"{MAX_ERROR_PX:g} px; set output.wcs: copy"
        )
    return fitted


def _is_plain(wcs: CelestialWcs) -> bool:
    return (
        wcs.projection in {"TAN", "TPV"}
        and not wcs.has_sip
        and not wcs.has_tables
        and isinstance(wcs.frame, IcrsFrame)
        and wcs.terms.lonpole == 180.0
        and wcs.longitude_axis == 0
    )


def _about_centre(wcs: CelestialWcs) -> CelestialWcs:
    ny, nx = wcs.shape
    x, y = (nx - 1) / 2.0, (ny - 1) / 2.0
    centre = wcs.centre()
    plane = TangentPlane(float(centre.ra), float(centre.dec))
    around = Points(np.array([x - 0.5, x + 0.5, x, x]), np.array([y, y, y - 0.5, y + 0.5]))
    places = plane.from_sky(wcs.sky_from_pixel(around))
    slope = np.array([np.diff(places.x)[::2], np.diff(places.y)[::2]]) / 3600.0
    new = WCS(naxis=2)
    new.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    new.wcs.crval = [plane.ra_deg, plane.dec_deg]
    new.wcs.crpix = [x + 1.0, y + 1.0]
    new.wcs.cd = slope
    new.wcs.lonpole = 180.0
    new.wcs.radesys = "ICRS"
    return CelestialWcs(new, wcs.shape, TpvSurface.from_pv(()))


def _fit(wcs: CelestialWcs, start: CelestialWcs, plane: TangentPlane, degree: int) -> TpvSurface:
    # Chebyshev-like points hold the corners of the chip down.
    ny, nx = wcs.shape
    nodes = -np.cos(np.pi * (np.arange(_N_FIT) + 0.5) / _N_FIT)
    nodes /= nodes.max()
    grid_x, grid_y = np.meshgrid(nodes * nx / 2.0, nodes * ny / 2.0)
    u, v = grid_x.ravel(), grid_y.ravel()
    cd = start.terms.cd
    xi, eta = cd[0, 0] * u + cd[0, 1] * v, cd[1, 0] * u + cd[1, 1] * v
    goal = plane.from_sky(wcs.sky_from_pixel(Points(u + start.crpix[0], v + start.crpix[1])))
    rows = []
    for own, other, wanted in ((xi, eta, goal.x / 3600.0), (eta, xi, goal.y / 3600.0)):
        rows.append(_row(own, other, wanted, degree))
    return TpvSurface(rows[0], rows[1])


def _row(own: FloatArray, other: FloatArray, wanted: FloatArray, degree: int) -> FloatArray:
    indices = [k for k, p in enumerate(TPV_POWERS) if k not in TPV_RADIAL and sum(p) <= degree]
    size = max(float(np.abs(own).max()), float(np.abs(other).max()))
    columns = [(own / size) ** p * (other / size) ** q for p, q in (TPV_POWERS[k] for k in indices)]
    solution, *_ = np.linalg.lstsq(np.stack(columns, axis=1), wanted, rcond=None)
    row = np.zeros(N_TPV)
    for k, value in zip(indices, solution.tolist(), strict=True):
        row[k] = value / size ** sum(TPV_POWERS[k])
    return row


def _difference_px(wcs: CelestialWcs, other: CelestialWcs) -> float:
    grid = wcs.grid(_N_CHECK)
    wanted = other.virtual_from_sky(wcs.sky_from_pixel(grid))
    given = other.undistorted(grid)
    error = np.hypot(wanted.x - given.x, wanted.y - given.y)
    return float(error.max()) if np.isfinite(error).all() else math.inf
