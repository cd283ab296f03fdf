"""Residuals over their errors: whether errors that are stated are errors that are made."""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray, read_only
from alignsvc.numerics.solve.sums import apply_each, inverse_2x2, numbered, sum_by

#: Least part of its own variance that the distance of a row from its source's mean must have: what
#: is nearly the mean itself tells nothing.
_LEAST_FREE = 0.1


def pulls_alone(residual: FloatArray, information: FloatArray) -> FloatArray:
    """Return residuals over their errors, axis by axis.

    Parameters
    ----------
    residual : float64, shape (n, 2)
    information : float64, shape (n, 2, 2)
        Inverse covariances, positive definite.

    Returns
    -------
    float64, shape (n, 2)
    """
    variance = _variances(inverse_2x2(information))
    return read_only(residual / np.sqrt(variance))


def pulls_about_means(
    source: IntArray, residual: FloatArray, information: FloatArray
) -> FloatArray:
    """Return how far residuals lie from the weighted mean of their source, over their errors.

    With ``r_is = c_s + noise_i`` the mean of a source has the covariance ``V_s = (sum_i I_is)^-1``,
    and ``r_is - c_s`` has ``I_is^-1 - V_s``: of unit variance if the errors are right.

    Parameters
    ----------
    source : int64, shape (n,)
        The source of each row.
    residual : float64, shape (n, 2)
    information : float64, shape (n, 2, 2)
        Inverse covariances, positive definite.

    Returns
    -------
    float64, shape (m, 2)
        Axis by axis, in the order of the rows; without those that make up nearly all of what is
        known of their source (a source that only one exposure saw among them).
    """
    label = numbered(source)
    n_sources = int(label.max(initial=-1)) + 1
    of_mean = inverse_2x2(sum_by(label, information, n_sources))
    mean = apply_each(of_mean, sum_by(label, apply_each(information, residual), n_sources))
    own = _variances(inverse_2x2(information))
    free = own - _variances(of_mean)[label]
    tells = (free > _LEAST_FREE * own).all(axis=1)
    return read_only((residual - mean[label])[tells] / np.sqrt(free[tells]))


def _variances(covariance: FloatArray) -> FloatArray:
    return np.stack([covariance[:, 0, 0], covariance[:, 1, 1]], axis=1)
