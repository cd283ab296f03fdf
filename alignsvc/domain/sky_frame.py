"""The celestial frame of a WCS, and the way to ICRS and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from astropy import units
from astropy.coordinates import (
    FK4,
    FK5,
    ICRS,
    BarycentricMeanEcliptic,
    FK4NoETerms,
    Galactic,
    SkyCoord,
)
from astropy.time import Time

from alignsvc.domain.arrays import FloatArray, read_only
from alignsvc.domain.geometry import SkyPoints, from_unit_vectors, unit_vectors


class SkyFrame(Protocol):
    """A frame; its own positions are ``SkyPoints`` too: longitude and latitude, degrees."""

    def to_icrs(self, own: SkyPoints) -> SkyPoints:
        """Return ICRS positions of the frame's own."""
        ...

    def from_icrs(self, icrs: SkyPoints) -> SkyPoints:
        """Return the frame's own positions of ICRS ones."""
        ...


@dataclass(frozen=True, slots=True)
class IcrsFrame:
    """ICRS itself."""

    def to_icrs(self, own: SkyPoints) -> SkyPoints:
        """Return `own` with longitudes in [0, 360)."""
        return SkyPoints(np.mod(own.ra, 360.0), own.dec)

    def from_icrs(self, icrs: SkyPoints) -> SkyPoints:
        """Return `icrs` as it is."""
        return icrs


@dataclass(frozen=True, slots=True, eq=False)
class RotatedFrame:
    """A frame that is one constant rotation away from ICRS.

    Parameters
    ----------
    matrix : float64 array, shape (3, 3)
        Turns the frame's unit vectors into those of ICRS.
    """

    matrix: FloatArray

    def to_icrs(self, own: SkyPoints) -> SkyPoints:
        """Return ICRS positions of the frame's own."""
        return from_unit_vectors(unit_vectors(own) @ self.matrix.T)

    def from_icrs(self, icrs: SkyPoints) -> SkyPoints:
        """Return the frame's own positions of ICRS ones."""
        return from_unit_vectors(unit_vectors(icrs) @ self.matrix)


@dataclass(frozen=True, slots=True, eq=False)
class BesselianFrame:
    """FK4: the elliptic terms of aberration are in it, so that it is not a mere rotation.

    Parameters
    ----------
    equinox_byear : float
        Besselian year; also taken as the epoch of observation.
    """

    equinox_byear: float

    def to_icrs(self, own: SkyPoints) -> SkyPoints:
        """Return ICRS positions of the frame's own."""
        return _transformed(own, self._frame, ICRS())

    def from_icrs(self, icrs: SkyPoints) -> SkyPoints:
        """Return the frame's own positions of ICRS ones."""
        return _transformed(icrs, ICRS(), self._frame)

    @property
    def _frame(self) -> Any:
        return FK4(equinox=Time(self.equinox_byear, format="byear"))


def sky_frame(axis_type: str, radesys: str, equinox: float) -> SkyFrame:
    """Return the frame of a header.

    Parameters
    ----------
    axis_type : str
        First letters of the longitude axis's CTYPE: ``RA``, ``GLON``, ``ELON``.
    radesys : str
        RADESYS; empty if the header has none.
    equinox : float
        Years; NaN if the header has none.

    Raises
    ------
    ValueError
        A frame that is not one of ICRS, FK5, FK4, galactic, ecliptic.

    Notes
    -----
    Defaults of Calabretta & Greisen (2002), section 3.1: without RADESYS, no EQUINOX means ICRS,
    one before 1984 FK4, else FK5.
    """
    if axis_type == "GLON":
        return _rotated(Galactic())
    system = radesys.strip().upper()
    if not system:
        system = "ICRS" if math.isnan(equinox) else ("FK4" if equinox < 1984.0 else "FK5")
    if axis_type == "ELON":
        year = 2000.0 if math.isnan(equinox) else equinox
        return _rotated(BarycentricMeanEcliptic(equinox=Time(year, format="jyear")))
    if axis_type != "RA":
        raise ValueError(f"a WCS in {axis_type!r} is not on the celestial sphere that we know")
    if system == "ICRS":
        return IcrsFrame()
    if system == "FK5":
        year = 2000.0 if math.isnan(equinox) else equinox
        return _rotated(FK5(equinox=Time(year, format="jyear")))
    year = 1950.0 if math.isnan(equinox) else equinox
    if system == "FK4":
        return BesselianFrame(year)
    if system == "FK4-NO-E":
        return _rotated(FK4NoETerms(equinox=Time(year, format="byear")))
    raise ValueError(f"RADESYS = {radesys!r} is none of ICRS, FK5, FK4, FK4-NO-E")


def _rotated(frame: Any) -> RotatedFrame:
    # The columns are the images of the frame's three axes; the nearest rotation (by singular
    # values) takes the rounding away.
    axes = _transformed(
        SkyPoints(np.array([0.0, 90.0, 0.0]), np.array([0.0, 0.0, 90.0])), frame, ICRS()
    )
    u, _, vt = np.linalg.svd(unit_vectors(axes).T)
    return RotatedFrame(read_only(u @ vt))


def _transformed(points: SkyPoints, origin: Any, goal: Any) -> SkyPoints:
    # NaN has no place on the sky: 0 stands in for it on the way.
    lon, lat = np.asarray(points.ra, float), np.asarray(points.dec, float)
    bad = ~(np.isfinite(lon) & np.isfinite(lat))
    moved = SkyCoord(
        np.where(bad, 0.0, lon) * units.deg, np.where(bad, 0.0, lat) * units.deg, frame=origin
    ).transform_to(goal)
    return SkyPoints(
        np.where(bad, np.nan, moved.spherical.lon.deg),
        np.where(bad, np.nan, moved.spherical.lat.deg),
    )
