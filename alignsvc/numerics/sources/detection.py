"""Detection of sources on the mosaic, one tile with its halo at a time.

A source belongs to the tile whose half-open core holds its highest pixel, so every source has
one owner however the grid is cut. Its provisional id is the place of that pixel in the grid, so
tiles agree on ids without asking each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray, read_only
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.quality import SourceFlag
from alignsvc.domain.sources import SourceCatalog
from alignsvc.errors import ConfigError
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.sources.matched_filter import signal_to_noise
from alignsvc.numerics.sources.measures import (
    PixelSums,
    Planes,
    beside,
    centroids,
    pixel_sums,
    shapes,
    touching,
)
from alignsvc.numerics.sources.mosaic_background import MosaicBackground
from alignsvc.numerics.sources.segments import Segmenter, Segments

#: Radius of the disc on which a user's source that was not detected is measured, px.
_FORCED_RADIUS_PX = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class MosaicCut:
    """A box of the mosaic with all that detection needs to know about it.

    Parameters
    ----------
    grid : MosaicGrid
    mosaic : Contribution
        Sums of a box of the grid: a tile's core and its halo.
    background : MosaicBackground
        Of the whole grid.
    saturated : bool array of the box's shape, or None
        Pixels that were saturated in some exposure; None if that is not known.
    """

    grid: MosaicGrid
    mosaic: Contribution
    background: MosaicBackground
    saturated: BoolArray | None = None

    @property
    def box(self) -> PixelBox:
        """Pixels of the grid that it holds."""
        return self.mosaic.box


@dataclass(frozen=True, slots=True, eq=False)
class DetectedTile:
    """The sources of a tile.

    Parameters
    ----------
    core : PixelBox
    catalog : SourceCatalog
        Sources whose peak lies in `core`, in order of their provisional id: 1 + x + y nx of
        the peak in a grid of nx columns.
    segmentation : int64 array of the core's shape
        Provisional id of the source that a pixel belongs to, of this tile or of one beside it;
        0 = none.
    """

    core: PixelBox
    catalog: SourceCatalog
    segmentation: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "segmentation", read_only(self.segmentation))


@dataclass(frozen=True, slots=True, eq=False)
class WantedSources:
    """Positions of a user's catalogue on the grid, with weights, all of one length."""

    points: Points
    weight: FloatArray


