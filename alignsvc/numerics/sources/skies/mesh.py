"""A smooth sky through the cells of a mesh."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.chip_sky import SkyModel
from alignsvc.errors import ConfigError, DataError
from alignsvc.numerics.sources.meshes import (
    CLIP_SIGMA,
    chosen,
    clipped_statistics,
    interpolated,
    median_filtered,
    mended,
)
from alignsvc.numerics.sources.skies import SKIES
from alignsvc.reasons import FailureKind

#: Fewer good pixels than this in the best cell: no statement about the sky is possible.
_FEWEST_PIXELS = 16
#: Pixels between those whose differences tell of the noise.
_APART = 2
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
        good = ~mask
        levels, spread, counts = self._cells(pixels, good, (y_edges, x_edges))
        if counts.max(initial=0) < _FEWEST_PIXELS:
            raise DataError(
                FailureKind.ALL_MASKED,
                f"sky: {int(good.sum())} usable pixels, wanted {_FEWEST_PIXELS} or more in one "
                f"cell of {self.box} px; check the mask and the weight map",
            )
        area = pixels.size / counts.size
        trusted = counts >= min(0.25 * area, 0.5 * counts.max())
        mesh = median_filtered(mended(levels, trusted), self.filter_size)
        level = interpolated(
            mesh, _in_cells(pixels.shape[0], len(mesh)), _in_cells(pixels.shape[1], mesh.shape[1])
        )
        residual = pixels - level
        rms = self._noise(residual, good, (y_edges, x_edges))
        # A constant cell (a padded border that no mask names) says nothing about the noise.
        noisy = trusted & (spread > 0.0)
        overall = float(np.median(rms[noisy])) if noisy.any() else 0.0
        return SkyModel(level, overall, mesh, mended(rms, trusted))

    def _edges(self, n_pixels: int) -> IntArray:
        n_cells = max(1, round(n_pixels / self.box))
        return np.linspace(0, n_pixels, n_cells + 1).round().astype(np.int64)

    def _cells(
        self, pixels: Float32Array, good: BoolArray, edges: tuple[IntArray, IntArray]
    ) -> tuple[FloatArray, FloatArray, IntArray]:
        """Return level, rms and number of good pixels of every cell."""
        y_edges, x_edges = edges
        values = [
            clipped_statistics(chosen(pixels[y0:y1, x0:x1], good[y0:y1, x0:x1]), self.clip_sigma)
            for y0, y1 in pairwise(y_edges)
            for x0, x1 in pairwise(x_edges)
        ]
        table = np.array([(v.level, v.rms, v.count) for v in values])
        level, rms, count = table.T.reshape(3, len(y_edges) - 1, len(x_edges) - 1)
        return level, rms, count.astype(np.int64)

    def _noise(
        self, residual: Float32Array, good: BoolArray, edges: tuple[IntArray, IntArray]
    ) -> FloatArray:
        """Return the noise of a pixel in every cell, about the surface."""
        _, of_pixels, _ = self._cells(residual, good, edges)
        differences, sound = _second_differences(residual, good, float(np.median(of_pixels)))
        _, noise, count = self._cells(differences, sound, edges)
        return np.where(count >= _FEWEST_PIXELS, np.minimum(noise, of_pixels), of_pixels)


def _second_differences(
    pixels: Float32Array, good: BoolArray, rms: float
) -> tuple[Float32Array, BoolArray]:
    """Return second differences in x and y, with the noise of a pixel, and where they tell of it.

    The product of ``(1, -2, 1)`` over `_APART` pixels in both directions: the squares sum to 36.
    Left out are those whose pixels are too bright, if each has the noise `rms`.
    """
    values = np.where(good, pixels, np.float32(0))
    light, sound = values, good
    for axis in (0, 1):
        values, light, sound = (np.swapaxes(one, 0, axis) for one in (values, light, sound))
        ahead, behind = slice(2 * _APART, None), slice(None, -2 * _APART)
        middle = slice(_APART, -_APART)
        whole, total = np.zeros_like(values), np.zeros_like(values)
        total[middle] = light[ahead] + light[middle] + light[behind]
        whole[middle] = values[ahead] - 2 * values[middle] + values[behind]
        kept = np.zeros_like(sound)
        kept[middle] = sound[ahead] & sound[middle] & sound[behind]
        values, light, sound = (np.swapaxes(one, 0, axis) for one in (whole, total, kept))
    return (values / np.float32(6)).astype(np.float32, copy=False), sound & (
        light <= _BRIGHTEST * 3 * rms
    )


def _in_cells(n_pixels: int, n_cells: int) -> FloatArray:
    """Return pixel centres in units of cells, 0 at the centre of the first cell."""
    centres: FloatArray = np.arange(n_pixels, dtype=np.float64) + 0.5
    return centres * (n_cells / n_pixels) - 0.5
