"""How bright an exposure shows sources and sky, against the mosaic of all: what levels follow from.

Both are read off the grid, from the exposure's own contribution E and the mosaic M of all, over
the same pixels. M is a weighted mean of all exposures, so that ``ln E - ln M`` of a source is the
exposure's level and a number common to all exposures, whatever their levels are; and ``E - M``
of a patch of sky is its offset and a number common to all. Of the weight of M the exposure has a
share s, and the others, whose mean is O, the rest: ``M = O + s (E - O)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from alignsvc.domain.arrays import (
    Float32Array,
    FloatArray,
    IntArray,
    LabelArray,
    contiguous,
)
from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.resampling.others import SeenBand
from alignsvc.numerics.sources.level_loops import (
    EVERY,
    Discs,
    LevelPlanes,
    Patches,
    look_at_rows,
)
from alignsvc.numerics.sources.segmentation import UNKNOWN, Segmentation

#: Part of an aperture, or of a patch, that must be known: all exposures are to see the same.
_LEAST_KNOWN = 0.95
#: Part of the ring about an aperture that must be known.
_LEAST_RING = 0.3
#: So many times the sources that are chosen in the end are measured, the brightest: not all of them
#: prove to be sound.
_TRIED = 1.5
#: Part of a bright source's light that its isophote holds at the least.
_OF_ISOPHOTE = 0.5
#: Variance of a median over that of a mean, for normal noise.
_MEDIAN_COST = 0.5 * math.pi
#: Of rows and columns, only each tenth one tells the noise, which is one number a chip.
_NOISE_EVERY = 10
#: More patches than any grid has side by side.
_PATCHES_A_ROW = 1 << 24


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredLevels:
    """Levels of one exposure at sources and in patches of sky.

    Parameters
    ----------
    source : int64, shape (n,)
        Source ids.
    log_ratio, log_variance : float64, shape (n,)
        Natural logarithm of the flux in the exposure over that in the mosaic of all, and its
        variance from the exposure's sky noise.
    patch : int64, shape (m,)
        Number of a patch of the grid.
    sky, sky_variance : float64, shape (m,)
        Sky of the exposure less that of the mosaic, per grid pixel on the run's flux scale.
    noise : float64, shape (c,)
        Of the sky in a grid pixel of the exposure, in the same unit; one number a chip.
    """

    source: IntArray
    log_ratio: FloatArray
    log_variance: FloatArray
    patch: IntArray
    sky: FloatArray
    sky_variance: FloatArray
    noise: FloatArray

    @classmethod
    def concatenate(cls, parts: Sequence[MeasuredLevels]) -> MeasuredLevels:
        """Return the levels of all chips; of what two chips tell, what the first one does."""
        whole, real = np.zeros(0, np.int64), np.zeros(0)
        none = cls(whole, real, real, whole, real, real, real)
        columns = [
            np.concatenate([getattr(part, field.name) for part in (none, *parts)])
            for field in fields(cls)
        ]
        of_source = np.unique(columns[0], return_index=True)[1]
        of_patch = np.unique(columns[3], return_index=True)[1]
        rows = (of_source,) * 3 + (of_patch,) * 3 + (np.arange(len(columns[6])),)
        return cls(*(column[which] for column, which in zip(columns, rows, strict=True)))


@dataclass(frozen=True, slots=True)
class LevelMeasurement:
    """Aperture photometry of the brightest sources, and the sky between them.

    Parameters
    ----------
    aperture_fwhm : float
        Radius of the aperture in FWHM of a typical source. So wide that exposures of other seeing
        lose the same light beyond it, and that headers off by pixels do not matter: for a Moffat
        profile of index 3, seen at 0.8 and at 1.2 of that FWHM, 0.1 % and 0.4 % are lost.
    ring : float
        Outer radius of the ring in which the background is taken, in radii of the aperture.
    most_sources : int
        The brightest of a chip.
    least_snr : float
        Of a source in the aperture, by the exposure's own noise.
    patch_px : int
        Side of a patch of sky, grid pixels.
    """

    aperture_fwhm: float = 4.5
    ring: float = 1.5
    most_sources: int = 200
    least_snr: float = 10.0
    patch_px: int = 64

    def begun(
        self, box: PixelBox, sources: SourceCatalog, segmentation: Segmentation | None = None
    ) -> LevelsInBands:
        """Return what measures levels over a box, of which it is shown band after band.

        Parameters
        ----------
        box : PixelBox
        sources : SourceCatalog
            The box need not hold all of them.
        segmentation : Segmentation or None
            Whose pixels of the box are whose; None = not known.
        """
        apertures = self._apertures(box, sources, segmentation)
        squares = _Squares.within(box, self.patch_px)
        label = UNKNOWN if segmentation is None else segmentation.label
        return LevelsInBands(box, label, self.least_snr, apertures, squares)

    def chosen(self, levels: MeasuredLevels, sound: SourceCatalog) -> MeasuredLevels:
        """Return the levels with the brightest sources only of those that are `sound`."""
        brightest = np.argsort(-sound.snr, kind="stable")[: self.most_sources]
        kept = np.isin(levels.source, sound.id[brightest])
        return replace(
            levels,
            source=levels.source[kept],
            log_ratio=levels.log_ratio[kept],
            log_variance=levels.log_variance[kept],
        )

    def _apertures(
        self, box: PixelBox, sources: SourceCatalog, segmentation: Segmentation | None
    ) -> _Apertures:
        """Return apertures about the brightest sources: of more than in the end are chosen."""
        column = np.rint(sources.x).astype(np.int64) - box.x0
        row = np.rint(sources.y).astype(np.int64) - box.y0
        ny, nx = box.shape
        here = (column >= 0) & (row >= 0) & (column < nx) & (row < ny)
        reach = self._reach(sources.select(here))
        half = reach.shape[1] // 2
        inside = (column >= half) & (row >= half) & (column < nx - half) & (row < ny - half)
        tried = np.flatnonzero(inside)
        brightest = np.argsort(-sources.snr[tried], kind="stable")
        tried = tried[brightest[: math.ceil(_TRIED * self.most_sources)]]
        tried = tried[np.lexsort((tried, row[tried]))]
        source = label = sources.id[tried]
        if segmentation is not None:
            label = segmentation.labels(source)
        where = np.stack([label, row[tried], column[tried]], axis=1)
        sums = np.zeros((len(where), 2, 5))
        return _Apertures(source, sources.flux[tried], Discs(where, reach, sums))

    def _reach(self, sources: SourceCatalog) -> IntArray:
        """Return how far aperture and disc reach for the brightest sources' typical size."""
        brightest = np.argsort(-sources.snr, kind="stable")[: self.most_sources]
        sizes = np.nan_to_num(sources.fwhm[brightest], nan=1.0)
        fwhm = float(np.median(sizes)) if len(sizes) else 1.0
        radius = self.aperture_fwhm * fwhm
        half = math.ceil(self.ring * radius)
        row = np.abs(np.arange(-half, half + 1))
        return np.stack([_reach_in(row, radius), _reach_in(row, half)])


