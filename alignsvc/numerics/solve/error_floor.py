"""What displacements disagree by, however small their formal errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.solve.clipping import (
    MEDIAN_LENGTH,
    lengths_from_mean,
    lengths_from_median,
    normalised_lengths,
    weighted_median_by,
)
from alignsvc.numerics.solve.sums import AnyIntArray, Computed, SumBy, inverse_2x2, parts_of

#: Estimates of the floor: the first from a fit that knows none yet.
N_FLOORS = 2
#: Doublings (or the reverse) and halvings in the search: 6 leave the floor uncertain by 2 %.
_MOST_DOUBLINGS, _HALVINGS = 30, 6
#: A row has at least this part of its variance left after the fit: 0 would divide by nothing.
_LEAST_FREE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class FitRows:
    """Measurements of sources that several exposures see, and what a fit has left of them.

    Parameters
    ----------
    source, exposure : int64, shape (n,)
        Indices from 0, without gaps.
    residual : array, shape (n, 2)
        Any unit; the offset that a source's rows have in common may be in it.
    design : array or Computed, shape (n, 2, p)
        Of the exposure's free parameters; 0 for an exposure that does not move.
    information : array or Computed, shape (n, 2, 2)
        Positive definite, unit^-2.
    """

    source: AnyIntArray
    exposure: AnyIntArray
    residual: FloatArray
    design: FloatArray | Computed
    information: FloatArray | Computed

    def trace(self, floor: float) -> FloatArray:
        """Return the trace of each row's information with a floor."""
        trace = np.empty(len(self.source))
        for some in parts_of(len(trace)):
            trace[some] = np.trace(with_floor(self.information[some], floor), axis1=1, axis2=2)
        return trace


@dataclass(frozen=True, slots=True)
class ErrorFloor:
    """Estimate the error that all displacements have on top of their formal one.

    Photon noise is not all: colours refract and images blur differently in two exposures,
    stars move, and distortion is never quite the model's. A bright star's formal error knows
    nothing of it, so that a few of them carry the fit, or the clipping throws them all out.
    (Three bands of one field: 0.04 px, at formal errors of 0.001 px.)

    Parameters
    ----------
    doubt : float
        How far above 1 the scale of the residuals may lie by chance, in units of
        ``1 / sqrt(n)`` with n the effective number of rows. The scale of n independent rows
        scatters by 0.72 of it (density of a Rayleigh variable at its median), that of pairs,
        which share their residual, by 1.02.
    widest : float
        Rows farther out than this, in units of the scale, do not belong to their source.
    before : float
        What an earlier look at the same exposures found, 0 if there was none. It stays as long
        as residuals do not speak against it.

    Notes
    -----
    The floor is the one that makes the median normalised length that of normal errors, each
    row counting by its information: who carries the fit decides. A median, since a fifth of
    the rows may be outliers, and those are for the clipping. A row counts and is judged by the
    part of it that its exposure's fit leaves free: a star that alone fixes the fit has no
    residual, which says nothing for it. Where formal errors suffice, the floor is 0 and
    nothing changes.

    Of few rows a wide range of floors can be true: from the least that suffices, the scale being
    allowed its doubt, to the one with which the scale is 1. A few thousandths of a pixel in one
    star decide whether the least is 0 or what the rest of them say, and with it which stars carry
    the fit. A loop that took the least each time would go to and fro for ever; so within that
    range it keeps what it had.
    """

    doubt: float = 2.0
    widest: float = 6.0
    before: float = 0.0

    def __call__(self, rows: FitRows) -> float:
        """Return the standard deviation per axis to add in quadrature, 0 if none is needed."""
        return self._estimate(rows, ErrorFloor._suffices)

    def of_one_exposure(self, rows: FitRows) -> float:
        """Return the same for residuals of one exposure from positions that stand for the truth.

        Then a row is judged by itself, not against the others of its source.
        """
        return self._estimate(rows, ErrorFloor._suffices_alone)

    def _estimate(self, rows: FitRows, suffices: Callable[[Self, FitRows, float], bool]) -> float:
        """Return what was found before, or that end of the range which is nearer to it."""
        if not len(rows.source):
            return 0.0
        least = _least(rows, partial(suffices, self, rows))
        if self.before <= least:
            return least
        undoubted = partial(suffices, replace(self, doubt=0.0), rows)
        if not undoubted(self.before):
            return self.before
        return least if undoubted(least) else _down_from(self.before, least, undoubted)

    def _suffices(self, rows: FitRows, floor: float) -> bool:
        """Return whether residuals are no larger than errors with this floor explain."""
        information = Computed(
            lambda some: with_floor(rows.information[some], floor), len(rows.source)
        )
        free = 1.0 - leverage(rows, information)
        judged = Computed(lambda some: information[some] / free[some, None, None], len(rows.source))
        lengths = lengths_from_median(rows.source, rows.residual, judged)
        # A row's own error comes into its residual times `free`, and squared into its square.
        weight = free**2 * rows.trace(floor)
        near = lengths <= self.widest * np.sqrt(2.0) * max(1.0, _scale(lengths, weight))
        # Only against others is a row tested: one that is left alone has length 0.
        near &= np.bincount(rows.source[near], minlength=len(near))[rows.source] > 1
        if not near.any():
            return True
        del lengths
        lengths = lengths_from_mean(rows.source, rows.residual, judged, near)
        return self._is_explained(lengths[near], weight[near])

    def _suffices_alone(self, rows: FitRows, floor: float) -> bool:
        information = with_floor(rows.information[:], floor)
        free = 1.0 - leverage(rows, information)
        weight = free**2 * np.trace(information, axis1=1, axis2=2)
        covariance = free[:, None, None] * inverse_2x2(information)
        lengths = normalised_lengths(rows.residual, covariance)
        near = lengths <= self.widest * np.sqrt(2.0) * max(1.0, _scale(lengths, weight))
        return self._is_explained(lengths[near], weight[near])

    def _is_explained(self, lengths: FloatArray, weight: FloatArray) -> bool:
        effective = weight.sum() ** 2 / (weight**2).sum()
        return bool(_scale(lengths, weight) <= 1.0 + self.doubt / np.sqrt(effective))


