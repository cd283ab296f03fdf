"""How bright an exposure shows sources and sky, against the mosaic of all: what levels follow from.

Both are read off the grid, from the exposure's own contribution E and the mosaic M of all, over
the same pixels. M is a weighted mean of all exposures, so that ``ln E - ln M`` of a source is the
exposure's level and a number common to all exposures, whatever their levels are; and ``E - M``
of a patch of sky is its offset and a number common to all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.resampling.coadd import Contribution

#: Part of an aperture, or of a patch, that must be known: all exposures are to see the same.
_LEAST_KNOWN = 0.95
#: Part of the ring about an aperture that must be known.
_LEAST_RING = 0.3
#: Variance of a median over that of a mean, for normal noise.
_MEDIAN_COST = 0.5 * math.pi
#: Of rows and columns, only each second one tells the sky: medians are what takes time.
_EVERY = 2
#: Pixels of stamps worked on at once.
_PIXELS_AT_ONCE = 1 << 18
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
        """Return the levels of an exposure.

        Parameters
        ----------
        seen : OwnAndAll
        sources : SourceCatalog
            Sound ones in the exposure; the box need not hold all of them.
        """
        brightest = np.sort(np.argsort(-sources.snr, kind="stable")[: self.most_sources])
        found = self._fluxes(seen, sources.select(brightest))
        skies = self._skies(seen)
        weight = seen.own.weight[::_EVERY, ::_EVERY]
        known = weight > 0
        noise = np.array([float(np.median(weight[known])) ** -0.5] if known.any() else [])
        return MeasuredLevels(*found, *skies, noise)

    def _fluxes(
        self, seen: OwnAndAll, sources: SourceCatalog
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        """Return ids, logarithms of the ratios, and their variances."""
        fwhm = float(np.median(np.nan_to_num(sources.fwhm, nan=1.0))) if len(sources) else 1.0
        apertures = _Apertures.of(self.aperture_fwhm * fwhm, self.ring)
        half = apertures.half
        ny, nx = seen.box.shape
        column = np.rint(sources.x).astype(np.int64) - seen.box.x0 - half
        row = np.rint(sources.y).astype(np.int64) - seen.box.y0 - half
        inside = (column >= 0) & (row >= 0) & (column < nx - 2 * half) & (row < ny - 2 * half)
        source, row, column = sources.id[inside], row[inside], column[inside]
        log_ratio, log_variance = np.full(len(source), np.nan), np.full(len(source), np.nan)
        at_once = max(1, _PIXELS_AT_ONCE // (2 * half + 1) ** 2)
        for start in range(0, len(source), at_once):
            some = slice(start, start + at_once)
            where = (source[some], row[some], column[some])
            own, all_, variance = apertures.photometry(seen, where)
            noise = self.least_snr * np.sqrt(variance)
            bright = (noise > 0) & (all_ > noise) & (own > 0.3 * noise)
            log_ratio[some][bright] = np.log(own[bright] / all_[bright])
            log_variance[some][bright] = variance[bright] / own[bright] ** 2
        good = np.isfinite(log_ratio)
        return source[good], log_ratio[good], log_variance[good]

    def _skies(self, seen: OwnAndAll) -> tuple[IntArray, FloatArray, FloatArray]:
        """Return numbers of patches, medians of the difference there, and their variances."""
        side, box = self.patch_px, seen.box
        numbers, values, variances = [], [], []
        for top in range(-(-box.y0 // side), box.y1 // side):
            for left in range(-(-box.x0 // side), box.x1 // side):
                y0, x0 = top * side - box.y0, left * side - box.x0
                here = (slice(y0, y0 + side, _EVERY), slice(x0, x0 + side, _EVERY))
                use = seen.own.weight[here] > 0
                n_free = use.size
                if seen.segmentation is not None:
                    free = seen.segmentation[here] == 0
                    n_free = int(free.sum())
                    use &= free
                n = int(use.sum())
                if n < max(_LEAST_KNOWN * n_free, _LEAST_RING * use.size):
                    continue
                own, all_ = (
                    _mean(one.numerator[here][use], one.weight[here][use])
                    for one in (seen.own, seen.total)
                )
                weight = float(np.mean(seen.own.weight[here][use]))
                numbers.append(_PATCHES_A_ROW * top + left)
                values.append(float(np.median(own - all_)))
                variances.append(_MEDIAN_COST / (n * weight))
        return np.array(numbers, np.int64), np.array(values, float), np.array(variances, float)


@dataclass(frozen=True, slots=True, eq=False)
class _SkyRows:
    """Some rows of an exposure less the mosaic; `free` of sources, `known` if weighted too."""

    free: BoolArray
    known: BoolArray
    weight: Plane
    difference: Plane

    @classmethod
    def of(cls, seen: OwnAndAll, rows: slice) -> _SkyRows:
        own, total = seen.own, seen.total
        weight = own.weight[rows]
        free = np.ones(weight.shape, bool)
        if seen.segmentation is not None:
            free = seen.segmentation[rows] == 0
        mine = _mean(own.numerator[rows], weight)
        difference = mine - _mean(total.numerator[rows], total.weight[rows])
        return cls(free, free & (weight > 0), weight, difference)


@dataclass(frozen=True, slots=True, eq=False)
class _Apertures:
    """Apertures of one size with the rings about them, on square stamps."""

    inner: BoolArray
    outer: BoolArray
    half: int

    @classmethod
    def of(cls, radius: float, ring: float) -> _Apertures:
        half = math.ceil(ring * radius)
        step = np.arange(-half, half + 1)
        distance = np.hypot(step, step[:, None])
        return cls(distance <= radius, (distance > radius) & (distance <= half), half)

    def photometry(
        self,
        seen: OwnAndAll,
        where: tuple[IntArray, IntArray, IntArray],
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return fluxes in the exposure and in the mosaic, and the variance of the first.

        Fluxes are 0 where too little is known. `where`: ids, and row and column of the stamps.
        """
        source, row, column = where

        def stamps(plane: NDArray[Any]) -> NDArray[Any]:
            return sliding_window_view(plane, (2 * self.half + 1,) * 2)[row, column]

        weight = stamps(seen.own.weight)
        known = weight > 0
        mine = np.ones_like(known)
        if seen.segmentation is not None:
            label = stamps(seen.segmentation)
            mine = (label == 0) | (label == source[:, None, None])
        aperture, ring = self.inner & mine & known, self.outer & mine & known
        n_aperture, n_ring = _count(aperture), _count(ring)
        enough = n_aperture >= _LEAST_KNOWN * np.maximum(_count(self.inner & mine), 1)
        enough &= n_aperture >= 0.5 * self.inner.sum()
        enough &= n_ring >= _LEAST_RING * self.outer.sum()
        part = n_aperture / np.maximum(n_ring, 1)
        own, all_ = (
            np.where(enough, _sum(one, aperture) - part * _sum(one, ring), 0.0)
            for one in (
                _mean(stamps(one.numerator), stamps(one.weight)) for one in (seen.own, seen.total)
            )
        )
        noise = np.divide(1.0, weight, out=np.zeros(weight.shape), where=known)
        return own, all_, _sum(noise, aperture) * (1.0 + part)


def _mean(numerator: Plane, weight: Plane) -> Plane:
    """Return the mean as `Contribution.mean` has it, 0 in holes."""
    value = np.zeros_like(numerator)
    np.divide(numerator, weight, out=value, where=weight > 0)
    return value


def _count(pixels: BoolArray) -> FloatArray:
    return np.asarray(pixels.sum(axis=(1, 2)), float)


def _sum(plane: NDArray[Any], where: BoolArray) -> FloatArray:
    return np.asarray(np.sum(plane, axis=(1, 2), where=where, dtype=float), float)
