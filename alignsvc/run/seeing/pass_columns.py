"""What a pass did to each exposure, as columns: of the table that its solve left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.errors import DamagedProduct
from alignsvc.io.objects import ObjectStore
from alignsvc.io.tables import read_table
from alignsvc.run.records.state import PassRecord
from alignsvc.run.stages.solved_table import SolvedTable


@dataclass(frozen=True, slots=True, eq=False)
class PassColumns:
    """Exposures after a pass, in order of id; NaN where one was not solved.

    Parameters
    ----------
    number : int
        Of the pass.
    is_full : bool
        Whether sources were detected anew.
    movement_px : float
        The largest.
    n_catalogued : int
        Sources of the catalogue that it was solved from.
    id : array of str, shape (n,)
    matrix : float64, shape (n, 2, 2)
    shift_arcsec : float64, shape (n, 2)
        (east, north); with the matrix the total since the input header.
    error_arcsec : float64, shape (n, 2)
        Of the shift.
    move_px, rmse_px : float64, shape (n,)
    n_sources, n_used : int64, shape (n,)
    """

    number: int
    is_full: bool
    movement_px: float
    n_catalogued: int
    id: NDArray[Any]
    matrix: FloatArray
    shift_arcsec: FloatArray
    error_arcsec: FloatArray
    move_px: FloatArray
    rmse_px: FloatArray
    n_sources: IntArray
    n_used: IntArray

    @property
    def rotation_deg(self) -> FloatArray:
        """From north through east, as `Correction.rotation_deg`."""
        return np.degrees(np.arctan2(-self.matrix[:, 1, 0], self.matrix[:, 0, 0]))

    def displacement_arcsec(self, at: Points) -> Points:
        """Return how far the corrections move a point of each exposure's plane (arcsec)."""
        m = self.matrix - np.eye(2)
        return Points(
            m[:, 0, 0] * at.x + m[:, 0, 1] * at.y + self.shift_arcsec[:, 0],
            m[:, 1, 0] * at.x + m[:, 1, 1] * at.y + self.shift_arcsec[:, 1],
        )


def find_pass_columns(objects: ObjectStore, record: PassRecord) -> PassColumns | None:
    """Return what a pass left.

    Returns
    -------
    PassColumns or None
        None while the pass is not solved, and where its table cannot be read: whoever looks at a
        damaged run shall see the rest of it.
    """
    if record.solution is None:
        return None
    try:
        table = read_table(objects, record.solution.table, SolvedTable, record.solution.digest)
    except DamagedProduct:
        return None
    return PassColumns(
        number=record.number,
        is_full=record.is_full,
        movement_px=record.solution.movement_px,
        n_catalogued=record.n_sources,
        id=table.id,
        matrix=table.parameters[:, 2:].reshape(-1, 2, 2),
        shift_arcsec=table.parameters[:, :2],
        error_arcsec=np.sqrt(np.stack([table.covariance[:, 0, 0], table.covariance[:, 1, 1]], 1)),
        move_px=table.move_px,
        rmse_px=table.rmse_px,
        n_sources=table.n_sources,
        n_used=table.n_used,
    )