def _reach_in(row: IntArray, radius: float) -> IntArray:
    """Return how many columns a disc reaches in rows so far from its middle; -1 = none."""
    column = np.arange(math.floor(radius) + 1)
    return np.asarray((np.hypot(row[:, None], column) <= radius).sum(axis=1) - 1)


@dataclass(frozen=True, slots=True, eq=False)
class LevelsInBands:
    """Levels that are measured band after band; made by `LevelMeasurement.begun`.

    Parameters
    ----------
    box : PixelBox
    label : int32 or int64 array
        Of the box; (0, 0) = not known.
    least_snr : float
        As of the `LevelMeasurement`.
    apertures : _Apertures
    squares : _Squares
    weights : list of array
        Of some pixels of each band: what the noise is measured by.
    """

    box: PixelBox
    label: LabelArray
    least_snr: float
    apertures: _Apertures
    squares: _Squares
    weights: list[Float32Array] = field(default_factory=list)

    def look(self, band: SeenBand) -> None:
        """Add a band of the box's rows; each has to come once."""
        y0 = band.box.y0 - self.box.y0
        self.weights.append(band.weight[-y0 % _NOISE_EVERY :: _NOISE_EVERY, ::_NOISE_EVERY].copy())
        label = self.label if self.label is UNKNOWN else self.label[y0 : y0 + len(band.weight)]
        planes = band.numerator, band.weight, band.others, band.share, label
        seen = LevelPlanes(*(contiguous(plane) for plane in planes))
        look_at_rows(seen, y0, self.apertures.discs, self.squares.patches)

    def found(self) -> MeasuredLevels:
        """Return the levels at all bright sources: `LevelMeasurement.chosen` takes the best."""
        weight = np.concatenate([np.zeros(0, np.float32), *(one.ravel() for one in self.weights)])
        known = weight[weight > 0]
        if not len(known):
            return MeasuredLevels.concatenate([])
        noise = float(np.median(known)) ** -0.5
        fluxes = self.apertures.fluxes(self.least_snr, noise)
        return MeasuredLevels(*fluxes, *self.squares.skies(), np.array([noise]))


