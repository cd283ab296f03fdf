"""What a pass did to each source of an exposure, in pixels of its chips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.measurement import Displacements
from alignsvc.errors import DamagedProduct
from alignsvc.io.objects import ObjectStore
from alignsvc.io.tables import read_table
from alignsvc.run.records.state import PassRecord
from alignsvc.run.stages.solved_table import SolvedTable
from alignsvc.tasks.diagnostics import SourcePlaces


def find_solved(objects: ObjectStore, record: PassRecord) -> SolvedTable | None:
    """Return the table of a pass; None while it is not solved, or if that cannot be read."""
    if record.solution is None:
        return None
    try:
        return read_table(objects, record.solution.table, SolvedTable, record.solution.digest)
    except DamagedProduct:
        return None


@dataclass(frozen=True, slots=True, eq=False)
class CorrectionOfPass:
    """The totals of an exposure's chips with which a pass began and ended.

    ``new = M (old + s_k) + shift`` of chip k, in the plane of the correction.

    Parameters
    ----------
    start, end : float64, shape (6,)
        Parameters: shift, then M.
    chip_start, chip_end : float64, shape (m, 2) or (0, 2)
        Shifts of chips s_k; none if no chip has any.
    n_used : int
    """

    start: FloatArray
    end: FloatArray
    chip_start: FloatArray
    chip_end: FloatArray
    n_used: int

    @classmethod
    def of(cls, table: SolvedTable, exposure_id: str) -> CorrectionOfPass | None:
        """Return those of an exposure; None if the table does not have it."""
        rows = np.flatnonzero(table.id == exposure_id)
        if not len(rows):
            return None
        row = int(rows[0])
        own = table.chip_owner == row
        return cls(
            table.pass_start[row],
            table.parameters[row],
            table.chip_start[own],
            table.chip_shift[own],
            int(table.n_used[row]),
        )

    def header_place(self, now: FloatArray, chip: IntArray) -> FloatArray:
        """Return where the header has what the pass began with at `now`, (n, 2) arcsec."""
        matrix = self.start[2:].reshape(2, 2)
        return (now - self.start[:2]) @ np.linalg.inv(matrix).T - _of(self.chip_start, chip)

    def end_place(self, header: FloatArray, chip: IntArray) -> FloatArray:
        """Return where the pass has put what the header has at `header`, (n, 2) arcsec."""
        matrix = self.end[2:].reshape(2, 2)
        return (header + _of(self.chip_end, chip)) @ matrix.T + self.end[:2]


def _of(shifts: FloatArray, chip: IntArray) -> FloatArray | float:
    return shifts[chip] if len(shifts) else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class SourcesMoved:
    """How far places of sources are moved, px of the chip: shapes (n, 2); NaN where not known.

    Parameters
    ----------
    to_header : float64
        From the WCS that was measured with to the input header's.
    to_end : float64
        To the corrected one.
    """

    to_header: FloatArray
    to_end: FloatArray

    @classmethod
    def of(
        cls, measured: Displacements, places: SourcePlaces, correction: CorrectionOfPass | None
    ) -> SourcesMoved:
        """Return it for the rows of an exposure; NaN without a correction."""
        now = np.stack([places.x, places.y], axis=1)
        if correction is None:
            return cls(np.full(now.shape, np.nan), np.full(now.shape, np.nan))
        header = correction.header_place(now, measured.chip)
        end = correction.end_place(header, measured.chip)
        in_pixels = places.pixel_from_plane.astype(np.float64)

        def pixels(off: FloatArray) -> FloatArray:
            moved: FloatArray = (in_pixels @ off[:, :, None])[:, :, 0]
            return moved

        return cls(pixels(header - now), pixels(end - now))
