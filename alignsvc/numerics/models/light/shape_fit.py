"""Shapes of many sources, each fitted on its own: place, flux, sky and shape in one search.

Levenberg and Marquardt's, all sources at once and each with its own damping, so that one that runs
away stops nobody. Flux and sky are linear and follow exactly at each trial (variable projection).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.models.light.profile import Places, Profile, ProfileColumns

#: Damping of the first step, in units of the equations' diagonal, and what changes it.
_DAMPING, _EASED, _STIFFENED = 1e-2, 0.2, 6.0
#: A search whose steps are damped more has nowhere to go.
_MOST_DAMPING = 1e6
#: Longer steps of places say nothing, px.
_LONGEST_STEP_PX = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class ExpectedShape:
    """What is thought of shapes before pixels are looked at: independent Gaussians.

    Parameters
    ----------
    mean : float64 array, shape (n, k)
        A search begins there.
    sigma : float64 array, shape (k,)
    """

    mean: FloatArray
    sigma: FloatArray

    def select(self, which: IntArray) -> ExpectedShape:
        """Return what is thought of some of the sources."""
        return ExpectedShape(self.mean[which], self.sigma)


@dataclass(frozen=True, slots=True, eq=False)
class FittedShapes:
    """Where searches ended.

    Parameters
    ----------
    shape : float64 array, shape (n, k)
        Within the bounds of the profile; what was expected where pixels say nothing.
    place : Points, shape (n,)
        In the windows.
    flux : float64 array, shape (n,)
        May be negative or zero: then there is no such source.
    background : float64 array, shape (n,)
    chi2 : float64 array, shape (n,)
        Of the pixels, and of the shape about what was expected of it.
    """

    shape: FloatArray
    place: Points
    flux: FloatArray
    background: FloatArray
    chi2: FloatArray


@dataclass(frozen=True, slots=True)
class ShapeFit:
    """Fit of place, flux, sky and shape of sources.

    Parameters
    ----------
    most_trials : int
    tolerance : float
        A source is done when a step lowers its chi^2 by less.
    reach_px : float
        A place stays so near to its start.
    """

    most_trials: int = 30
    tolerance: float = 0.02
    reach_px: float = 2.0

    def __call__(
        self,
        profile: Profile,
        pixels: Pixels,
        start: Points,
        expected: ExpectedShape,
    ) -> FittedShapes:
        """Return the shapes.

        Parameters
        ----------
        profile : Profile
        pixels : Pixels
            n windows.
        start : Points, shape (n,)
            In the windows, finite.
        expected : ExpectedShape
        """
        n = len(pixels.value)
        bounds = _Bounds.of(profile, start, self.reach_px)
        unknown = np.column_stack([start.x, start.y, expected.mean])
        best, damping = unknown.copy(), np.full(n, _DAMPING)
        going: IntArray = np.arange(n)
        trial = _Trial.of(profile, pixels, best, expected)
        light, chi2 = trial.light.copy(), trial.chi2.copy()
        for _ in range(self.most_trials):
            if not going.size:
                break
            step = trial.step(damping[going])
            tried = bounds.select(going).within(best[going] + bounds.shortened(step))
            new = _Trial.of(profile, pixels.select(going), tried, expected.select(going))
            gain = chi2[going] - new.chi2
            better = gain > 0
            damping[going] *= np.where(better, _EASED, _STIFFENED)
            some = going[better]
            best[some], light[some], chi2[some] = tried[better], new.light[better], new.chi2[better]
            trial = trial.replaced(better, new)
            still = np.where(better, gain > self.tolerance, damping[going] < _MOST_DAMPING)
            going, trial = going[still], trial.select(still)
        place = Points(best[:, 0], best[:, 1])
        return FittedShapes(best[:, 2:], place, light[:, 0], light[:, 1], chi2)


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """What windows show.

    Parameters
    ----------
    value, weight : float32 array, shape (n, side, side)
        Weights are inverse variances; 0 for what takes no part.
    """

    value: Float32Array
    weight: Float32Array

    def select(self, which: BoolArray | IntArray) -> Pixels:
        """Return the windows named by a mask or by indices."""
        return Pixels(self.value[which], self.weight[which])


@dataclass(frozen=True, slots=True, eq=False)
class _Bounds:
    """Limits of unknowns (place, then shape), and of steps."""

    lowest: FloatArray  # (n, 2 + k)
    highest: FloatArray
    longest: FloatArray  # (2 + k,)

    @staticmethod
    def of(profile: Profile, start: Points, reach_px: float) -> _Bounds:
        n, place = len(start.x), np.column_stack([start.x, start.y])
        lowest, highest, longest = (
            np.array([getattr(one, name) for one in profile.parameters])
            for name in ("lowest", "highest", "step")
        )
        return _Bounds(
            np.column_stack([place - reach_px, np.tile(lowest, (n, 1))]),
            np.column_stack([place + reach_px, np.tile(highest, (n, 1))]),
            np.concatenate([[_LONGEST_STEP_PX] * 2, longest]),
        )

    def select(self, which: IntArray) -> _Bounds:
        return replace(self, lowest=self.lowest[which], highest=self.highest[which])

    def within(self, unknown: FloatArray) -> FloatArray:
        return np.clip(unknown, self.lowest, self.highest)

    def shortened(self, step: FloatArray) -> FloatArray:
        """Return steps that are nowhere longer than allowed, in the same direction."""
        shorter: FloatArray = step / np.maximum(np.abs(step / self.longest).max(axis=1), 1)[:, None]
        return shorter


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """The equations of sources at trial places and shapes, flux and sky eliminated."""

    matrix: FloatArray  # (n, 2 + k, 2 + k), of place and shape
    right: FloatArray  # (n, 2 + k)
    light: FloatArray  # (n, 2): flux and sky
    chi2: FloatArray

    @classmethod
    def of(
        cls, profile: Profile, pixels: Pixels, unknown: FloatArray, expected: ExpectedShape
    ) -> _Trial:
        n, side = len(unknown), pixels.value.shape[-1]
        shape = unknown[:, 2:]
        columns = _columns(profile(Places(unknown[:, 0], unknown[:, 1], side), shape), pixels)
        weighted = columns * pixels.weight.reshape(n, 1, side**2)
        all_sums = (weighted @ columns.swapaxes(1, 2)).astype(np.float64)
        # Place and shape first, then value and 1, and the data last.
        m = columns.shape[1] - 3
        linear = all_sums[:, m:-1, m:-1] + 1e-12 * np.eye(2) * (
            1e-20 + np.trace(all_sums[:, m:-1, m:-1], axis1=1, axis2=2)[:, None, None]
        )
        across = all_sums[:, m:-1, :m]
        seen = all_sums[:, m:-1, -1:]
        solved = np.linalg.solve(linear, np.concatenate([across, seen], axis=2))
        best = solved[:, :, -1]
        flux = best[:, 0]
        inner = all_sums[:, :m, :m] - across.swapaxes(1, 2) @ solved[:, :, :m]
        data = all_sums[:, :m, -1] - np.einsum("nim,ni->nm", across, best)
        chi2 = all_sums[:, -1, -1] - np.einsum("ni,ni->n", seen[:, :, 0], best)
        off = (shape - expected.mean) / expected.sigma
        matrix = flux[:, None, None] ** 2 * inner
        right = flux[:, None] * data
        known = np.arange(2, m)
        matrix[:, known, known] += expected.sigma**-2
        right[:, 2:] -= off / expected.sigma
        return cls(matrix, right, best, chi2 + np.sum(off**2, axis=1))

    def step(self, damping: FloatArray) -> FloatArray:
        """Return the step of place and shape."""
        diagonal = np.diagonal(self.matrix, axis1=1, axis2=2)
        added = damping[:, None] * diagonal + 1e-9 * diagonal.max(axis=1, keepdims=True) + 1e-30
        damped = self.matrix + added[:, :, None] * np.eye(self.matrix.shape[-1])
        step: FloatArray = np.linalg.solve(damped, self.right[:, :, None])[:, :, 0]
        return step

    def replaced(self, which: BoolArray, other: _Trial) -> _Trial:
        """Return the trials, those that a mask names replaced by another's."""
        pairs = zip(self._fields(), other._fields(), strict=True)
        return _Trial(
            *(
                np.where(which.reshape(-1, *[1] * (mine.ndim - 1)), theirs, mine)
                for mine, theirs in pairs
            )
        )

    def select(self, which: BoolArray) -> _Trial:
        """Return the trials that a mask names."""
        return _Trial(*(one[which] for one in self._fields()))

    def _fields(self) -> tuple[FloatArray, ...]:
        return self.matrix, self.right, self.light, self.chi2


def _columns(source: ProfileColumns, pixels: Pixels) -> Float32Array:
    """Return slopes by place and shape, value, 1 and the data, shape (n, 5 + k, pixels)."""
    n, side = len(pixels.value), pixels.value.shape[-1]
    k = source.d_shape.shape[1]
    columns = np.empty((n, k + 5, side, side), np.float32)
    columns[:, 0], columns[:, 1], columns[:, 2 : 2 + k] = source.d_x, source.d_y, source.d_shape
    columns[:, 2 + k], columns[:, 3 + k], columns[:, 4 + k] = source.value, 1, pixels.value
    return columns.reshape(n, k + 5, side**2)