def _least(rows: FitRows, suffices: Callable[[float], bool]) -> float:
    """Return the least floor that suffices, to 2 %."""
    if suffices(0.0):
        return 0.0
    weight = rows.trace(0.0)
    low, high = 0.0, float(np.sqrt(2.0 * weight.sum() / (weight**2).sum()))
    for _ in range(_MOST_DOUBLINGS):
        if suffices(high):
            break
        low, high = high, 2.0 * high
    return _between(low, high, suffices)


def _down_from(high: float, low: float, suffices: Callable[[float], bool]) -> float:
    """Return the least floor that suffices, to 2 %, where `low` does not and `high` does."""
    for _ in range(_MOST_DOUBLINGS):
        half = 0.5 * high
        if half <= low or not suffices(half):
            break
        high = half
    return _between(max(low, 0.5 * high), high, suffices)


def _between(low: float, high: float, suffices: Callable[[float], bool]) -> float:
    """Return the least floor that suffices, where `low` does not and `high` does."""
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high


def leverage(rows: FitRows, information: FloatArray | Computed) -> FloatArray:
    """Return which part of each row's variance its exposure's own fit takes up, shape (n,).

    Half the trace of ``B N^-1 B^T I`` with N the exposure's normal matrix: the sum over an
    exposure's rows is half the number of parameters. At most 0.999.

    Parameters
    ----------
    rows : FitRows
    information : array or Computed, shape (n, 2, 2)
    """
    n_exposures = int(rows.exposure.max(initial=-1)) + 1
    width = rows.design[:1].shape[2]
    sums = SumBy(n_exposures, (width, width))
    for some in parts_of(len(rows.source)):
        sums.add_normals(rows.exposure[some], rows.design[some], information[some])
    normal = sums.total
    diagonal = np.diagonal(normal, axis1=1, axis2=2)
    # Arcsec and radians side by side: to units in which every diagonal is 1, and back.
    scale = np.where(diagonal > 0, 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0)), 0.0)
    unit = normal * scale[:, :, None] * scale[:, None, :]
    inverse = np.linalg.pinv(unit, hermitian=True) * scale[:, :, None] * scale[:, None, :]
    taken = np.empty(len(rows.source))
    for some in parts_of(len(taken)):
        design = rows.design[some]
        between = inverse[rows.exposure[some]]
        taken[some] = 0.5 * np.einsum("niq,nqr,nir->n", information[some] @ design, between, design)
    return np.asarray(np.clip(taken, 0.0, 1.0 - _LEAST_FREE), float)


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
    a, b, d = information[:, 0, 0], information[:, 0, 1], information[:, 1, 1]
    f2 = floor**2
    own = f2 * (a * d - b * b)
    shrunk = np.stack([a + own, b, b, d + own], axis=1).reshape(-1, 2, 2)
    return np.asarray(shrunk / (1.0 + f2 * (a + d + own))[:, None, None], float)


def _scale(lengths: FloatArray, weight: FloatArray) -> float:
    """Median length, each row counting by its weight, over that of normal errors."""
    label = np.zeros(len(lengths), np.int64)
    return float(weighted_median_by(label, lengths, weight, 1)[0]) / MEDIAN_LENGTH
