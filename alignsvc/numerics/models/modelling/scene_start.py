"""Where a model fit begins: levels, widths and places that the pixels themselves tell."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.matching.similarity import Similarity, as_complex, fit_similarity
from alignsvc.numerics.models.modelling.scene_input import SceneExposure
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.sources.exposure_sources import ChipSources, ExposureDetector
from alignsvc.numerics.sources.matching import Matches, mutual_nearest
from alignsvc.numerics.sources.meshes import CellValue, clipped_statistics

#: Half a side of the cutout in which a source's width is read, px.
_WIDTH_REACH = 20
#: The brightest sources tell the width of all.
_WIDTH_SOURCES = 15
#: Distances that are compared at once.
_AT_ONCE = 2_000_000
#: Longest part of a hypothesis' score that its length takes off: less than one source.
_LONG_WAY = 0.5
#: Two distances between sources are one, but for this much of a scale.
_SCALE = 0.03


def level_of(exposure: SceneExposure, where: BoolArray) -> CellValue:
    """Return the sky's level and noise in some good pixels; NaN if there are none."""
    values = np.asarray(exposure.pixels, np.float64)[where]
    return clipped_statistics(values)


@dataclass(frozen=True, slots=True, eq=False)
class SeenSources:
    """What an exposure shows by itself.

    Parameters
    ----------
    sources : ChipSources
        The brightest first.
    level, noise : float
        Of the sky, units of the pixels; NaN without a good pixel.
    """

    sources: ChipSources
    level: float
    noise: float


def seen_sources(exposure: SceneExposure, threshold: float) -> SeenSources:
    """Return the sources of an exposure that stand out by `threshold` standard deviations."""
    good = exposure.good
    none = ChipSources(Points(np.zeros(0), np.zeros(0)), np.zeros(0))
    sky = level_of(exposure, good)
    if not good.any():
        return SeenSources(none, math.nan, math.nan)
    noise = sky.rms
    if exposure.variance is not None:
        noise = math.sqrt(np.median(np.broadcast_to(exposure.variance, exposure.shape)[good]))
    if not noise > 0:
        return SeenSources(none, sky.level, sky.rms)
    # In units of the noise: squares of 1e-20 are no numbers in single precision.
    pixels = (above(exposure, sky.level) / noise).astype(np.float32)
    weight = good.astype(np.float32)
    chip = CalibratedChip(exposure.name, pixels, weight, ~good, np.zeros(exposure.shape, bool))
    return SeenSources(ExposureDetector(threshold)(chip), sky.level, sky.rms)


def above(exposure: SceneExposure, level: float) -> Float32Array:
    """Return the pixels above a level, 0 where masked."""
    pixels = np.asarray(exposure.pixels, np.float64)
    return np.where(exposure.good, pixels - level, 0.0).astype(np.float32)


def widths(pixels: Float32Array, at: Points) -> FloatArray:
    """Return the FWHM (px) of the area above half the peak about each place; NaN where none is.

    Parameters
    ----------
    pixels : float32 array, shape (ny, nx)
        Sky subtracted.
    at : Points, shape (n,)
    """
    found = np.full(len(at.x), np.nan)
    ny, nx = pixels.shape
    for k, (x, y) in enumerate(zip(np.rint(at.x), np.rint(at.y), strict=True)):
        if not (0 <= x < nx and 0 <= y < ny):
            continue
        rows = slice(max(int(y) - _WIDTH_REACH, 0), int(y) + _WIDTH_REACH + 1)
        columns = slice(max(int(x) - _WIDTH_REACH, 0), int(x) + _WIDTH_REACH + 1)
        cut = pixels[rows, columns]
        row, column = int(y) - rows.start, int(x) - columns.start
        peak = cut[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].max()
        if peak > 0:
            parts, _ = label(cut > 0.5 * peak)
            area = np.count_nonzero(parts == parts[row, column]) if parts[row, column] else 0
            found[k] = 2.0 * math.sqrt(area / math.pi) if area else np.nan
    return found


def typical_width(pixels: Float32Array, sources: ChipSources) -> float:
    """Return the median FWHM (px) of the brightest sources; NaN without one."""
    at = Points(*(axis[:_WIDTH_SOURCES] for axis in sources.points))
    found = widths(pixels, at)
    return float(np.median(found[np.isfinite(found)])) if np.isfinite(found).any() else math.nan


