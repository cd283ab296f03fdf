"""In which order tasks are handed out: along a line through the sky.

Neighbours follow each other, so that a worker meets the same tiles and exposures again while it, or
its disk, still has them. No number depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from alignsvc.domain.geometry import Points, SkyPoints
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.task import Task
from alignsvc.numerics.sky.space_curve import hilbert_index
from alignsvc.run.planning.plan import Plan, PlannedExposure

#: Cells of a side of a tile: exposures shifted by a little are still told apart.
_CELLS = 16
_BITS = 24
#: Places of one component; those of the next come after all of them.
_PLACES = 1 << (2 * _BITS)

#: Place along the line, by the subject of a task; what is not in it comes last.
SkyOrder = Mapping[str, int]
NO_ORDER: SkyOrder = MappingProxyType({})


def sky_order(plan: Plan) -> SkyOrder:
    """Return the places of all exposures and tiles of a plan."""
    exposures: dict[int, list[PlannedExposure]] = {}
    for one in plan.exposures:
        exposures.setdefault(one.component, []).append(one)
    order: dict[str, int] = {}
    for component, grid in enumerate(plan.grids):
        tiles = plan.tiles_made(grid)
        ny, nx = grid.tile_shape
        corners = np.array([(tile.column * nx, tile.row * ny) for tile in tiles]).reshape(-1, 2)
        middles = Points(corners[:, 0] + nx / 2, corners[:, 1] + ny / 2)
        here = exposures.get(component, [])
        order |= _places(grid, [str(tile) for tile in tiles], middles)
        order |= _places(grid, [one.id for one in here], grid.pixel_from_sky(_middles(here)))
    return MappingProxyType(order)


def along_the_sky(tasks: Sequence[Task], order: SkyOrder) -> list[Task]:
    """Return tasks in the order of their places; those of one place stay as they are."""
    return sorted(tasks, key=lambda task: order.get(task.key.subject, len(order) * _PLACES))


def _middles(exposures: Sequence[PlannedExposure]) -> SkyPoints:
    """Return the centre of the middle chip of each exposure."""
    chips = [one.header.wcs[len(one.header.wcs) // 2].centre() for one in exposures]
    return SkyPoints(
        np.array([float(sky.ra) for sky in chips]), np.array([float(sky.dec) for sky in chips])
    )


def _places(grid: MosaicGrid, names: Sequence[str], at: Points) -> dict[str, int]:
    ny, nx = grid.tile_shape
    x, y = (np.nan_to_num(np.asarray(axis, float)) for axis in (at.x, at.y))
    index = hilbert_index(np.floor(x * _CELLS / nx), np.floor(y * _CELLS / ny), _BITS)
    return dict(zip(names, (index + grid.component * _PLACES).tolist(), strict=True))