@dataclass(frozen=True, slots=True)
class Detector:
    """Finds and measures the sources of a tile.

    Parameters
    ----------
    threshold : float
        In standard deviations of the mosaic seen through the detection filter.
    min_area : int
        Fewest pixels of a source.
    deblend : int
        Levels at which a blend is taken apart.
    contrast : float
        Share of a blend's flux that makes a part of it a source (SExtractor's default).
    halo_px : int
        Pixels around a tile's core that must be at hand. A source in the core whose blend
        reaches farther is flagged TRUNCATED; all others come out alike for any tiling.

    Notes
    -----
    Fluxes are sums over the isophote. Their errors are the sky's, and the photons' where the
    weights know them. Bits of SExtractor's CLEAN step are left out: it looks arbitrarily far
    around, so that the catalogue would depend on the tiles; the signal-to-noise filter removes
    the same false sources.
    """

    threshold: float = 5.0
    min_area: int = 5
    deblend: int = 32
    contrast: float = 0.005
    halo_px: int = 64

    def __post_init__(self) -> None:
        if not (self.threshold > 0 and self.min_area >= 1 and 2 <= self.deblend <= 256):
            raise ConfigError(
                f"detection: threshold {self.threshold}, min_area {self.min_area}, deblend "
                f"{self.deblend}; wanted a threshold above 0, a min_area of 1 or more and a "
                "deblend from 2 to 256"
            )
        if not (0 < self.contrast <= 1 and self.halo_px >= 16):
            raise ConfigError(
                f"detection: contrast {self.contrast}, halo_px {self.halo_px}; wanted a contrast "
                "in (0, 1] and a halo of 16 px or more"
            )

    def box_for(self, core: PixelBox, grid: MosaicGrid) -> PixelBox:
        """Return the pixels that detection in `core` needs: the core and its halo."""
        return core.expand(self.halo_px).intersect(grid.box)

    def __call__(self, cut: MosaicCut, core: PixelBox) -> DetectedTile:
        """Return the sources of `core`.

        Parameters
        ----------
        cut : MosaicCut
            Must hold `box_for(core, grid)` and nothing else, or results depend on what else.
        core : PixelBox

        Raises
        ------
        ResourceError
            A blend of more parts than can be told apart.
        """
        planes, segments = self._segmented(cut, core)
        sums = pixel_sums(segments.label, len(segments), planes)
        owned = _within(core, sums)
        catalog = self._catalog(cut, planes, segments, sums).select(owned)
        return _tile(cut, core, segments, sums, catalog)

    def measure_user_sources(
        self, cut: MosaicCut, core: PixelBox, wanted: WantedSources
    ) -> DetectedTile:
        """Return the sources of a user's catalogue that lie in `core`, measured here.

        Parameters
        ----------
        cut, core
            As for a call.
        wanted : WantedSources
            Positions anywhere on the grid.

        Returns
        -------
        DetectedTile
            The catalogue holds, of the sources in the core, those that a position points to:
            the one whose pixels it lies on, or else a disc of 3 px radius about it, on the
            pixels that no other source has. Positions on a hole point to nothing; several on
            one source count once, with the largest weight. The segmentation holds all
            detected sources, those that were not asked for too.
        """
        planes, segments = self._segmented(cut, core)
        target, segments = _targets(segments, planes, wanted.points)
        sums = pixel_sums(segments.label, len(segments), planes)
        weight = np.full(len(segments) + 1, -np.inf)
        np.maximum.at(weight, target, wanted.weight)
        chosen = np.isfinite(weight[1:]) & _within(core, sums)
        catalog = self._catalog(cut, planes, segments, sums)
        columns = [c if name != "weight" else weight[1:] for name, c in catalog.columns()]
        return _tile(cut, core, segments, sums, SourceCatalog(*columns).select(chosen))

    def _segmented(self, cut: MosaicCut, core: PixelBox) -> tuple[Planes, Segments]:
        needed = self.box_for(core, cut.grid)
        if cut.box != needed:
            raise ValueError(f"detection in {core} needs {needed}, the mosaic's cut is {cut.box}")
        mean, hole = cut.mosaic.mean()
        values = mean.astype(np.float32) - cut.background.level(cut.box)
        values[hole] = 0.0
        weight = np.where(hole, 0.0, cut.mosaic.weight).astype(np.float32)
        scale = cut.background.noise_scale
        segmenter = Segmenter(self.threshold * scale, self.min_area, self.deblend, self.contrast)
        wanted = np.zeros(cut.box.shape, bool)
        wanted[core.slices_in(cut.box)] = True
        frontier = _border(cut) & ~_border_of_grid(cut)
        segments = segmenter(signal_to_noise(values, weight), wanted, frontier)
        variance = np.zeros(cut.box.shape)
        np.divide(scale * scale, cut.mosaic.weight, out=variance, where=~hole)
        return Planes(cut.box, values, variance, hole), segments

    def _catalog(
        self, cut: MosaicCut, planes: Planes, segments: Segments, sums: PixelSums
    ) -> SourceCatalog:
        """Return all sources of the box, in order of label, with provisional ids."""
        ellipse = shapes(sums)
        # 4 sigma of window and a source's own wander stay within the halo of its peak.
        place = centroids(sums, ellipse.fwhm, planes, self.halo_px / 6.0)
        sky = cut.grid.sky_from_pixel(place.points)
        error = np.sqrt(sums.flux_variance)
        flags = _flags(cut, planes, segments)
        flags[~place.windowed] |= SourceFlag.NO_CENTROID
        n = len(segments)
        return SourceCatalog(
            id=_provisional_ids(sums, cut.grid),
            component=np.full(n, cut.grid.component, np.int64),
            x=place.points.x,
            y=place.points.y,
            ra=sky.ra,
            dec=sky.dec,
            flux=sums.flux,
            flux_error=error,
            snr=sums.flux / error,
            fwhm=ellipse.fwhm,
            a=ellipse.a,
            b=ellipse.b,
            theta=ellipse.theta,
            peak=sums.peak,
            area=sums.area,
            radius=sums.reach,
            weight=np.ones(n),
            flags=flags,
        )


