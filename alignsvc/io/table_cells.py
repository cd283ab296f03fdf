"""Tables of the mosaic's sources in parts, by where they lie: tasks read those near.

A part is a table of its own (`tables.py`), and so is the index, which says what parts there are. To
read them all takes what the survey is large; to read those around a chip does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import FloatArray, IntArray, hold_read_only
from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.task import TableRef
from alignsvc.errors import DamagedProduct
from alignsvc.io.objects import ObjectStore
from alignsvc.io.tables import read_table, write_table

#: Side of a cell, grid pixels: that of a chip, of which four to nine are near, a few hundred
#: sources each.
CELL_PX = 2048
_SUFFIX = ".npz"
#: Parts that are written at once where each answer takes its time.
_AT_ONCE = 16


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """The cells that n sources lie in.

    Parameters
    ----------
    place : int64 array, shape (m, 3)
        Component, row and column of each cell that has a source, in that order.
    number : int64 array, shape (n,)
        For each source, which of the cells.
    """

    place: IntArray
    number: IntArray

    @classmethod
    def of(cls, component: IntArray, x: FloatArray, y: FloatArray) -> Cells:
        """Return the cells of sources by their component and their pixel of its grid."""
        row, column = (np.rint(axis).astype(np.int64) // CELL_PX for axis in (y, x))
        each = np.stack([component, row, column], axis=1)
        place, number = np.unique(each, axis=0, return_inverse=True)
        return cls(place, number.reshape(-1))

    def members(self) -> list[IntArray]:
        """Return the indices of the sources of each cell, rising."""
        order = np.argsort(self.number, kind="stable")
        ends = np.searchsorted(self.number[order], np.arange(1, len(self.place)))
        return np.split(order, ends) if len(self.place) else []


@dataclass(frozen=True, slots=True, eq=False)
class CellIndex:
    """What parts a table has; itself a table. One row for each, by component, row and column.

    Parameters
    ----------
    component, row, column : int64 array, shape (m,)
        Of the cell.
    checksum : text array, shape (m,)
        Of the part.
    """

    component: IntArray
    row: IntArray
    column: IntArray
    checksum: NDArray[np.str_]

    def __post_init__(self) -> None:
        hold_read_only(self, "component", "row", "column", "checksum")

    def all_parts(self, name: str) -> tuple[TableRef, ...]:
        """Return all parts of the table that was written as `name`."""
        return self._parts(name, np.arange(len(self.row)))

    def parts_near(self, name: str, component: int, box: PixelBox) -> tuple[TableRef, ...]:
        """Return the parts that hold what lies in a box of a component's grid."""
        if box.is_empty:
            return ()
        near = self.component == component
        for place, first, end in ((self.row, box.y0, box.y1), (self.column, box.x0, box.x1)):
            near &= (place >= first // CELL_PX) & (place <= (end - 1) // CELL_PX)
        return self._parts(name, np.flatnonzero(near))

    def _parts(self, name: str, which: IntArray) -> tuple[TableRef, ...]:
        places = np.stack([self.component, self.row, self.column], axis=1)[which].tolist()
        checksums = self.checksum[which].tolist()
        return tuple(
            TableRef(_part_name(name, *place), checksum)
            for place, checksum in zip(places, checksums, strict=True)
        )


def write_cells(objects: ObjectStore, name: str, cells: Cells, parts: Sequence[object]) -> TableRef:
    """Write the part of each cell, then the index as `name`, which ends in ``.npz``."""
    places: list[list[int]] = cells.place.tolist()

    def written(which: int) -> str:
        return write_table(objects, _part_name(name, *places[which]), parts[which])

    checksums = [*objects.each(written, range(len(places)), _AT_ONCE)]
    component, row, column = cells.place.reshape(-1, 3).T
    index = CellIndex(component, row, column, np.array(checksums, np.str_))
    return TableRef(name, write_table(objects, name, index))


def read_index(objects: ObjectStore, table: TableRef) -> CellIndex:
    """Return the index of a table that `write_cells` wrote; errors are those of `read_table`."""
    return read_table(objects, table.name, CellIndex, table.checksum)


def tables_of(objects: ObjectStore, table: TableRef) -> tuple[TableRef, ...]:
    """Return the index of a table and all parts that it names; where it is lost, it alone."""
    try:
        index = read_index(objects, table)
    except DamagedProduct:
        return (table,)
    return (table, *index.all_parts(table.name))


def _part_name(name: str, *place: int) -> str:
    return f"{name.removesuffix(_SUFFIX)}/{'-'.join(map(str, place))}{_SUFFIX}"
