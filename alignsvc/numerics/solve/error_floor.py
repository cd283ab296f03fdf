"""What the brightest sources disagree by, however small their formal errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.numerics.solve.clipping import (
    MEDIAN_LENGTH,
    lengths_from_mean,
    lengths_from_median,
    weighted_median_by,
)
from alignsvc.numerics.solve.sums import inverse_2x2

#: Doublings and halvings in the search; 8 halvings leave the floor uncertain by 0.4 %.
_MOST_DOUBLINGS, _HALVINGS = 30, 8


@dataclass(frozen=True, slots=True)
class ErrorFloor:
    """Estimate the error that all displacements have on top of their formal one.

    Photon noise is not all: colours refract and images blur differently in two exposures, and
    distortion is never quite the model's. A bright star's formal error knows nothing of it, so
    that a few of them carry the fit, or the clipping throws them all out. (Three bands of one
    field: 0.04 px, at formal errors of 0.001 px.)

    Parameters
    ----------
    doubt : float
        How far above 1 the scale of the residuals may lie by chance, in units of
        ``1 / sqrt(n)`` with n the effective number of rows. The scale of n independent rows
        scatters by 0.72 of it (density of a Rayleigh variable at its median), that of pairs,
        which share their residual, by 1.02.
    widest : float
        Rows farther out than this, in units of the scale, do not belong to their source.

    Notes
    -----
    The floor is the one that makes the median normalised length that of normal errors, each
    row counting by its information: who carries the fit decides. A median, since a fifth of
    the rows may be outliers, and those are for the clipping. Where formal errors suffice, the
    floor is 0 and nothing changes.
    """

    doubt: float = 2.0
    widest: float = 6.0

    def __call__(self, source: IntArray, residual: FloatArray, information: FloatArray) -> float:
        """Return the standard deviation per axis to add in quadrature, 0 if none is needed.

        Parameters
        ----------
        source : int64, shape (n,)
            Index from 0, without gaps; each has two rows or more.
        residual : array, shape (n, 2)
            What a fit has left, any unit; the offset that a source's rows have in common may
            be in it.
        information : array, shape (n, 2, 2)
            Positive definite, unit^-2.
        """
        rows = (source, residual, information)
        if not len(source) or self._suffices(rows, 0.0):
            return 0.0
        weight = np.trace(information, axis1=1, axis2=2)
        low, high = 0.0, float(np.sqrt(2.0 * weight.sum() / (weight**2).sum()))
        for _ in range(_MOST_DOUBLINGS):
            if self._suffices(rows, high):
                break
            low, high = high, 2.0 * high
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if self._suffices(rows, middle) else (middle, high)
        return high

    def _suffices(self, rows: tuple[IntArray, FloatArray, FloatArray], floor: float) -> bool:
        """Return whether residuals are no larger than errors with this floor explain."""
        source, residual, information = rows
        floored = with_floor(information, floor)
        weight = np.trace(floored, axis1=1, axis2=2)
        lengths = lengths_from_median(source, residual, floored)
        near = lengths <= self.widest * np.sqrt(2.0) * max(1.0, _scale(lengths, weight))
        # Only against others is a row tested: one that is left alone has length 0.
        near &= np.bincount(source[near], minlength=int(source.max()) + 1)[source] > 1
        if not near.any():
            return True
        lengths = lengths_from_mean(source[near], residual[near], floored[near])
        effective = weight[near].sum() ** 2 / (weight[near] ** 2).sum()
        return bool(_scale(lengths, weight[near]) <= 1.0 + self.doubt / np.sqrt(effective))


def with_floor(information: FloatArray, floor: float) -> FloatArray:
    """Return the information of measurements whose errors grow by `floor` in quadrature.

    ``(I^-1 + f^2)^-1 = (1 + f^2 I)^-1 I``, which needs no inverse of I: rows without
    information stay so.

    Parameters
    ----------
    information : array, shape (n, 2, 2)
        Not negative.
    floor : float
        Standard deviation per axis.
    """
    if floor == 0.0:
        return information
    shrunk = inverse_2x2(np.eye(2) + floor**2 * information) @ information
    return np.asarray(0.5 * (shrunk + np.swapaxes(shrunk, 1, 2)), float)


def _scale(lengths: FloatArray, weight: FloatArray) -> float:
    """Median length, each row counting by its weight, over that of normal errors."""
    label = np.zeros(len(lengths), np.int64)
    return float(weighted_median_by(label, lengths, weight, 1)[0]) / MEDIAN_LENGTH
