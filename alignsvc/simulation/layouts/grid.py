"""Exposures in rows and columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.errors import ConfigError
from alignsvc.simulation.layouts import LAYOUTS, Aim, Extent, Pointing


@LAYOUTS.register("grid")
@dataclass(frozen=True, slots=True)
class Grid:
    """Rows and columns of exposures, neighbours overlapping, row by row.

    Parameters
    ----------
    rows, columns : int
    ra, dec : float
        Middle of the grid, ICRS degrees.
    position_angle_deg, position_angle_scatter_deg : float
        Of the camera; the scatter is a standard deviation.
    overlap : float
        Fraction of the camera's width and height common to neighbours.
    """

    rows: int = 6
    columns: int = 6
    ra: float = 150.1
    dec: float = 2.2
    position_angle_deg: float = 0.0
    position_angle_scatter_deg: float = 0.0
    overlap: float = 0.2

    def __post_init__(self) -> None:
        if min(self.rows, self.columns) < 1 or not 0 <= self.overlap < 1:
            raise ConfigError(
                f"layout grid: {self.rows} rows, {self.columns} columns, overlap {self.overlap}; "
                "wanted 1 or more of each, and a fraction"
            )

    @property
    def n_exposures(self) -> int:
        """Number of exposures."""
        return self.rows * self.columns

    def __call__(self, index: int, extent: Extent, generator: np.random.Generator) -> Pointing:
        """Return where exposure `index` points."""
        row, column = divmod(index, self.columns)
        step = 1.0 - self.overlap
        x = (column - 0.5 * (self.columns - 1)) * step * extent.width_arcsec
        y = (row - 0.5 * (self.rows - 1)) * step * extent.height_arcsec
        turn_deg = generator.standard_normal() * self.position_angle_scatter_deg
        return Aim(self.ra, self.dec, self.position_angle_deg).moved(x, y, turn_deg)
