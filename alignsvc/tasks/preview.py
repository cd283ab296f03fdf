"""One row of a mosaic's tiles made small, for pictures, and where it is worth a closer look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.digest import digest_of
from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.errors import AlignError
from alignsvc.io.locations import RunLocations, table_name
from alignsvc.io.places import Place
from alignsvc.io.tables import write_table
from alignsvc.numerics.resampling.coadd import Contribution, merge
from alignsvc.numerics.showing.binning import binned
from alignsvc.numerics.showing.star_fields import StarField, StarFieldSearch
from alignsvc.reasons import FailureKind
from alignsvc.tasks.base import failed
from alignsvc.tasks.merge import mosaic_store


@dataclass(frozen=True, slots=True, eq=False)
class BinnedRow:
    """A row of tiles in squares of pixels, and the best star field of each of its tiles.

    Parameters
    ----------
    x0, y0 : int
        First square, counted from the first of the grid.
    numerator, weight : float32, shape (ny, nx)
        Sums over squares.
    field : int64, shape (n_tiles, 4)
        x0, y0, x1, y1 of each tile's best field, in pixels of the grid.
    worth : float64, shape (n_tiles,)
        0 = no star in it.
    """

    x0: int
    y0: int
    numerator: NDArray[np.float32]
    weight: NDArray[np.float32]
    field: IntArray
    worth: FloatArray

    @property
    def sums(self) -> Contribution:
        """The squares as a part of all squares of the grid."""
        ny, nx = self.numerator.shape
        box = PixelBox(self.x0, self.y0, self.x0 + nx, self.y0 + ny)
        return Contribution(box, self.numerator, self.weight)

    @property
    def fields(self) -> tuple[StarField, ...]:
        """The best star field of each tile."""
        pairs = zip(self.field.tolist(), self.worth.tolist(), strict=True)
        return tuple(StarField(PixelBox(*box), worth) for box, worth in pairs)


@dataclass(frozen=True)
class PreviewTask:
    """Bin a row of tiles, one tile in memory at a time; product: a `BinnedRow`.

    Parameters
    ----------
    run : Place
        The run directory.
    grid : MosaicGrid
    row : int
        Of tiles.
    generation : int
        Of the mosaic, to read.
    checksums : tuple of str
        Of the row's tiles: what is in them, whichever generation holds them.
    factor : int
        Pixels of the grid along the side of a square.
    search : StarFieldSearch
    """

    run: Place
    grid: MosaicGrid
    row: int
    generation: int
    checksums: tuple[str, ...]
    factor: int
    search: StarFieldSearch

    @cached_property
    def key(self) -> TaskKey:
        """Identity: the pixels of the row, and what is made of them."""
        digest = digest_of("preview", self.grid, self.row, self.checksums, self.factor, self.search)
        return TaskKey("preview", f"c{self.grid.component}/{self.row}", digest)

    def __call__(self) -> TaskOutcome:
        """Write the row; what it cannot read costs a picture, and nothing else."""
        try:
            row = self._row()
        except AlignError as error:
            return failed(self.key, FailureKind.INTERNAL, str(error))
        name = table_name(self.key)
        checksum = write_table(RunLocations(self.run).products, name, row)
        return TaskOutcome(self.key, TaskStatus.OK, product=name, checksum=checksum)

    def _row(self) -> BinnedRow:
        band = self._band()
        fields: list[StarField] = []
        sums = merge(self._binned(fields), band).narrowed()
        return BinnedRow(
            band.x0,
            band.y0,
            sums.numerator,
            sums.weight,
            np.array([(b.x0, b.y0, b.x1, b.y1) for b in (one.box for one in fields)], np.int64),
            np.array([one.worth for one in fields], np.float64),
        )

    def _band(self) -> PixelBox:
        """Return the squares that the row of tiles covers, in part or whole."""
        box = self.grid.tile_box(TileId(self.grid.component, self.row, 0))
        n_columns = -(-self.grid.shape[1] // self.factor)
        return PixelBox(0, box.y0 // self.factor, n_columns, -(-box.y1 // self.factor))

    def _binned(self, fields: list[StarField]) -> Iterator[Contribution]:
        """Yield each tile in squares; its star field is added to `fields`."""
        store = mosaic_store(self.run)
        for column in range(self.grid.n_tiles[1]):
            tile = store.read_tile(self.generation, TileId(self.grid.component, self.row, column))
            fields.append(self.search(tile))
            yield binned(tile, self.factor)
