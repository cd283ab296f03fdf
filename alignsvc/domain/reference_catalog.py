"""Stars of known position and motion on the sky, as a reference catalogue gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import FloatArray, hold_read_only, read_only
from alignsvc.domain.geometry import SkyPoints, from_unit_vectors, unit_vectors

_MAS_PER_RADIAN = float(np.degrees(1.0)) * 3.6e6
_MAS_PER_ARCSEC = 1e3
_DAYS_PER_YEAR = 365.25
_MJD_J2000 = 51544.5


def julian_year(mjd: float) -> float:
    """Return a time as a Julian epoch: MJD 57388.5 is 2016.0."""
    return 2000.0 + (mjd - _MJD_J2000) / _DAYS_PER_YEAR


def moved(sky: SkyPoints, motion_mas: FloatArray, years: FloatArray | float) -> SkyPoints:
    """Return where points are after some years.

    Parameters
    ----------
    sky : SkyPoints, shape (n,)
    motion_mas : array, shape (n, 2)
        Toward east (on the sky: times cos Dec) and north, mas per year.
    years : array, shape (n,), or float

    Notes
    -----
    Along a straight line in space seen from afar: ``p + (e mu_e + n mu_n) t``, as a direction.
    It holds at the poles too. Parallax and radial velocity are left out: 0.001 px for a star
    at 10 kpc, a pixel for the nearest ones, which stand out as moving anyway.
    """
    path = motion_mas.T * np.asarray(years) / _MAS_PER_RADIAN
    return from_unit_vectors(unit_vectors(sky) + np.einsum("kn,nkx->nx", path, _directions(sky)))


def _directions(sky: SkyPoints) -> FloatArray:
    """Return unit vectors toward east and north at each point, shape ``(n, 2, 3)``."""
    ra, dec = np.radians(sky.ra), np.radians(sky.dec)
    east = [-np.sin(ra), np.cos(ra), np.zeros_like(ra)]
    north = [-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)]
    return np.moveaxis(np.array([east, north]), 2, 0)


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceCatalog:
    """Stars with what is known of where they are when: a struct of arrays of one length.

    Parameters
    ----------
    sky : SkyPoints, shape (n,)
        ICRS at each star's own epoch.
    motion_mas : array, shape (n, 2)
        mas per year, as in `moved`; NaN for a star whose motion is not known.
    epoch : array, shape (n,)
        Julian years.
    covariance : array, shape (n, 4, 4)
        Of (east, north, motion east, motion north), mas and mas per year.
    has_motion : bool
        Whether the table tells motions; if not, all are 0 and `epoch` means nothing.
    notes : tuple of str
        What the user should know of the table.
    magnitude : array, shape (n,), or None
        To tell bright stars; NaN where it is not known, None if the table has none.
    """

    sky: SkyPoints
    motion_mas: FloatArray
    epoch: FloatArray
    covariance: FloatArray
    has_motion: bool
    notes: tuple[str, ...] = ()
    magnitude: FloatArray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sky", SkyPoints(*(read_only(c) for c in self.sky)))
        hold_read_only(self, "motion_mas", "epoch", "covariance")
        if self.magnitude is not None:
            object.__setattr__(self, "magnitude", read_only(self.magnitude))

    def __len__(self) -> int:
        return len(self.epoch)

    def select(self, which: NDArray[Any]) -> ReferenceCatalog:
        """Return the stars named by a mask or by indices, in that order."""
        return ReferenceCatalog(
            SkyPoints(self.sky.ra[which], self.sky.dec[which]),
            self.motion_mas[which],
            self.epoch[which],
            self.covariance[which],
            self.has_motion,
            self.notes,
            None if self.magnitude is None else self.magnitude[which],
        )

    def brightest_first(self) -> ReferenceCatalog:
        """Return the catalogue by magnitude; in its own order if it has none."""
        if self.magnitude is None:
            return self
        return self.select(np.argsort(self.magnitude, kind="stable"))  # NaN comes last

    def known_at(self, year: float | None) -> ReferenceCatalog:
        """Return the catalogue at a time: places, and how well they are known there.

        Stars without a motion are left out, as nobody knows where they are at another time.
        Without a time, or in a table without motions, the places stay as they are.
        """
        if year is None or not self.has_motion:
            return self
        known = self.select(np.flatnonzero(np.isfinite(self.motion_mas).all(axis=1)))
        years = year - known.epoch
        there = moved(known.sky, known.motion_mas, years)
        # East and north there are not those here: near a pole a star comes from the other side.
        turn = _directions(there) @ np.swapaxes(_directions(known.sky), 1, 2)
        carry = np.zeros((len(known), 4, 4))
        carry[:, :2, :2] = carry[:, 2:, 2:] = turn
        carry[:, :2, 2:] = turn * years[:, None, None]
        return ReferenceCatalog(
            there,
            (turn @ known.motion_mas[:, :, None])[:, :, 0],
            np.full(len(known), year),
            carry @ known.covariance @ np.swapaxes(carry, 1, 2),
            True,
            self.notes,
            known.magnitude,
        )

    @property
    def place_covariance(self) -> FloatArray:
        """Covariance of (east, north), arcsec^2, shape ``(n, 2, 2)``."""
        return self.covariance[:, :2, :2] / _MAS_PER_ARCSEC**2