@dataclass(frozen=True, slots=True)
class StartMatcher:
    """Finds the expected sources in an exposure whose header is off.

    Each pair of an expected and a found source makes a shift, each two pairs a shift with a turn;
    the one that brings most together wins, the shorter way where as many come together. It is for
    few sources, three at best; crowds are the business of `pattern_match`.

    Parameters
    ----------
    reach_px : float
        How far a source may be from where it is expected.
    turn_deg : float
        How far the exposure may be turned.
    tolerance_px : float
        How well matched sources agree.
    most : int
        So many of the brightest make hypotheses.
    """

    reach_px: float = 20.0
    turn_deg: float = 10.0
    tolerance_px: float = 2.0
    most: int = 20

    def __call__(self, expected: Points, found: Points, *, may_turn: bool) -> Matches:
        """Return which expected source is which found one; empty if that is not clear.

        Parameters
        ----------
        expected, found : Points
            Pixels, finite, the brightest first where that is known.
        may_turn : bool
        """
        # What is fainter than all that are expected is of no use: chance matches come from it.
        found = Points(*(axis[: 2 * len(expected.x) + 4] for axis in found))
        none = Matches(np.zeros(0, np.int64), np.zeros(0, np.int64))
        e, f = as_complex(expected), as_complex(found)
        if not len(e) or not len(f):
            return none
        best, highest = None, -math.inf
        for factor, shift in self._hypotheses(e[: self.most], f[: self.most], may_turn):
            score = self._scores(e, f, factor, shift)
            k = int(np.argmax(score))
            if score[k] > highest:
                highest, best = float(score[k]), Similarity(complex(factor[k]), complex(shift[k]))
        if best is None:
            return none
        for _ in range(2):
            matches = mutual_nearest(best(expected), found, self.tolerance_px)
            if len(matches) < min(2, len(e)):
                return none
            best = rigid(e[matches.first], f[matches.second], may_turn=may_turn)
        return mutual_nearest(best(expected), found, self.tolerance_px)

    def _hypotheses(
        self, e: NDArray[np.complex128], f: NDArray[np.complex128], may_turn: bool
    ) -> Iterator[tuple[NDArray[np.complex128], NDArray[np.complex128]]]:
        """Yield factors and shifts, some thousands at a time; the header's own first."""
        shift = (f[None, :] - e[:, None]).ravel()
        shift = np.append(0.0, shift[np.abs(shift) <= self.reach_px])
        yield np.ones(len(shift), np.complex128), shift
        if not may_turn or min(len(e), len(f)) < 2:
            return
        first, second = np.triu_indices(len(e), 1)
        third, fourth = np.nonzero(~np.eye(len(f), dtype=bool))
        before, after = e[second] - e[first], f[fourth] - f[third]
        for a, b, v in zip(first, second, before, strict=True):
            if abs(v) < 4 * self.tolerance_px:
                continue  # so near that it says nothing of a turn
            ratio = after / v
            near = np.abs(np.abs(ratio) - 1) * abs(v) < 2 * self.tolerance_px + _SCALE * abs(v)
            near &= np.abs(np.degrees(np.angle(ratio))) <= self.turn_deg
            near &= np.abs(f[third] - e[a]) <= self.reach_px
            near &= np.abs(f[fourth] - e[b]) <= self.reach_px
            factor = ratio[near] / np.abs(ratio[near])
            if len(factor):
                middle = 0.5 * (e[a] + e[b])
                yield factor, 0.5 * (f[third] + f[fourth])[near] - factor * middle

    def _scores(
        self,
        e: NDArray[np.complex128],
        f: NDArray[np.complex128],
        factor: NDArray[np.complex128],
        shift: NDArray[np.complex128],
    ) -> FloatArray:
        """Return how many come together, each by how well, less a part for a long way."""
        score = np.empty(len(factor))
        step = max(_AT_ONCE // (len(e) * len(f)), 1)
        for start in range(0, len(factor), step):
            part = slice(start, start + step)
            moved = factor[part, None] * e + shift[part, None]
            nearest = np.abs(moved[:, :, None] - f).min(axis=2)
            together = np.maximum(1 - (nearest / self.tolerance_px) ** 2, 0).sum(axis=1)
            way = np.abs(moved - e).max(axis=1) / self.reach_px
            score[part] = together - _LONG_WAY * np.minimum(way, 1) ** 2
        return score


def rigid(
    first: NDArray[np.complex128], second: NDArray[np.complex128], *, may_turn: bool
) -> Similarity:
    """Return the shift, with a turn if it may and two points tell it, that carries one to two."""
    factor = 1.0 + 0.0j
    if may_turn and len(first) > 1 and np.ptp(first.real) + np.ptp(first.imag) > 0:
        found = fit_similarity(first, second, mirrored=False).factor
        factor = found / abs(found) if abs(found) > 0 else factor
    return Similarity(factor, complex((second - factor * first).mean()))
