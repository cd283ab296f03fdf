"""Simulated fields with known sources, shared by the tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.geometry import PixelBox, TangentPlane
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.sources.detection import DetectedTile, Detector, MosaicCut
from alignsvc.numerics.sources.mosaic_background import MosaicBackground, MosaicMesh


@dataclass(frozen=True)
class Truth:
    """Gaussian sources: positions, fluxes, rms along the major axis, axis ratio, angle."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    flux: NDArray[np.float64]
    sigma: NDArray[np.float64]
    ratio: NDArray[np.float64]
    angle: NDArray[np.float64]


def random_truth(n: int, side: int, rng: np.random.Generator) -> Truth:
    """Half stars of 1.2 px, half galaxies of 1.5 to 4 px."""
    star = np.arange(n) % 2 == 0
    return Truth(
        rng.uniform(0, side - 1, n),
        rng.uniform(0, side - 1, n),
        10 ** rng.uniform(2.5, 5.0, n),
        np.where(star, 1.2, rng.uniform(1.5, 4.0, n)),
        np.where(star, 1.0, rng.uniform(0.4, 1.0, n)),
        rng.uniform(0, np.pi, n),
    )


def one_source(x: float, y: float, flux: float, sigma: float = 1.5) -> Truth:
    return Truth(*(np.array([v]) for v in (x, y, flux, sigma, 1.0, 0.0)))


def both(first: Truth, second: Truth) -> Truth:
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return Truth(*(np.concatenate(pair) for pair in pairs))


def render(truth: Truth, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Sampled profiles, out to 9 sigma."""
    image = np.zeros(shape)
    for x, y, flux, sigma, ratio, angle in zip(*vars(truth).values(), strict=True):
        reach = int(9 * sigma) + 2
        rows = slice(max(int(y) - reach, 0), min(int(y) + reach + 1, shape[0]))
        columns = slice(max(int(x) - reach, 0), min(int(x) + reach + 1, shape[1]))
        yy, xx = np.mgrid[rows, columns]
        along = (xx - x) * np.cos(angle) + (yy - y) * np.sin(angle)
        across = (-(xx - x) * np.sin(angle) + (yy - y) * np.cos(angle)) / ratio
        area = 2 * np.pi * sigma**2 * ratio
        image[rows, columns] += flux / area * np.exp(-0.5 * (along**2 + across**2) / sigma**2)
    return image


def grid_of(shape: tuple[int, int], tile: int) -> MosaicGrid:
    ny, nx = shape
    return MosaicGrid(0, TangentPlane(10.0, 20.0), 0.1, nx / 2, ny / 2, shape, (tile, tile))


def mosaic_of(image: NDArray[np.float64], weight: NDArray[np.float64]) -> Contribution:
    ny, nx = image.shape
    return Contribution(PixelBox(0, 0, nx, ny), image * weight, weight)


def background_of(mosaic: Contribution, grid: MosaicGrid, mesh: MosaicMesh) -> MosaicBackground:
    parts = []
    for tile in grid.tiles():
        core = grid.tile_box(tile)
        parts.append(mesh(mosaic.cut(mesh.box_for(core, grid)), core, grid))
    return mesh.assembled(parts, grid)


def detect(
    mosaic: Contribution, grid: MosaicGrid, detector: Detector, background: MosaicBackground
) -> list[DetectedTile]:
    found = []
    for tile in grid.tiles():
        core = grid.tile_box(tile)
        cut = MosaicCut(grid, mosaic.cut(detector.box_for(core, grid)), background)
        found.append(detector(cut, core))
    return found


def whole_segmentation(parts: list[DetectedTile], grid: MosaicGrid) -> NDArray[np.int64]:
    whole = np.zeros(grid.shape, np.int64)
    for part in parts:
        whole[part.core.slices_in(grid.box)] = part.segmentation
    return whole


def catalog_at(x: list[float], y: list[float]) -> SourceCatalog:
    """A catalogue of featureless sources with ids from 1."""
    n = len(x)
    columns = {name: np.zeros(n, column.dtype) for name, column in SourceCatalog.empty().columns()}
    columns |= {"id": np.arange(1, n + 1), "x": np.array(x, float), "y": np.array(y, float)}
    return SourceCatalog(**columns)
