"""Headers that are wrong by a known linear map of the tangent plane."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.celestial import CelestialWcs, TpvSurface, WcsTerms
from alignsvc.domain.correction import rotation_matrix
from alignsvc.domain.geometry import Points, SkyPoints, TangentPlane
from alignsvc.simulation.optics import Header
from alignsvc.simulation.settings import GrossError, HeaderErrorSettings


@dataclass(frozen=True, slots=True, eq=False)
class HeaderError:
    """What is done to the true WCS of an exposure to give the header's.

    Parameters
    ----------
    shift_arcsec : float64, shape (2,)
        (east, north) by which CRVAL is moved.
    matrix : float64, shape (2, 2)
        Map of the projection plane about CRVAL, acting on (east, north).
    """

    shift_arcsec: FloatArray
    matrix: FloatArray


def draw_error(
    settings: HeaderErrorSettings, scale_arcsec: float, generator: np.random.Generator
) -> HeaderError:
    """Return a random error for a camera with pixels of `scale_arcsec`."""
    length = generator.uniform(*settings.shift_px) * scale_arcsec
    direction = generator.uniform(0.0, 2.0 * math.pi)
    turn, stretch, lean = generator.normal(0.0, 1.0, 3)
    rotation_deg = turn * settings.rotation_deg
    skew = lean * settings.skew
    stretched = (1.0 + stretch * settings.scale) * np.array([[1.0, skew], [0.0, 1.0]])
    return HeaderError(
        shift_arcsec=length * np.array([math.sin(direction), math.cos(direction)]),
        matrix=rotation_matrix(rotation_deg) @ stretched,
    )


def with_gross(error: HeaderError, gross: Iterable[GrossError], scale_arcsec: float) -> HeaderError:
    """Return `error` with gross errors of the same exposure on top of it."""
    for one in gross:
        mirror = np.diag([-1.0 if one.is_mirrored else 1.0, 1.0])
        error = HeaderError(
            error.shift_arcsec + scale_arcsec * np.array(one.shift_px),
            rotation_matrix(one.rotation_deg) @ mirror @ error.matrix,
        )
    return error


def with_chip(error: HeaderError, wcs: CelestialWcs, lacking_px: FloatArray) -> HeaderError:
    """Return `error` of a chip whose header lacks a shift (x, y) in its own pixels besides.

    Parameters
    ----------
    error : HeaderError
        Of the exposure.
    wcs : CelestialWcs
        The chip's true one.
    lacking_px : array, shape (2,)
    """
    lacking_arcsec = 3600.0 * wcs.terms.cd @ lacking_px
    return HeaderError(error.shift_arcsec - lacking_arcsec, error.matrix)


def misaligned(header: Header, wcs: CelestialWcs, error: HeaderError) -> Header:
    """Return `header` with `error` in it, exactly.

    Parameters
    ----------
    header : Header
        The true one: TAN, TAN-SIP or TPV, ICRS, longitude first.
    wcs : CelestialWcs
        What it says.
    error : HeaderError

    Notes
    -----
    The camera as a whole moves over the sky: CRVAL goes along the shift, the axes are carried
    in parallel (at a pole the meridians turn under them), then the plane is mapped by the
    matrix. What stands between the matrix and the sky is the projection alone, so that TAN
    and SIP take the matrix in CD, and TPV takes it in its two polynomials.
    """
    terms = wcs.terms
    plane = TangentPlane(*terms.crval)
    east, north = error.shift_arcsec
    steps = plane.to_sky(Points(np.array([east, east]), np.array([north, north + 1.0])))
    crval = (float(steps.ra[0]), float(steps.dec[0]))
    onward = TangentPlane(*crval).from_sky(SkyPoints(steps.ra[1:], steps.dec[1:]))
    convergence_deg = math.degrees(math.atan2(float(onward.x[0]), float(onward.y[0])))
    matrix: FloatArray = rotation_matrix(convergence_deg) @ error.matrix
    if isinstance(wcs.surface, TpvSurface):
        pv = wcs.surface.mixed(matrix).pv
        return with_terms(header, WcsTerms(crval, terms.cd, terms.lonpole, terms.latpole, pv))
    cd: FloatArray = matrix @ terms.cd
    return with_terms(header, WcsTerms(crval, cd, terms.lonpole, terms.latpole, terms.pv))


def with_terms(header: Header, terms: WcsTerms) -> Header:
    """Return `header` with CRVAL, CD and PV of `terms`; cards that it lacks are appended."""
    new = {
        "CRVAL1": terms.crval[0],
        "CRVAL2": terms.crval[1],
        **{f"CD{i + 1}_{j + 1}": float(terms.cd[i, j]) for i in (0, 1) for j in (0, 1)},
        **{f"PV{axis}_{m}": value for axis, m, value in terms.pv},
    }
    kept = tuple((key, new.pop(key, value)) for key, value in header)
    return (*kept, *new.items())