@dataclass(frozen=True, slots=True, eq=False)
class _Squares:
    """Patches of sky, and their numbers."""

    number: IntArray
    patches: Patches

    @classmethod
    def within(cls, box: PixelBox, side: int) -> _Squares:
        """Return all patches that lie within a box, to be looked at."""
        rows = np.arange(-(-box.y0 // side), box.y1 // side)
        columns = np.arange(-(-box.x0 // side), box.x1 // side)
        top, left = np.meshgrid(rows, columns, indexing="ij")
        n = -(-side // EVERY)
        of_row = np.full((box.shape[0], 2), -1)
        looked_at = (rows * side - box.y0)[:, None] + EVERY * np.arange(n)
        of_row[looked_at, 0] = np.arange(len(rows))[:, None]
        of_row[looked_at, 1] = np.arange(n)
        difference = np.empty((*top.shape, n, n), np.float32)
        sums = np.zeros((*top.shape, 3), np.float32)
        patches = Patches(of_row, columns * side - box.x0, difference, sums)
        return cls((_PATCHES_A_ROW * top + left).ravel(), patches)

    def skies(self) -> tuple[IntArray, FloatArray, FloatArray]:
        """Return numbers of patches, medians of the difference there, and their variances."""
        n, n_free, weight = self.patches.sums.reshape(-1, 3).T.astype(np.float64)
        most = math.prod(self.patches.difference.shape[2:])
        difference = self.patches.difference.reshape(len(n), most)
        enough = n >= np.maximum(_LEAST_KNOWN * n_free, _LEAST_RING * most)
        return (
            self.number[enough],
            _medians(difference[enough], n[enough].astype(np.int64)),
            _MEDIAN_COST / weight[enough],
        )


def _medians(values: Float32Array, n: IntArray) -> FloatArray:
    """Return the median of the `n` of each row that are not NaN."""
    values.sort(axis=1)  # NaN comes last
    row = np.arange(len(values))
    middle = values[row, (n - 1) // 2].astype(np.float64) + values[row, n // 2]
    return np.asarray(0.5 * middle)


@dataclass(frozen=True, slots=True, eq=False)
class _Apertures:
    """Apertures of one size with the rings about them, whose they are, and fluxes in isophotes."""

    source: IntArray
    flux: FloatArray
    discs: Discs

    def fluxes(self, least_snr: float, noise: float) -> tuple[IntArray, FloatArray, FloatArray]:
        """Return ids, logarithms of the ratios, and their variances, of what stands out so far.

        `noise` is that of a pixel of the exposure.
        """
        own, all_, variance = self._photometry()
        # Some light lies beyond the isophote, but not as much as within it.
        enough = least_snr * noise * math.sqrt(self._n_pixels[0])
        error = least_snr * np.sqrt(variance)
        good = (error > 0) & (all_ > error) & (own > 0.3 * error)
        which = np.flatnonzero(good & (self.flux > _OF_ISOPHOTE * enough))
        which = which[np.argsort(self.source[which])]
        own, all_, variance = own[which], all_[which], variance[which]
        return self.source[which], np.log(own / all_), variance / own**2

    @property
    def _n_pixels(self) -> IntArray:
        """Pixels of an aperture and of a ring."""
        aperture, whole = (2 * self.discs.reach + 1).clip(min=0).sum(axis=1)
        return np.array([aperture, whole - aperture])

    def _photometry(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return fluxes in the exposure and in the mosaic, and the variance of the first.

        Fluxes are 0 where too little is known.
        """
        aperture, whole = self.discs.sums[:, 0].T, self.discs.sums[:, 1].T
        ring = whole - aperture
        n_aperture, n_most = self._n_pixels
        n_known, n_ring = aperture[1], ring[1]
        enough = n_known >= _LEAST_KNOWN * np.maximum(aperture[0], 1)
        enough &= n_known >= 0.5 * n_aperture
        enough &= n_ring >= _LEAST_RING * n_most
        part = n_known / np.maximum(n_ring, 1)
        own, all_ = (np.where(enough, aperture[i] - part * ring[i], 0.0) for i in (2, 3))
        return own, all_, aperture[4] * (1.0 + part)
