"""Maps of a plane that keep shapes: shift, rotation, one scale, and perhaps a mirror."""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.geometry import Points


@dataclass(frozen=True, slots=True)
class Similarity:
    """``new = factor z + shift`` with ``z = x + i y``; of its conjugate where it mirrors.

    Parameters
    ----------
    factor : complex
        Scale times ``exp(i angle)``; the angle is counted from x toward y.
    shift : complex
    is_mirrored : bool
        Whether y changes its sign before all else: the parity of the two planes differs.
    """

    factor: complex
    shift: complex
    is_mirrored: bool = False

    @property
    def scale(self) -> float:
        """Length after it over length before."""
        return abs(self.factor)

    @property
    def rotation_deg(self) -> float:
        """Rotation from north through east, in (-180, 180], where x is east and y is north."""
        return -math.degrees(cmath.phase(self.factor))

    def __call__(self, points: Points) -> Points:
        """Return where `points` come to lie."""
        moved = self.moved(points.x + 1j * np.asarray(points.y))
        return Points(moved.real, moved.imag)

    def moved(self, z: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """Return where the points ``x + i y`` come to lie."""
        return self.factor * (np.conj(z) if self.is_mirrored else z) + self.shift

    def after(self, first: Similarity) -> Similarity:
        """Return the map that does `first`, then this one."""
        factor, shift = first.factor, first.shift
        if self.is_mirrored:
            factor, shift = factor.conjugate(), shift.conjugate()
        return Similarity(
            self.factor * factor,
            self.factor * shift + self.shift,
            self.is_mirrored != first.is_mirrored,
        )

    def inverse(self) -> Similarity:
        """Return the map that undoes this one."""
        factor, shift = 1.0 / self.factor, -self.shift / self.factor
        if self.is_mirrored:
            factor, shift = factor.conjugate(), shift.conjugate()
        return Similarity(factor, shift, self.is_mirrored)


UNMOVED = Similarity(1.0 + 0.0j, 0.0j)


def as_complex(points: Points) -> NDArray[np.complex128]:
    """Return points as ``x + i y``."""
    z: NDArray[np.complex128] = np.asarray(points.x, float) + 1j * np.asarray(points.y, float)
    return z


def on_circle(middle: complex, extent: float) -> NDArray[np.complex128]:
    """Return three points that tell what a similarity does: a middle and two of a circle."""
    z: NDArray[np.complex128] = middle + extent * np.array([0.0, 1.0, 1j], np.complex128)
    return z


def fit_similarity(
    first: NDArray[np.complex128], second: NDArray[np.complex128], *, mirrored: bool
) -> Similarity:
    """Return the similarity that best carries `first` to `second`, by least squares.

    Parameters
    ----------
    first, second : complex arrays, shape (n,)
        Two points at least, not all the same.
    mirrored : bool
        Whether it mirrors.

    Notes
    -----
    With means taken off, ``sum |v - f u|^2`` is least for ``f = sum(conj(u) v) / sum |u|^2``.
    """
    start = np.conj(first) if mirrored else first
    u, v = start - start.mean(), second - second.mean()
    factor = complex(np.vdot(u, v) / np.vdot(u, u).real)
    return Similarity(factor, complex(second.mean() - factor * start.mean()), mirrored)


def simplest_alike(
    first: NDArray[np.complex128],
    second: NDArray[np.complex128],
    fitted: Similarity,
    tolerance: float,
) -> Similarity:
    """Return a shift, or a shift with a rotation, that does what `fitted` does; else `fitted`.

    A few sources in a corner say little of rotation and scale, and nothing of where that would
    put the rest of the field: what they do not ask for stays as the header has it.

    Parameters
    ----------
    first, second : complex arrays, shape (n,)
        The points that were fitted, two at least.
    fitted : Similarity
    tolerance : float
        Largest difference at any of the points.
    """
    start = np.conj(first) if fitted.is_mirrored else first
    for factor in (1.0 + 0.0j, fitted.factor / abs(fitted.factor)):
        shift = complex((second - factor * start).mean())
        simple = Similarity(factor, shift, fitted.is_mirrored)
        if np.abs(simple.moved(first) - fitted.moved(first)).max() <= tolerance:
            return simple
    return fitted
