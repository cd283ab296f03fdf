"""How bright an exposure shows sources and sky, against the mosaic of all: what levels follow from.

Both are read off the grid, from the exposure's own contribution E and the mosaic M of all, over
the same pixels. M is a weighted mean of all exposures, so that ``ln E - ln M`` of a source is the
exposure's level and a number common to all exposures, whatever their levels are; and ``E - M``
of a patch of sky is its offset and a number common to all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import FloatArray, IntArray, contiguous
from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.compiled import compiled, compiled_sums
from alignsvc.numerics.resampling.coadd import Contribution, Sums

#: Part of an aperture, or of a patch, that must be known: all exposures are to see the same.
_LEAST_KNOWN = 0.95
#: Part of the ring about an aperture that must be known.
_LEAST_RING = 0.3
#: Part of a bright source's light that its isophote holds at the least.
_OF_ISOPHOTE = 0.5
#: Variance of a median over that of a mean, for normal noise.
_MEDIAN_COST = 0.5 * math.pi
#: Of rows and columns, only each second one tells the sky: medians are what takes time.
_EVERY = 2
#: And each fifth the noise, which is one number a chip.
_NOISE_EVERY = 5
#: More patches than any grid has side by side.
_PATCHES_A_ROW = 1 << 24

Plane: TypeAlias = NDArray[np.floating[Any]]


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


@dataclass(frozen=True, slots=True, eq=False)
class OwnAndAll:
    """An exposure and the mosaic of all over the same box of the grid.

    Parameters
    ----------
    own, total : Contribution
    segmentation : int64 array or None
        Whose pixels are whose, 0 = nobody's; None = not known.
    """

    own: Contribution
    total: Contribution
    segmentation: IntArray | None = None

    def __post_init__(self) -> None:
        if self.own.box != self.total.box:
            raise ValueError(f"levels: {self.own.box} and {self.total.box} are not the same box")

    @property
    def box(self) -> PixelBox:
        """The box of both."""
        return self.total.box


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

    def __call__(self, seen: OwnAndAll, sources: SourceCatalog) -> MeasuredLevels:
        """Return the levels of an exposure, at all bright sources: `chosen` takes the best of them.

        Parameters
        ----------
        seen : OwnAndAll
        sources : SourceCatalog
            The box need not hold all of them.
        """
        weight = seen.own.weight[::_NOISE_EVERY, ::_NOISE_EVERY]
        known = weight > 0
        if not known.any():
            return MeasuredLevels.concatenate([])
        noise = float(np.median(weight[known])) ** -0.5
        fluxes = self._fluxes(seen, sources, noise)
        return MeasuredLevels(*fluxes, *self._skies(seen), np.array([noise]))

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

    def _fluxes(
        self, seen: OwnAndAll, sources: SourceCatalog, noise: float
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        """Return ids, logarithms of the ratios, and their variances; by the noise of a pixel."""
        column = np.rint(sources.x).astype(np.int64) - seen.box.x0
        row = np.rint(sources.y).astype(np.int64) - seen.box.y0
        ny, nx = seen.box.shape
        here = (column >= 0) & (row >= 0) & (column < nx) & (row < ny)
        apertures = self._apertures(sources.select(here))
        half = apertures.half
        inside = (column >= half) & (row >= half) & (column < nx - half) & (row < ny - half)
        # Some light lies beyond the isophote, but not as much as within it.
        least = self.least_snr * noise * math.sqrt(apertures.n_pixels[0])
        chosen = inside & (sources.flux > _OF_ISOPHOTE * least)
        source, row, column = sources.id[chosen], row[chosen], column[chosen]
        own, all_, variance = apertures.photometry(seen, source, row, column).T
        error = self.least_snr * np.sqrt(variance)
        good = (error > 0) & (all_ > error) & (own > 0.3 * error)
        own, all_, variance = own[good], all_[good], variance[good]
        return source[good], np.log(own / all_), variance / own**2

    def _apertures(self, sources: SourceCatalog) -> _Apertures:
        """Return apertures for the brightest sources' typical size."""
        brightest = np.argsort(-sources.snr, kind="stable")[: self.most_sources]
        sizes = np.nan_to_num(sources.fwhm[brightest], nan=1.0)
        fwhm = float(np.median(sizes)) if len(sizes) else 1.0
        return _Apertures.of(self.aperture_fwhm * fwhm, self.ring)

    def _skies(self, seen: OwnAndAll) -> tuple[IntArray, FloatArray, FloatArray]:
        """Return numbers of patches, medians of the difference there, and their variances."""
        side, box = self.patch_px, seen.box
        rows = np.arange(-(-box.y0 // side), box.y1 // side)
        columns = np.arange(-(-box.x0 // side), box.x1 // side)
        top, left = (one.ravel() for one in np.meshgrid(rows, columns, indexing="ij"))
        most = (-(-side // _EVERY)) ** 2
        # Beyond a patch's pixels NaN, which sorts last.
        difference = np.full((len(top), most), np.nan)
        n, n_free = np.zeros((2, len(top)), np.int64)
        weight = np.zeros(len(top))
        corner = np.stack([top * side - box.y0, left * side - box.x0], axis=1)
        patches = _PatchSums(difference, n, n_free, weight)
        _look_at_patches(_Planes.of(seen), corner, side, patches)
        enough = n >= np.maximum(_LEAST_KNOWN * n_free, _LEAST_RING * most)
        n, weight = n[enough], weight[enough]
        return (
            (_PATCHES_A_ROW * top + left)[enough],
            _medians(difference[enough], n),
            _MEDIAN_COST / weight,
        )


class _Planes(NamedTuple):
    """What an exposure and the mosaic of all hold of the same pixels, as loops want it."""

    own: Plane
    own_weight: Plane
    total: Plane
    total_weight: Plane
    label: IntArray

    @classmethod
    def of(cls, seen: OwnAndAll) -> _Planes:
        """Return the planes of `seen`; without a segmentation, of no source."""
        label = seen.segmentation
        if label is None:
            label = np.zeros(seen.box.shape, np.int64)
        planes = seen.own.numerator, seen.own.weight, seen.total.numerator, seen.total.weight
        return cls(*(contiguous(plane) for plane in (*planes, label)))


class _PatchSums(NamedTuple):
    """Of patches, each a row: differences, how many, pixels of no source, sums of weights."""

    difference: FloatArray
    n: IntArray
    n_free: IntArray
    weight: FloatArray


@compiled
def _look_at_patches(seen: _Planes, corner: IntArray, side: int, found: _PatchSums) -> None:
    """Fill `found` with every other pixel of the squares at these rows and columns."""
    for i in range(len(corner)):
        y0, x0 = corner[i]
        n = 0
        for y in range(y0, y0 + side, _EVERY):
            for x in range(x0, x0 + side, _EVERY):
                weight = seen.own_weight[y, x]
                is_free = seen.label[y, x] == 0
                found.n_free[i] += is_free
                if is_free and weight > 0:
                    mine = seen.own[y, x] / weight
                    found.difference[i, n] = mine - seen.total[y, x] / seen.total_weight[y, x]
                    found.weight[i] += weight
                    n += 1
        found.n[i] = n


def _medians(values: FloatArray, n: IntArray) -> FloatArray:
    """Return the median of the first `n` of each row; NaN is behind them."""
    values.sort(axis=1)
    row = np.arange(len(values))
    return np.asarray(0.5 * (values[row, (n - 1) // 2] + values[row, n // 2]))


@dataclass(frozen=True, slots=True, eq=False)
class _Apertures:
    """Apertures of one size with the rings about them.

    Parameters
    ----------
    reach : int64 array, shape (2, 2 half + 1)
        Of each row through the aperture, and through aperture and ring, how far it goes to each
        side of the middle; -1 = not at all.
    half : int
        Outer radius of the ring.
    """

    reach: IntArray
    half: int

    @classmethod
    def of(cls, radius: float, ring: float) -> _Apertures:
        half = math.ceil(ring * radius)
        step = np.arange(-half, half + 1)
        distance = np.hypot(step, step[:, None])
        discs = (distance <= radius, distance <= half)
        return cls(np.stack([(disc.sum(axis=1) - 1) // 2 for disc in discs]), half)

    @property
    def n_pixels(self) -> IntArray:
        """Pixels of the aperture, and of aperture and ring."""
        return np.asarray((2 * self.reach + 1).clip(0).sum(axis=1))

    def photometry(
        self, seen: OwnAndAll, source: IntArray, row: IntArray, column: IntArray
    ) -> FloatArray:
        """Return fluxes in the exposure and in the mosaic, and the variance of the first, (n, 3).

        Fluxes are 0 where too little is known. `row` and `column` are those of the middles.
        """
        where = np.stack([source, row, column], axis=1)
        sums = np.zeros((len(where), 2, 5))
        _sum_discs(_Planes.of(seen), where, self.reach, sums)
        aperture, ring = sums[:, 0].T, sums[:, 1].T
        n_aperture, n_disc = self.n_pixels
        n_known, n_ring = aperture[1], ring[1]
        enough = n_known >= _LEAST_KNOWN * np.maximum(aperture[0], 1)
        enough &= n_known >= 0.5 * n_aperture
        enough &= n_ring >= _LEAST_RING * (n_disc - n_aperture)
        part = n_known / np.maximum(n_ring, 1)
        own, all_ = (np.where(enough, aperture[i] - part * ring[i], 0.0) for i in (2, 3))
        return np.stack([own, all_, aperture[4] * (1.0 + part)], axis=1)


@compiled
def _sum_discs(seen: _Planes, where: IntArray, reach: IntArray, sums: FloatArray) -> None:
    """Fill `sums` (n, 2, 5) with those of aperture and ring about each (source, row, column)."""
    half = reach.shape[1] // 2
    for i in range(len(where)):
        source, y, x = where[i]
        for j in range(reach.shape[1]):
            inner, outer = reach[0, j], reach[1, j]
            # What is left of the aperture, within it, and right of it. With `inner` -1, nothing is
            # within.
            middle = max(x + inner + 1, x - inner)
            ends = (x - outer, x - inner, middle, x + outer + 1)
            for part in range(3):
                first, last = ends[part], ends[part + 1]
                row = y - half + j
                own = seen.own[row, first:last], seen.own_weight[row, first:last]
                total = seen.total[row, first:last], seen.total_weight[row, first:last]
                into = sums[i, 0 if part == 1 else 1]
                _add_row(seen.label[row, first:last], source, own, total, into)


@compiled_sums
def _add_row(label: IntArray, source: int, own: Sums, total: Sums, sums: FloatArray) -> None:
    """Add pixels that are nobody else's, known ones, both means, and the exposure's variance."""
    n_mine, n_known = 0, 0
    of_own, of_total, variance = 0.0, 0.0, 0.0
    for x in range(label.size):
        # All is read, whether it counts or not: what is read on a condition fills no lanes.
        value, weight = own[0][x], own[1][x]
        mean = total[0][x] / total[1][x]
        is_mine = (label[x] == 0) | (label[x] == source)
        is_known = is_mine & (weight > 0)
        inverse = 1.0 / weight if is_known else 0.0
        n_mine += is_mine
        n_known += is_known
        of_own += value * inverse if is_known else 0.0
        of_total += mean if is_known else 0.0
        variance += inverse
    sums[0] += n_mine
    sums[1] += n_known
    sums[2] += of_own
    sums[3] += of_total
    sums[4] += variance
