"""Companions that the catalogue does not know, in what the fit of a bright source leaves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import maximum_filter

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.models.on_chip.chip_profile import ChipProfile
from alignsvc.numerics.models.on_chip.group_fit import FittedGroups, StarGroups

#: Places that are tried stand so many to a FWHM, but not closer than the pixels.
_TRIED_PER_FWHM = 2.0


@dataclass(frozen=True, slots=True)
class CompanionSearch:
    """Search for one more star in each window.

    A star more, of any flux, at each of many places lowers chi2 by a square that follows from
    the equations of the fit: what it takes from those that are there is allowed for. What a wrong
    profile or a galaxy leaves is the same on both sides of a source, and moves no place; so a
    companion is what exceeds its mirror image.

    Parameters
    ----------
    least_significance : float
        Of the excess over the mirror image, standard deviations.
    most_mirrored : float
        The mirror image has at most this part of the companion's flux.
    least_contrast : float
        A companion is this part of the light of the others where it stands: smaller is what a
        profile may be wrong by.
    """

    least_significance: float = 4.0
    most_mirrored: float = 0.5
    least_contrast: float = 0.05

    def __call__(
        self, profile: ChipProfile, groups: StarGroups, fitted: FittedGroups, nearest_px: float
    ) -> LikeliestCompanions:
        """Return the likeliest companion of each window, not so near to its stars."""
        tried = _Tried.of(profile, groups.stack.side)
        gain = _Gain.of(tried, fitted)
        mirror = tried.mirrored(fitted.first.place)
        each = np.arange(len(groups))[:, None]
        beyond = mirror < 0
        mirrored = np.where(beyond, np.inf, tried.largest_near(gain.flux)[each, mirror])
        variance = gain.variance + np.where(beyond, np.inf, gain.variance[each, mirror])
        model = groups.stack.pixels - fitted.left - _level(fitted)
        there = model.reshape(len(groups), -1)[:, tried.pixel]
        allowed = (mirrored <= self.most_mirrored * gain.flux) & np.isfinite(variance)
        allowed &= gain.flux * tried.peak >= self.least_contrast * there
        allowed &= tried.clear(fitted.place, nearest_px)
        seen = (groups.stack.weight * groups.stack.window).reshape(len(groups), -1)[:, tried.pixel]
        allowed &= seen > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            significance = np.where(allowed, (gain.flux - mirrored) / np.sqrt(variance), 0.0)
        best = np.argmax(significance, axis=1)
        found = significance[each[:, 0], best] >= self.least_significance
        return LikeliestCompanions(
            Points(*(np.where(found, axis[best], np.nan) for axis in tried.place)),
            np.where(found, gain.flux[each[:, 0], best], np.nan),
            significance[each[:, 0], best],
        )


@dataclass(frozen=True, slots=True, eq=False)
class LikeliestCompanions:
    """One companion for each window; NaN where there is none.

    Parameters
    ----------
    place : Points, shape (n,)
        In the window, to a pixel.
    flux : float64 array, shape (n,)
    significance : float64 array, shape (n,)
        Of the likeliest place, found or not, standard deviations.
    """

    place: Points
    flux: FloatArray
    significance: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Tried:
    """Places that are tried in windows of a size, on a grid of pixels."""

    side: int
    step: int
    place: Points
    pixel: IntArray
    light: Float32Array
    peak: float

    @classmethod
    def of(cls, profile: ChipProfile, side: int) -> _Tried:
        step = max(round(profile.fwhm_px / _TRIED_PER_FWHM), 1)
        middle = np.array([float(side - 1)])
        one = profile.at(Points(middle, middle), 2 * side - 1).value[0]
        # A star at pixel i of a window is a window that begins side - 1 - i before the middle.
        moved = sliding_window_view(one, (side, side))[::-1, ::-1][::step, ::step]
        axis = np.arange(0, side, step)
        y, x = (grid.ravel() for grid in np.meshgrid(axis, axis, indexing="ij"))
        light = np.ascontiguousarray(moved.reshape(len(x), side**2))
        return cls(
            side,
            step,
            Points(x.astype(float), y.astype(float)),
            y * side + x,
            light,
            float(one.max()),
        )

    def mirrored(self, about: Points) -> IntArray:
        """Return the index of the place opposite each, shape (n, tried); -1 beyond the window."""
        n_axis = -(-self.side // self.step)
        x, y = (
            np.rint((2 * np.nan_to_num(middle)[:, None] - axis) / self.step).astype(np.int64)
            for middle, axis in zip(about, self.place, strict=True)
        )
        inside = (x >= 0) & (x < n_axis) & (y >= 0) & (y < n_axis)
        return np.where(inside, y * n_axis + x, -1)

    def largest_near(self, flux: FloatArray) -> FloatArray:
        """Return the largest flux at each place and beside it: mirrors hit none exactly."""
        n_axis = -(-self.side // self.step)
        frames = np.maximum(flux, 0.0).reshape(-1, n_axis, n_axis)
        return np.asarray(maximum_filter(frames, size=(1, 3, 3)).reshape(flux.shape))

    def clear(self, members: Points, distance_px: float) -> BoolArray:
        """Return which places are not too near to the members of each window, (n, tried)."""
        x = members.x[:, :, None] - self.place.x
        y = members.y[:, :, None] - self.place.y
        return np.asarray(np.hypot(x, y).min(axis=1) >= distance_px)


@dataclass(frozen=True, slots=True, eq=False)
class _Gain:
    """Fluxes of one more star and their variances, all else fitted with it, (n, tried)."""

    flux: FloatArray
    variance: FloatArray

    @classmethod
    def of(cls, tried: _Tried, fitted: FittedGroups) -> _Gain:
        n = len(fitted.flux)
        weight = fitted.first.weight.reshape(n, 1, -1)
        weighted = fitted.columns * weight
        matrix = (weighted @ np.swapaxes(fitted.columns, 1, 2)).astype(np.float64)
        light = tried.light.T
        cross = (weighted @ light).astype(np.float64)
        seen = ((weight * fitted.left.reshape(n, 1, -1)) @ light).astype(np.float64)[:, 0]
        alone = (weight @ light**2).astype(np.float64)[:, 0]
        sound = np.asarray(np.isfinite(matrix).all(axis=(1, 2)) & np.isfinite(seen).all(axis=1))
        matrix[~sound] = np.eye(matrix.shape[1])
        inverse = np.linalg.pinv(matrix, hermitian=True)
        response = alone - np.einsum("njt,njk,nkt->nt", cross, inverse, cross, optimize=True)
        known = sound[:, None] & (response > 1e-3 * alone)
        response = np.where(known, response, 1.0)
        return cls(np.where(known, seen / response, 0.0), np.where(known, 1 / response, np.inf))


def _level(fitted: FittedGroups) -> FloatArray:
    """Return backgrounds, to be taken from frames."""
    return np.nan_to_num(fitted.first.background)[:, None, None]
