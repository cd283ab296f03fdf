"""The sky cut into cells of nearly equal size, poles and RA 0 like any other place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, IntArray
from alignsvc.domain.geometry import SkyPoints, unit_vectors


@dataclass(frozen=True, slots=True)
class Cap:
    """A round piece of sky: centre (ICRS degrees) and radius (degrees)."""

    ra_deg: float
    dec_deg: float
    radius_deg: float

    def holds(self, sky: SkyPoints) -> BoolArray:
        """Return which points lie in the cap."""
        centre = unit_vectors(SkyPoints(np.array(self.ra_deg), np.array(self.dec_deg)))
        chord = np.linalg.norm(unit_vectors(sky) - centre, axis=-1)
        inside: BoolArray = chord <= 2.0 * math.sin(math.radians(min(self.radius_deg, 180.0)) / 2.0)
        return inside


@dataclass(frozen=True, slots=True, order=True)
class SkyCell:
    """One cell: a band of declination cut along RA.

    Parameters
    ----------
    band, number : int
        Band from the south pole, cell in the band from RA 0.
    of : int
        Cells in the band.
    size_deg : float
        Height of the band, and nearly the width of the cell.
    """

    band: int
    number: int
    of: int
    size_deg: float

    @property
    def dec_limits(self) -> tuple[float, float]:
        """Lowest and highest declination, degrees."""
        low = -90.0 + self.band * self.size_deg
        return low, min(low + self.size_deg, 90.0)

    @property
    def ra_limits(self) -> tuple[float, float]:
        """Lowest and highest right ascension, degrees."""
        return 360.0 * self.number / self.of, 360.0 * (self.number + 1) / self.of

    @property
    def area_arcmin2(self) -> float:
        """Area, square arcmin."""
        low, high = (math.sin(math.radians(limit)) for limit in self.dec_limits)
        return 2.0 * math.pi / self.of * (high - low) * math.degrees(60.0) ** 2


def cells_touching(caps: tuple[Cap, ...], size_deg: float) -> Iterator[SkyCell]:
    """Yield the cells that may reach into any of `caps`, in order, each once."""
    n_bands = math.ceil(180.0 / size_deg)
    found: set[SkyCell] = set()
    for cap in caps:
        # A corner is less than a side from the middle, but for the few wide cells at a pole.
        reach = Cap(cap.ra_deg, cap.dec_deg, cap.radius_deg + size_deg)
        first = math.floor((cap.dec_deg - reach.radius_deg + 90.0) / size_deg)
        last = math.floor((cap.dec_deg + reach.radius_deg + 90.0) / size_deg)
        for band in range(max(0, first), min(n_bands - 1, last) + 1):
            middle_deg = -90.0 + (band + 0.5) * size_deg
            of = max(1, round(360.0 * math.cos(math.radians(middle_deg)) / size_deg))
            numbers = _numbers_near(reach, of)
            ra = (numbers + 0.5) * 360.0 / of
            near = reach.holds(SkyPoints(ra, np.full(len(ra), middle_deg))) | (of <= 8)
            found.update(SkyCell(band, int(k), of, size_deg) for k in numbers[near])
    yield from sorted(found)


def _numbers_near(cap: Cap, of: int) -> IntArray:
    """Return the numbers, of a band with `of` cells, whose RA the cap may reach."""
    # A cap's meridians touch it at asin(sin r / cos dec) from its centre; round a pole, all do.
    room = math.cos(math.radians(cap.dec_deg))
    reach = math.sin(math.radians(min(cap.radius_deg, 90.0)))
    if reach >= room:
        return np.arange(of)
    half_deg = math.degrees(math.asin(reach / room))
    first = math.floor((cap.ra_deg - half_deg) * of / 360.0)
    last = math.floor((cap.ra_deg + half_deg) * of / 360.0)
    return np.unique(np.arange(first, last + 1) % of)


def cell_centres(caps: tuple[Cap, ...], size_deg: float) -> SkyPoints:
    """Return the middles of the cells that may reach into any of `caps`: a lattice."""
    cells = list(cells_touching(caps, size_deg))
    ra = [sum(cell.ra_limits) / 2.0 for cell in cells]
    dec = [sum(cell.dec_limits) / 2.0 for cell in cells]
    return SkyPoints(np.array(ra, float), np.array(dec, float))
