"""What is left of the sky on the mosaic, and how far its noise is from what the weights say.

One mesh serves the whole grid. Its cells hang on the grid's origin and each is computed from its
own pixels only, so it does not matter how the grid was cut into tiles; the surface through it is
evaluated in the grid's coordinates, so a pixel has the same background in every box.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray, hold_read_only, read_only
from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.grid import MosaicGrid
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.sources.matched_filter import REACH, inner, signal_to_noise
from alignsvc.numerics.sources.meshes import (
    CellValue,
    interpolated,
    median_filtered,
    mended,
    statistics_where,
)

#: Fewer pixels than this in the best cell: the mosaic is taken as it is.
_FEWEST_PIXELS = 64


@dataclass(frozen=True, slots=True, eq=False)
class CellStatistics:
    """A rectangle of cells of the mesh, as one tile measured them.

    Parameters
    ----------
    first_row, first_column : int
        Indices in the grid's mesh of the cell that comes first here.
    level : float64 array, shape (rows, columns)
        Mode of the mean image; NaN in empty cells.
    noise : float64 array
        rms of the cell seen through the detection filter, in units of what white noise of
        variance 1/weight would give; NaN in empty cells.
    count : int64 array
        Pixels with weight.
    """

    first_row: int
    first_column: int
    level: FloatArray
    noise: FloatArray
    count: IntArray

    def __post_init__(self) -> None:
        hold_read_only(self, "level", "noise", "count")


@dataclass(frozen=True, slots=True, eq=False)
class MosaicBackground:
    """The background of a whole grid.

    Parameters
    ----------
    mesh : float64 array, shape (rows, columns)
        Level at the centres of the cells.
    cell_px : int
        Side of a cell; the first cell starts at the grid's pixel (0, 0).
    noise_scale : float
        Noise of the mosaic through the detection filter over that of white noise of variance
        1/weight. Drizzling correlates neighbours and so makes it differ from 1; by the filter's
        7 effective pixels it is within some per cent of its value for larger sums.
    """

    mesh: FloatArray
    cell_px: int
    noise_scale: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "mesh", read_only(self.mesh))

    @classmethod
    def flat(cls) -> MosaicBackground:
        """Return a background of zero with noise as the weights say."""
        return cls(np.zeros((1, 1)), 1, 1.0)

    def level(self, box: PixelBox) -> Float32Array:
        """Return the background of the pixels of `box`, which may reach beyond the grid.

        The same pixel has the same bits in every box that holds it.
        """
        rows = (np.arange(box.y0, box.y1) + 0.5) / self.cell_px - 0.5
        columns = (np.arange(box.x0, box.x1) + 0.5) / self.cell_px - 0.5
        n_rows, n_columns = self.mesh.shape
        return interpolated(
            self.mesh, np.clip(rows, -1.0, n_rows), np.clip(columns, -1.0, n_columns)
        )


@dataclass(frozen=True, slots=True)
class MosaicMesh:
    """Measures the cells of a tile, and puts the cells of all tiles together.

    Parameters
    ----------
    cell_px : int
        Side of a cell in grid pixels. Large against the sources.
    filter_size : int
        Side, in cells, of the running median (odd).
    """

    cell_px: int = 128
    filter_size: int = 3

    def box_for(self, core: PixelBox, grid: MosaicGrid) -> PixelBox:
        """Return the pixels of the cells whose first corner lies in `core`; may be empty.

        They reach beyond `core` where its size is no multiple of `cell_px`.
        """
        return PixelBox(
            *(-(-edge // self.cell_px) * self.cell_px for edge in (core.x0, core.y0)),
            *(-(-edge // self.cell_px) * self.cell_px for edge in (core.x1, core.y1)),
        ).intersect(grid.box)

    def __call__(self, mosaic: Contribution, core: PixelBox, grid: MosaicGrid) -> CellStatistics:
        """Return the statistics of the cells whose first corner lies in `core`.

        Parameters
        ----------
        mosaic : Contribution
            Must hold `box_for(core, grid)`.
        core : PixelBox
            Of the grid.
        grid : MosaicGrid
        """
        box = self.box_for(core, grid)
        if box.intersect(mosaic.box) != box:
            raise ValueError(
                f"background of {core}: its cells need {box}, the mosaic's cut is {mosaic.box}"
            )
        rows = range(box.y0, box.y1, self.cell_px)
        columns = range(box.x0, box.x1, self.cell_px)
        cells = [
            _cell(mosaic.cut(PixelBox(x, y, x + self.cell_px, y + self.cell_px).intersect(box)))
            for y in rows
            for x in columns
        ]
        table = np.array([(c.level, c.rms, c.count) for c in cells]).reshape(-1, 3)
        level, noise, count = table.T.reshape(3, len(rows), len(columns))
        return CellStatistics(
            box.y0 // self.cell_px, box.x0 // self.cell_px, level, noise, count.astype(np.int64)
        )

    def assembled(self, parts: Iterable[CellStatistics], grid: MosaicGrid) -> MosaicBackground:
        """Return the background of the grid; cells that no part holds count as empty.

        A cell with weight in less than a quarter of its pixels is continued from its
        neighbours. Without a single good cell the background is flat.
        """
        shape = tuple(-(-n // self.cell_px) for n in grid.shape)
        level, noise = np.full(shape, np.nan), np.full(shape, np.nan)
        count = np.zeros(shape, np.int64)
        for part in parts:
            ny, nx = part.level.shape
            y, x = part.first_row, part.first_column
            here = np.s_[y : y + ny, x : x + nx]
            level[here], noise[here], count[here] = part.level, part.noise, part.count
        if count.max() < _FEWEST_PIXELS:
            return MosaicBackground.flat()
        trusted = count >= min(0.25 * self.cell_px**2, 0.5 * count.max())
        noisy = trusted & (noise > 0.0)
        scale = float(np.median(noise[noisy])) if noisy.any() else 1.0
        mesh = median_filtered(mended(level, trusted), self.filter_size)
        return MosaicBackground(mesh, self.cell_px, scale)


def _cell(mosaic: Contribution) -> CellValue:
    """Return level, noise through the detection filter, and number of pixels, of one cell."""
    value, hole = mosaic.mean()
    good = ~hole
    level = statistics_where(value.astype(np.float32), good)
    if level.count == 0 or min(value.shape) <= 2 * REACH:
        return level
    residual = (value - level.level).astype(np.float32)
    seen = inner(signal_to_noise(residual, mosaic.weight.astype(np.float32)))
    noise = statistics_where(seen, inner(good))
    return CellValue(level.level, noise.rms, level.count)
