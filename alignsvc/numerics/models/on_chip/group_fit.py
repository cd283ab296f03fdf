"""Stars that overlap, fitted together: places, fluxes and one background of each window.

Gauss-Newton in all unknowns at once, all windows with equally many stars at once. Only the first
star of a window is asked for; what is not known of the others is in its covariance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.stars.star_fit import FittedStars, Psf, StarStack

#: A step is cut to this: farther the slopes of a sharp star say nothing.
_LONGEST_STEP_PX = 0.3
#: What is solved for of each star: x and y, times minus the flux, and the flux.
_OF_A_STAR = 3
#: The others of a window may still move by so many times what its first star may.
_OTHERS_TOLERANCE = 10.0
#: No less than this part of the flux that is expected of a star is believed, for its place.
_LEAST_PART = 0.1
#: Unknowns of a window less distinct than this have no solution.
_DEPENDENT = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class StarGroups:
    """Windows, each about a star, with others that overlap it.

    Parameters
    ----------
    stack : StarStack, n windows
        The aperture is that of the first star.
    place : Points, shape (n, m)
        In the windows, where the fit begins; of the star asked for first.
    flux : float64 array, shape (n, m)
        As expected; positive.
    is_faint : bool array, shape (n,)
        The first star's place is one step from its beginning, by its expected flux, as in
        `ExpectedStep`.
    known_px : float
        How well the places of the others are known beforehand.
    member : int64 array, shape (n, m)
        Which of the profiles each of them has, by index.
    """

    stack: StarStack
    place: Points
    flux: FloatArray
    is_faint: BoolArray
    known_px: float
    member: IntArray

    def __len__(self) -> int:
        return len(self.stack)

    @property
    def n_members(self) -> int:
        """Stars to a window."""
        return int(self.flux.shape[1])

    def select(self, which: BoolArray | IntArray) -> StarGroups:
        """Return the windows named by a mask or by indices."""
        return StarGroups(
            self.stack.select(which),
            Points(self.place.x[which], self.place.y[which]),
            self.flux[which],
            self.is_faint[which],
            self.known_px,
            self.member[which],
        )

    def with_one_more(self, place: Points, flux: FloatArray, member: IntArray) -> StarGroups:
        """Return the windows with a member more, at places (n,), of fluxes and profiles (n,)."""
        x, y = (
            np.concatenate([old, new[:, None]], axis=1)
            for old, new in zip(self.place, place, strict=True)
        )
        flux = np.concatenate([self.flux, flux[:, None]], axis=1)
        members = np.concatenate([self.member, member[:, None]], axis=1)
        return replace(self, place=Points(x, y), flux=flux, member=members)


@dataclass(frozen=True, slots=True, eq=False)
class FittedGroups:
    """What a fit of groups found.

    Parameters
    ----------
    first : FittedStars, n of them
        The stars asked for.
    place : Points, shape (n, m)
    flux : float64 array, shape (n, m)
        Of all members.
    left : float32 array, shape (n, side, side)
        Pixels less the model.
    columns : float32 array, shape (n, 3 m + 1, pixels)
        What the pixels are a sum of, where the fit has ended.
    """

    first: FittedStars
    place: Points
    flux: FloatArray
    left: Float32Array
    columns: Float32Array

    def select(self, which: BoolArray | IntArray) -> FittedGroups:
        """Return the windows named by a mask or by indices."""
        first = self.first
        return FittedGroups(
            FittedStars(
                Points(first.place.x[which], first.place.y[which]),
                first.flux[which],
                first.background[which],
                first.covariance[which],
                first.weight[which],
            ),
            Points(self.place.x[which], self.place.y[which]),
            self.flux[which],
            self.left[which],
            self.columns[which],
        )


@dataclass(frozen=True, slots=True)
class GroupFit:
    """Maximum-likelihood fit of groups of stars.

    Weights are chosen once, from the fluxes at the start, so that what is solved does not jump.

    Parameters
    ----------
    tolerance_px : float
        A window is done when the step of its first star is below this.
    max_iterations : int
    reach_px : float
        A fit whose first star ends farther from its start has left it.
    """

    tolerance_px: float = 1e-4
    max_iterations: int = 60
    reach_px: float = 1.5

    def __call__(self, psf: Psf, groups: StarGroups) -> FittedGroups:
        """Return the fitted groups; what does not converge to a positive flux has no place.

        `psf` has the profiles that the groups' members name.
        """
        weight = groups.stack.weight * groups.stack.window
        begun = _Equations.of(psf, groups, weight, groups.place, groups.flux)
        flux = begun.scale()
        weight = groups.stack.weighted(begun.light(flux))
        x, y = groups.place.x.copy(), groups.place.y.copy()
        going: IntArray = np.arange(len(groups))
        lost = np.zeros(len(groups), bool)
        for _ in range(self.max_iterations):
            some, here = groups.select(going), Points(x[going], y[going])
            equations = _Equations.of(psf, some, weight[going], here, flux[going])
            step = equations.step()
            flux[going] = equations.scale()
            x[going] += step.x
            y[going] += step.y
            length = np.hypot(step.x, step.y)
            away = np.hypot(x[going, 0] - some.place.x[:, 0], y[going, 0] - some.place.y[:, 0])
            kept = np.isfinite(length[:, 0]) & (away <= self.reach_px)
            lost[going[~kept]] = True
            length[:, 1:] /= _OTHERS_TOLERANCE
            going = going[kept & (length.max(axis=1) > self.tolerance_px)]
            if not going.size:
                break
        lost[going] = True
        x[lost], y[lost] = groups.place.x[lost], groups.place.y[lost]
        return _Equations.of(psf, groups, weight, Points(x, y), flux).ended(weight, lost)


@dataclass(frozen=True, slots=True, eq=False)
class _Equations:
    """Normal equations of windows at trial places, and their solution; NaN where there is none."""

    groups: StarGroups
    place: Points
    fluxes: FloatArray
    columns: Float32Array
    matrix: FloatArray
    solution: FloatArray

    @classmethod
    def of(
        cls,
        psf: Psf,
        groups: StarGroups,
        weight: Float32Array,
        place: Points,
        fluxes: FloatArray,
    ) -> _Equations:
        n, m, side = len(groups), groups.n_members, groups.stack.side
        centre = Points(place.x.ravel(), place.y.ravel())
        each = psf.select(groups.member.ravel()).at(centre, side).columns
        columns = np.ones((n, _OF_A_STAR * m + 1, side**2), np.float32)
        columns[:, :-1] = each[:, :_OF_A_STAR].reshape(n, _OF_A_STAR * m, side**2)
        weighted = columns * weight.reshape(n, 1, side**2)
        matrix = (weighted @ np.swapaxes(columns, 1, 2)).astype(np.float64)
        data = (weighted @ groups.stack.pixels.reshape(n, side**2, 1)).astype(np.float64)[:, :, 0]
        # What is known of the others beforehand is a measurement of x times minus the flux.
        known = (groups.known_px * fluxes[:, 1:]) ** -2.0
        for axis, (begun, now) in enumerate(zip(groups.place, place, strict=True)):
            at = _OF_A_STAR * np.arange(1, m) + axis
            matrix[:, at, at] += known
            data[:, at] -= known * fluxes[:, 1:] * (begun - now)[:, 1:]
        scale = np.sqrt(np.diagonal(matrix, axis1=1, axis2=2))
        regular = (scale > 0).all(axis=1)
        unit = matrix / np.where(scale > 0, scale, 1)[:, :, None]
        unit /= np.where(scale > 0, scale, 1)[:, None, :]
        regular &= np.isfinite(unit).all(axis=(1, 2))
        unit[~regular] = np.eye(unit.shape[1])
        regular &= np.linalg.eigvalsh(unit)[:, 0] > _DEPENDENT
        matrix[~regular] = np.eye(matrix.shape[1])
        solved = np.linalg.solve(matrix, data[:, :, None])[:, :, 0]
        solution: FloatArray = np.where(regular[:, None], solved, np.nan)
        return cls(groups, place, fluxes, columns, matrix, solution)

    @property
    def flux(self) -> FloatArray:
        """Of all members, shape (n, m)."""
        return self.solution[:, 2:-1:_OF_A_STAR]

    def light(self, flux: FloatArray) -> Float32Array:
        """Return the sum of the members' light, shape (n, side, side)."""
        values = self.columns[:, 2:-1:_OF_A_STAR]
        light = np.einsum("nm,nmp->np", flux.astype(np.float32), values)
        return np.asarray(light.reshape(self.groups.stack.pixels.shape), np.float32)

    def scale(self) -> FloatArray:
        """Return the fluxes by which slopes tell of places, (n, m), those expected at least."""
        found = np.nan_to_num(self.flux)
        least = np.maximum(found, _LEAST_PART * self.groups.flux)
        least[self.groups.is_faint, 0] = self.groups.flux[self.groups.is_faint, 0]
        return least

    def step(self) -> Points:
        """Return the steps of all members, pixels, (n, m); NaN where the first has no flux."""
        # With the fluxes that make a measurement of what is known beforehand, or steps overshoot.
        divisor = self.fluxes.copy()
        divisor[:, 0] = np.where(self.flux[:, 0] > 0, self.flux[:, 0], np.nan)
        divisor[self.groups.is_faint, 0] = np.inf
        x, y = (-self.solution[:, axis:-1:_OF_A_STAR] / divisor for axis in (0, 1))
        shorter = _LONGEST_STEP_PX / np.maximum(np.hypot(x, y), _LONGEST_STEP_PX)
        return Points(x * shorter, y * shorter)

    def ended(self, weight: Float32Array, lost: BoolArray) -> FittedGroups:
        """Return what the equations say where the fit has ended."""
        groups, flux = self.groups, self.flux
        faint = groups.is_faint
        divisor = np.where(faint, groups.flux[:, 0], flux[:, 0])
        sound = ~lost & (divisor > 0) & np.isfinite(self.solution).all(axis=1)
        divisor = np.where(sound, divisor, np.nan)
        own = Points(
            self.place.x[:, 0] - np.where(faint, self.solution[:, 0], 0.0) / divisor,
            self.place.y[:, 0] - np.where(faint, self.solution[:, 1], 0.0) / divisor,
        )
        model = np.einsum("nk,nkp->np", self.solution.astype(np.float32), self.columns)
        left = np.asarray(groups.stack.pixels - model.reshape(groups.stack.pixels.shape))
        covariance = self._covariance(weight) / (divisor**2)[:, None, None]
        first = FittedStars(own, flux[:, 0], self.solution[:, -1], covariance, weight)
        return FittedGroups(first, self.place, flux, left, self.columns)

    def _covariance(self, weight: Float32Array) -> FloatArray:
        """Return the covariance of the first star's place times minus its flux."""
        n, side = len(self.groups), self.groups.stack.side
        # The error is M^-1 sum w z n with w = window / variance: sum w^2 variance = w window.
        half = self.columns * (weight * self.groups.stack.window).reshape(n, 1, side**2)
        middle = (half @ np.swapaxes(self.columns, 1, 2)).astype(np.float64)
        at = _OF_A_STAR * np.arange(1, self.groups.n_members)
        known = (self.groups.known_px * self.fluxes[:, 1:]) ** -2.0
        for axis in (0, 1):
            middle[:, at + axis, at + axis] += known
        inverse = np.linalg.inv(self.matrix)
        whole: FloatArray = (inverse @ middle @ inverse)[:, :2, :2]
        return whole
