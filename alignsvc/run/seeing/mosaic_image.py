"""A part of a run's mosaic as an image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import PixelBox, SkyPoints
from alignsvc.domain.grid import MosaicGrid
from alignsvc.errors import ConfigError
from alignsvc.io.locations import MOSAIC_STORE, RunLocations
from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.io.places import Place
from alignsvc.run.records.stored import state_of

#: Pixels that are read without being asked for by name: 128 MB of sums.
_MOST_PIXELS = 8_000_000


@dataclass(frozen=True, slots=True)
class SkySquare:
    """A square on the sky, sides along those of the mosaic.

    Parameters
    ----------
    ra_deg, dec_deg : float
        Its middle, ICRS degrees.
    side_arcsec : float
    """

    ra_deg: float
    dec_deg: float
    side_arcsec: float

    def box_on(self, grid: MosaicGrid) -> PixelBox:
        """Return the pixels of a grid that it covers; they may reach beyond the grid."""
        middle = grid.pixel_from_sky(SkyPoints(np.array(self.ra_deg), np.array(self.dec_deg)))
        if not np.isfinite(middle.x):
            return PixelBox(0, 0, 0, 0)
        half = 0.5 * self.side_arcsec / grid.scale_arcsec
        return PixelBox(
            math.ceil(middle.x - half),
            math.ceil(middle.y - half),
            math.floor(middle.x + half) + 1,
            math.floor(middle.y + half) + 1,
        )


@dataclass(frozen=True, slots=True, eq=False)
class MosaicImage:
    """Pixels of a mosaic.

    Parameters
    ----------
    grid : MosaicGrid
        Of the whole.
    box : PixelBox
        The part of it.
    pixels : float64, shape of the box
        NaN where nothing contributed.
    weight : float64, shape of the box
        Sum of inverse variances, 0 there.
    """

    grid: MosaicGrid
    box: PixelBox
    pixels: FloatArray
    weight: FloatArray


def find_mosaic_image(run: Place, within: SkySquare | None, component: int) -> MosaicImage:
    """Return a part of the published mosaic; see `alignsvc.read_mosaic`.

    Raises
    ------
    ConfigError
        There is no mosaic, or not there, or it is too large to be read as a whole.
    RunStoreError
        There is no run, or a tile is damaged.
    """
    generation = state_of(run).generation
    store = MosaicStore(RunLocations(run).path(MOSAIC_STORE))
    if generation is None or not store.exists(generation):
        raise ConfigError(
            f"{run}: no mosaic: its first pass has not ended, or `alignsvc clean` removed it"
        )
    grids = store.grids(generation)
    if not 0 <= component < len(grids):
        raise ConfigError(
            f"{run}: component {component} of the mosaic wanted, it has {len(grids)}, from 0"
        )
    grid = grids[component]
    box = (grid.box if within is None else within.box_on(grid)).intersect(grid.box)
    if box.is_empty:
        raise ConfigError(f"{run}: {within} has no pixel of component {component} of the mosaic")
    n_pixels = box.shape[0] * box.shape[1]
    if n_pixels > _MOST_PIXELS:
        raise ConfigError(
            f"{run}: {n_pixels / 1e6:.0f} megapixels of the mosaic wanted, at most "
            f"{_MOST_PIXELS / 1e6:.0f} are read at once; name a smaller part (`within`)"
        )
    sums = store.read(generation, component, box)
    value, hole = sums.mean()
    return MosaicImage(grid, box, np.where(hole, np.nan, value), np.asarray(sums.weight, float))
