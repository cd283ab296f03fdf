"""A smooth sky through the cells of a mesh."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.chip_sky import KeptSky, SkyModel
from alignsvc.errors import ConfigError, DataError
from alignsvc.numerics.sources.meshes import (
    CLIP_SIGMA,
    MeshSurface,
    median_filtered,
    mended,
    statistics_where,
)
from alignsvc.numerics.sources.second_differences import APART, second_differences
from alignsvc.numerics.sources.skies import SKIES
from alignsvc.reasons import FailureKind
from alignsvc.wording import counted

#: Fewer good pixels than this in the best cell: no statement about the sky is possible.
_FEWEST_PIXELS = 16
#: Of nine pixels that tell of the noise, the largest mean above the sky, in errors of that mean.
_BRIGHTEST = 1.5


@SKIES.register("mesh")
@dataclass(frozen=True, slots=True)
class MeshBackground:
    """The sky as a cubic surface through robust levels of the cells of a mesh.

    Parameters
    ----------
    box : int
        Side of a cell in pixels, about: the chip is cut into equal cells of nearly that side,
        so that there are no slivers. Large against the sources, small against the sky.
    clip_sigma : float
        Pixels farther than this many rms from the cell's median are left out.
    filter_size : int
        Side, in cells, of the running median that removes cells filled by a bright source.

    Notes
    -----
    The method of Bertin & Arnouts (1996, A&AS 117, 393). A cell with less than a quarter of its
    pixels good takes its nearest neighbour's level.

    The noise is that of the pixels or that of second differences in both directions, whichever
    is less. Light that is everywhere, wings of stars and faint sources, widens the histogram of
    the pixels (by 13 % at 140 stars a square arcmin), and so would widen every stated error; to
    the differences it adds 4 %. So those count whose nine pixels are on the mean not much
    brighter than the sky, of which the difference is independent: less than 1 % is left. They are
    taken over two pixels, since pixels that were interpolated share noise with their neighbours;
    fewer than 16 in a cell say nothing.
    """

    box: int = 128
    clip_sigma: float = CLIP_SIGMA
    filter_size: int = 3

    def __post_init__(self) -> None:
        if self.box < 8 or self.clip_sigma < 1.0 or self.filter_size % 2 != 1:
            raise ConfigError(
                f"sky 'mesh': box {self.box}, clip_sigma {self.clip_sigma}, filter_size "
                f"{self.filter_size}; wanted a box of 8 px or more, a clip_sigma of 1 or more "
                "and an odd filter_size; set images.sky"
            )

    def __call__(self, pixels: Float32Array, mask: BoolArray) -> SkyModel:
        """Return the sky of `pixels`, shape (ny, nx); `mask` True = bad, of no influence.

        Raises
        ------
        DataError
            ALL_MASKED: fewer than 16 good pixels in every cell of the mesh.
        """
        y_edges, x_edges = (self._edges(n) for n in pixels.shape)
        chip = _Strip(pixels, ~mask)
        levels, spread, counts = self._cells(map(chip.rows, y_edges, y_edges[1:]), x_edges)
        if counts.max(initial=0) < _FEWEST_PIXELS:
            raise DataError(
                FailureKind.ALL_MASKED,
                f"sky: {counted(int(chip.good.sum()), 'usable pixel')} found, "
                f"{_FEWEST_PIXELS} or more wanted in one cell of {self.box} px; check the mask and "
                "the weight map",
            )
        area = pixels.size / counts.size
        trusted = counts >= min(0.25 * area, 0.5 * counts.max())
        mesh = median_filtered(mended(levels, trusted), self.filter_size)
        surface = _surface(mesh, pixels.shape)
        rms = self._noise(chip, surface, (y_edges, x_edges))
        # A constant cell (a padded border that no mask names) says nothing about the noise.
        noisy = trusted & (spread > 0.0)
        overall = float(np.median(rms[noisy])) if noisy.any() else 0.0
        return SkyModel(surface, overall, mesh, mended(rms, trusted))

    def again(self, kept: KeptSky, shape: tuple[int, int]) -> SkyModel:
        """Return the sky of a chip of this shape: the surface through the levels kept."""
        surface = _surface(kept.mesh_level, shape)
        return SkyModel(surface, kept.rms, kept.mesh_level, kept.mesh_rms)

    def _edges(self, n_pixels: int) -> IntArray:
        n_cells = max(1, round(n_pixels / self.box))
        return np.linspace(0, n_pixels, n_cells + 1).round().astype(np.int64)

    def _cells(
        self, strips: Iterable[_Strip], x_edges: IntArray
    ) -> tuple[FloatArray, FloatArray, IntArray]:
        """Return level, rms and number of good pixels of every cell; a strip is a row of cells."""
        columns = [np.s_[:, x0:x1] for x0, x1 in pairwise(x_edges)]
        table = []
        for strip in strips:
            for column in columns:
                cell = statistics_where(strip.pixels[column], strip.good[column], self.clip_sigma)
                table.append((cell.level, cell.rms, cell.count))
        level, rms, count = np.array(table).T.reshape(3, -1, len(columns))
        return level, rms, count.astype(np.int64)

    def _noise(
        self, chip: _Strip, surface: MeshSurface, edges: tuple[IntArray, IntArray]
    ) -> FloatArray:
        """Return the noise of a pixel in every cell, about the surface."""
        y_edges, x_edges = edges
        residual = partial(_residual, chip, surface)
        _, of_pixels, _ = self._cells(map(residual, y_edges, y_edges[1:]), x_edges)
        differences = partial(_differences, residual, float(np.median(of_pixels)))
        inner = np.clip(x_edges - APART, 0, max(0, surface.shape[1] - 2 * APART))
        _, noise, count = self._cells(map(differences, y_edges, y_edges[1:]), inner)
        return np.where(count >= _FEWEST_PIXELS, np.minimum(noise, of_pixels), of_pixels)


@dataclass(frozen=True, slots=True, eq=False)
class _Strip:
    """Some rows of a chip: pixels, shape (rows, nx), and which of them are `good`."""

    pixels: Float32Array
    good: BoolArray

    def rows(self, start: int, stop: int) -> _Strip:
        """Return the rows from `start` to `stop`, as far as there are any."""
        rows = slice(max(start, 0), stop)
        return _Strip(self.pixels[rows], self.good[rows])


def _residual(chip: _Strip, surface: MeshSurface, start: int, stop: int) -> _Strip:
    """Return the rows of a chip from `start` to `stop`, as far as there are any, less a surface."""
    seen = chip.rows(start, stop)
    rest = np.empty(seen.pixels.shape, np.float32)
    surface.rows_into(max(start, 0), rest)
    return _Strip(np.subtract(seen.pixels, rest, out=rest), seen.good)


def _differences(
    residual: Callable[[int, int], _Strip], rms: float, start: int, stop: int
) -> _Strip:
    """Return `second_differences` about the rows from `start` to `stop`; good: they tell of noise.

    Left out are those whose pixels are too bright, if each has the noise `rms`.
    """
    seen = residual(start - APART, stop + APART)
    return _Strip(*second_differences(seen.pixels, seen.good, _BRIGHTEST * 3 * rms))


def _surface(mesh: FloatArray, shape: tuple[int, ...]) -> MeshSurface:
    """Return the surface through the cells' levels at the pixels of a chip."""
    rows, columns = (_in_cells(*sides) for sides in zip(shape, mesh.shape, strict=True))
    return MeshSurface.of(mesh, rows, columns)


def _in_cells(n_pixels: int, n_cells: int) -> FloatArray:
    """Return pixel centres in units of cells, 0 at the centre of the first cell."""
    centres: FloatArray = np.arange(n_pixels, dtype=np.float64) + 0.5
    return centres * (n_cells / n_pixels) - 0.5
