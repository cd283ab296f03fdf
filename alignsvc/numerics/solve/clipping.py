"""Which residuals are too large to belong: robust scale, robust centre, threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray
from alignsvc.numerics.solve.row_loops import medians
from alignsvc.numerics.solve.sums import (
    AnyIntArray,
    Computed,
    SumBy,
    apply_each,
    determinant_2x2,
    indices,
    inverse_2x2,
    parts_of,
    plain,
)

#: Solutions with outliers trusted less, before any is rejected.
N_REWEIGHTED = 4
#: Part of the rows outside their errors below which plain least squares is a good start.
FEW_OUTLIERS = 0.02
#: The cut is as wide as this, in units of the threshold: trust falls from 1 at 0.7 to 0 at 1.3.
_EDGE = 0.6
#: Lengths up to this, in units of the scale, tell of the scale: all but 1e-4 of normal ones.
_CORE = 3.0 * np.sqrt(2.0)
#: Median of the length of a two-dimensional normal vector of unit variance per axis.
MEDIAN_LENGTH = float(np.sqrt(2.0 * np.log(2.0)))


@dataclass(frozen=True, slots=True)
class Clipping:
    """Rejection of residuals far outside their errors.

    Parameters
    ----------
    iterations : int
        How often to reject and fit again; 0 rejects nothing.
    sigma : float
        Length of a residual that is trusted by half, in units of its rms length. Trust is whole
        up to 0.7 and gone from 1.3 of it. For normal errors in two dimensions 3 rejects
        ``exp(-(1.3 sigma)^2)`` = 2e-7 of the good ones, and doubts ``exp(-(0.7 sigma)^2)``,
        1.2 %.

    Notes
    -----
    The rms length is that of the covariances times a robust factor, the median of the
    normalised lengths that belong over its expectation, never below 1: covariances that are
    too small then reject no good source, and a perfect fit does not eat itself up.
    The first threshold is twice as wide, since outliers still bend the fit.
    A cut with an edge would let a source near it into one pass and out of the next, so that a
    set of few sources never comes to rest: the corrections must follow from the residuals
    without a jump.
    """

    iterations: int = 3
    sigma: float = 3.0

    def __post_init__(self) -> None:
        if self.iterations < 0 or not self.sigma > 0:
            raise ValueError(
                f"clipping: iterations must be >= 0 and sigma > 0, "
                f"got {self.iterations} and {self.sigma}"
            )

    def trust_within(self, lengths: FloatArray, iteration: int) -> FloatArray:
        """Return 1 for normalised lengths (root of chi2, 2 numbers) that belong, 0 far outside."""
        widened = 2.0 if iteration == 0 else 1.0
        threshold = widened * self.sigma * np.sqrt(2.0) * _scale_of(lengths)
        return np.asarray(np.clip((1.0 - lengths / threshold) / _EDGE + 0.5, 0.0, 1.0), float)

    def fraction_outside(self, lengths: FloatArray) -> float:
        """Return the part of the lengths beyond `sigma`, the covariances taken at their word."""
        return float(np.mean(lengths > self.sigma * np.sqrt(2.0))) if len(lengths) else 0.0

    def trust_by_length(self, lengths: FloatArray) -> FloatArray:
        """Return weights that fall off with the length: ``1 / (1 + (length / limit)^2)``.

        The weight function of Cauchy's distribution: an outlier's pull vanishes as it grows.
        The limit is half of `sigma`, in units of the error per axis: close enough to the core
        that a fifth of outliers does not bend the fit (0.7 sigma lets it).
        """
        limit = 0.5 * self.sigma * _scale_of(lengths)
        return np.asarray(1.0 / (1.0 + (lengths / limit) ** 2), float)


def normalised_lengths(residual: FloatArray, covariance: FloatArray) -> FloatArray:
    """Return ``sqrt(e^T C^-1 e)`` for rows ``(n, 2)`` and covariances ``(n, 2, 2)``.

    A covariance that is not positive (a row that alone fixes its own fit) gives 0.
    """
    a, b, d = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
    determinant = a * d - b * b
    x, y = residual.T
    with np.errstate(invalid="ignore", divide="ignore"):
        squared = (d * x * x - 2.0 * b * x * y + a * y * y) / determinant
    return np.sqrt(np.where((determinant > 0) & (squared > 0), squared, 0.0))


def lengths_from_median(
    source: AnyIntArray, residual: FloatArray, information: FloatArray | Computed
) -> FloatArray:
    """Return normalised lengths about the weighted median of each source.

    One bad row of three or more cannot move that middle; of two both are equally far from it.

    Parameters
    ----------
    source : array of integers, shape (n,)
        Index from 0, without gaps.
    residual : array, shape (n, 2)
    information : array or Computed, shape (n, 2, 2)
    """
    n = int(source.max(initial=-1)) + 1
    weight = np.empty(len(source))
    for some in parts_of(len(source)):
        # 1 / sigma: that of least absolute values
        weight[some] = determinant_2x2(information[some]) ** 0.25
    middle = np.stack([weighted_median_by(source, axis, weight, n) for axis in residual.T], 1)
    del weight
    total = SumBy(n, (2, 2))
    for some in parts_of(len(source)):
        total.add(source[some], information[some])
    # The variance of a median is pi/2 times that of the mean.
    of_middle = 0.5 * np.pi * inverse_2x2(total.total)
    lengths = np.empty(len(source))
    for some in parts_of(len(source)):
        of_row = source[some]
        covariance = inverse_2x2(information[some]) + of_middle[of_row]
        lengths[some] = normalised_lengths(residual[some] - middle[of_row], covariance)
    return lengths


def lengths_from_mean(
    source: AnyIntArray,
    residual: FloatArray,
    information: FloatArray | Computed,
    trust: FloatArray | BoolArray,
) -> FloatArray:
    """Return normalised lengths about the weighted mean of each source.

    Efficient where the outliers are gone. A row that is alone has length 0.

    Parameters
    ----------
    source : array of integers, shape (n,)
        Index from 0; there may be gaps.
    residual : array, shape (n, 2)
    information : array or Computed, shape (n, 2, 2)
    trust : array of floats or bool, shape (n,)
        Times which each row counts in the mean, 0 to 1.
    """
    n = int(source.max(initial=-1)) + 1
    sums, pulls, squares = SumBy(n, (2, 2)), SumBy(n, (2,)), SumBy(n, (2, 2))
    for some in parts_of(len(source)):
        in_mean = trust[some, None, None] * information[some]
        sums.add(source[some], in_mean)
        pulls.add(source[some], apply_each(in_mean, residual[some]))
        squares.add(source[some], trust[some, None, None] * in_mean)
    present = np.bincount(source, trust, n) > 0
    of_mean = sums.total
    del sums
    for some in parts_of(n):
        own = np.zeros_like(of_mean[some])
        own[present[some]] = inverse_2x2(of_mean[some][present[some]])
        of_mean[some] = own
    mean = apply_each(of_mean, pulls.total)
    del pulls
    # The mean is sum_j t_j H^-1 I_j r_j with H = sum_j t_j I_j. Its variance is
    # H^-1 (sum_j t_j^2 I_j) H^-1, and t_i H^-1 is what it shares with row i.
    squared = squares.total
    del squares
    for some in parts_of(n):
        squared[some] = of_mean[some] @ squared[some] @ of_mean[some]
    lengths = np.empty(len(source))
    for some in parts_of(len(source)):
        of_row = source[some]
        own = inverse_2x2(information[some]) - 2.0 * trust[some, None, None] * of_mean[of_row]
        covariance = own + squared[of_row]
        lengths[some] = normalised_lengths(residual[some] - mean[of_row], covariance)
    return lengths


def weighted_median_by(
    label: AnyIntArray, values: FloatArray, weights: FloatArray, n_labels: int
) -> FloatArray:
    """Return the weighted median of each label's rows; 0 for labels without rows.

    Parameters
    ----------
    label : int64, shape (n,)
    values : array, shape (n,)
    weights : array, shape (n,)
        Positive.
    n_labels : int

    Notes
    -----
    Where exactly half of the weight lies on each side (two equal rows), the middle between
    the two neighbours: neither of two rows that disagree is preferred.
    """
    return medians(indices(label), plain(values), plain(weights), n_labels)


def _scale_of(lengths: FloatArray) -> float:
    """How much larger the lengths are than normal ones; at least 1.

    The median of those that are within `_CORE` of it, found anew until nothing changes: with a
    third of outliers the median of all is half as large again, and lets many of them in.
    """
    scale, before = 1.0, 0.0
    inside = lengths
    while len(inside) and scale != before:
        before, scale = scale, max(1.0, float(np.median(inside)) / MEDIAN_LENGTH)
        inside = lengths[lengths <= _CORE * scale]
    return scale