def _provisional_ids(sums: PixelSums, grid: MosaicGrid) -> IntArray:
    return 1 + sums.peak_x + sums.peak_y * grid.shape[1]


def _within(core: PixelBox, sums: PixelSums) -> BoolArray:
    inside: BoolArray = (
        (sums.peak_x >= core.x0)
        & (sums.peak_x < core.x1)
        & (sums.peak_y >= core.y0)
        & (sums.peak_y < core.y1)
    )
    return inside


def _flags(cut: MosaicCut, planes: Planes, segments: Segments) -> IntArray:
    """Return the flags that follow from the pixels of each source."""
    n = len(segments)
    edge = beside(planes.hole) | _border_of_grid(cut)
    flags = np.zeros(n, np.int64)
    flags[touching(segments.label, n, edge)] |= SourceFlag.AT_EDGE
    flags[segments.blended] |= SourceFlag.BLENDED
    flags[segments.cut] |= SourceFlag.TRUNCATED
    if cut.saturated is not None:
        flags[touching(segments.label, n, cut.saturated)] |= SourceFlag.SATURATED
    return flags


def _border(cut: MosaicCut) -> BoolArray:
    border = np.ones(cut.box.shape, bool)
    border[1:-1, 1:-1] = False
    return border


def _border_of_grid(cut: MosaicCut) -> BoolArray:
    """Return which pixels of the cut lie in the grid's first or last row or column."""
    border = np.ones(cut.box.shape, bool)
    grid = cut.grid.box
    border[
        PixelBox(grid.x0 + 1, grid.y0 + 1, grid.x1 - 1, grid.y1 - 1)
        .intersect(cut.box)
        .slices_in(cut.box)
    ] = False
    return border


def _targets(segments: Segments, planes: Planes, points: Points) -> tuple[IntArray, Segments]:
    """Return the label that each point means (0 = none), and `segments` with discs added."""
    ny, nx = planes.box.shape
    x = np.floor(np.asarray(points.x) - planes.box.x0 + 0.5)
    y = np.floor(np.asarray(points.y) - planes.box.y0 + 0.5)
    inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)  # False for NaN too
    target = np.zeros(x.size, np.int64)
    label = segments.label.copy()
    n = len(segments)
    for k in np.flatnonzero(inside):
        column, row = int(x[k]), int(y[k])
        if label[row, column] == 0 and not planes.hole[row, column]:
            n += 1
            _add_disc(label, n, (column, row), planes.hole)
        target[k] = label[row, column]
    more = np.zeros(n - len(segments), bool)
    return target, Segments(
        label, np.concatenate([segments.blended, more]), np.concatenate([segments.cut, more])
    )


def _add_disc(
    label: NDArray[np.int32], number: int, centre: tuple[int, int], hole: BoolArray
) -> None:
    """Write `number` into the free pixels of `label` about `centre` (column, row)."""
    column, row = centre
    reach = int(_FORCED_RADIUS_PX)
    rows = slice(max(row - reach, 0), row + reach + 1)
    columns = slice(max(column - reach, 0), column + reach + 1)
    window = label[rows, columns]
    y, x = np.indices(window.shape)
    distance = np.hypot(x + columns.start - column, y + rows.start - row)
    window[(window == 0) & ~hole[rows, columns] & (distance <= _FORCED_RADIUS_PX)] = number


def _tile(
    cut: MosaicCut, core: PixelBox, segments: Segments, sums: PixelSums, catalog: SourceCatalog
) -> DetectedTile:
    ids = np.concatenate([[0], _provisional_ids(sums, cut.grid)])
    segmentation = ids[segments.label[core.slices_in(cut.box)]]
    return DetectedTile(core, catalog.select(np.argsort(catalog.id)), segmentation)
