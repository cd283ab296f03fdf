"""Where each exposure lies on the sky, for maps: kept with the run, so that a map reads no input.

Nothing of a run depends on it. A run that an earlier version began has none; its maps are empty
then, and say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.geometry import Points, SkyPoints, TangentPlane, middle_of
from alignsvc.errors import DamagedProduct
from alignsvc.io.locations import TABLES
from alignsvc.io.objects import ObjectStore
from alignsvc.io.tables import read_table, write_table
from alignsvc.numerics.sky.footprints import POINTS_PER_SIDE, footprint
from alignsvc.run.planning.plan import Plan, PlannedExposure

#: Name of the table.
OUTLINES = f"{TABLES}outlines.npz"
#: Chips of an exposure that are drawn one by one; of more, the hull of all: a map of thousands of
#: cameras of sixty chips would be all lines.
_CHIPS_DRAWN = 4
#: Of the points along a side so many are drawn: bulges of a distorted edge do not show on a map.
_EVERY = POINTS_PER_SIDE // 2


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """Outlines of exposures as their headers, or what the loop began with, have them.

    Parameters
    ----------
    id : array of str, shape (n,)
        Exposures of the plan, in order.
    middle_ra, middle_dec : float64, shape (n,)
        Middle of the exposure, ICRS degrees.
    middle_x, middle_y : float64, shape (n,)
        The same in the plane in which its correction acts, arcsec (east, north).
    scale_arcsec : float64, shape (n,)
        Side of a pixel.
    owner : int64, shape (k,)
        Row of the exposure of each outline.
    first : int64, shape (k + 1,)
        Where the points of each outline begin; the last number is where those of the last end.
    ra, dec : float64, shape (first[-1],)
        Points of closed polygons, the last of each joined to its first; ICRS degrees.
    """

    id: NDArray[Any]
    middle_ra: FloatArray
    middle_dec: FloatArray
    middle_x: FloatArray
    middle_y: FloatArray
    scale_arcsec: FloatArray
    owner: IntArray
    first: IntArray
    ra: FloatArray
    dec: FloatArray

    @classmethod
    def none(cls) -> Outlines:
        """Return those of no exposure."""
        nothing, rows = np.empty(0), np.empty(0, np.int64)
        return cls(
            np.empty(0, "U1"),
            *(nothing,) * 5,
            rows,
            np.zeros(1, np.int64),
            nothing,
            nothing,
        )

    @classmethod
    def of(cls, exposures: Sequence[PlannedExposure]) -> Outlines:
        """Return the outlines of planned exposures."""
        places = [footprint(one.start_wcs) for one in exposures]
        drawn = [
            (row, outline)
            for row, (one, place) in enumerate(zip(exposures, places, strict=True))
            for outline in _drawn(one.plane, place.outlines)
        ]
        lengths = [len(outline.ra) for _, outline in drawn]
        middles = [middle_of(place.points()) for place in places]
        in_planes = [one.plane.from_sky(at) for one, at in zip(exposures, middles, strict=True)]
        return cls(
            id=np.array([one.id for one in exposures], str),
            middle_ra=np.array([at.ra for at in middles], float),
            middle_dec=np.array([at.dec for at in middles], float),
            middle_x=np.array([at.x for at in in_planes], float),
            middle_y=np.array([at.y for at in in_planes], float),
            scale_arcsec=np.array([place.scale_arcsec for place in places], float),
            owner=np.array([row for row, _ in drawn], np.int64),
            first=np.cumsum([0, *lengths], dtype=np.int64),
            ra=_joined(outline.ra for _, outline in drawn),
            dec=_joined(outline.dec for _, outline in drawn),
        )

    def middles_in_planes(self, names: NDArray[Any]) -> Points:
        """Return the middle of each named exposure in its plane, arcsec.

        Of one that is not known here, its tangent point: planes are about the middles, nearly.
        """
        rows = self.rows_of(names)
        x, y = (np.append(column, 0.0)[rows] for column in (self.middle_x, self.middle_y))
        return Points(x, y)

    def rows_of(self, names: NDArray[Any]) -> IntArray:
        """Return the row of each named exposure, -1 where there is none."""
        known = dict(zip(self.id.tolist(), range(len(self.id)), strict=True))
        return np.array([known.get(name, -1) for name in names.tolist()], np.int64)


def write_outlines(objects: ObjectStore, plan: Plan) -> None:
    """Keep the outlines of a plan's exposures in its run."""
    write_table(objects, OUTLINES, Outlines.of([*plan.exposures, *plan.idle]))


def find_outlines(objects: ObjectStore) -> Outlines:
    """Return the outlines that a run keeps; none if it has none that can be read."""
    try:
        return read_table(objects, OUTLINES, Outlines)
    except DamagedProduct:
        return Outlines.none()


def _drawn(plane: TangentPlane, chips: Sequence[SkyPoints]) -> Iterator[SkyPoints]:
    """Yield the polygons that a map shows of an exposure."""
    if len(chips) <= _CHIPS_DRAWN:
        yield from (SkyPoints(chip.ra[::_EVERY], chip.dec[::_EVERY]) for chip in chips)
        return
    every = SkyPoints(_joined(chip.ra for chip in chips), _joined(chip.dec for chip in chips))
    points = np.column_stack(plane.from_sky(every))
    hull = points[ConvexHull(points).vertices]
    yield plane.to_sky(Points(hull[:, 0], hull[:, 1]))


def _joined(parts: Iterable[FloatArray]) -> FloatArray:
    return np.concatenate([np.empty(0), *parts])
