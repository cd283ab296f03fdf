"""Sums of rows that share a label: vectorised, always added in the order of the rows."""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray


def sum_by(label: IntArray, values: FloatArray, n_labels: int) -> FloatArray:
    """Return the sum of `values` over the rows of each label.

    Parameters
    ----------
    label : int64, shape (n,)
        From 0 to ``n_labels - 1``.
    values : array, shape (n, ...)
    n_labels : int

    Returns
    -------
    array, shape (n_labels, ...)
        0 for labels without rows.
    """
    shape = (n_labels, *values.shape[1:])
    if not len(label):
        return np.zeros(shape)
    columns = values.reshape(len(label), -1)
    sums = [np.bincount(label, column, n_labels) for column in columns.T]
    return np.stack(sums, axis=1).reshape(shape)


def inverse_2x2(matrices: FloatArray) -> FloatArray:
    """Return the inverses of symmetric positive definite matrices, shape ``(n, 2, 2)``."""
    a, b, d = matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 1]
    determinant = a * d - b * b
    adjugate = np.stack([d, -b, -b, a], axis=1).reshape(-1, 2, 2)
    return np.asarray(adjugate / determinant[:, None, None], float)


def cholesky_2x2(matrices: FloatArray) -> FloatArray:
    """Return L, lower triangular, with ``L L^T`` = each matrix, shape ``(n, 2, 2)``.

    Without the exception that numpy raises: a zero matrix has a zero L.
    """
    first = np.sqrt(np.maximum(matrices[:, 0, 0], 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        below = np.where(first > 0, matrices[:, 1, 0] / first, 0.0)
    second = np.sqrt(np.maximum(matrices[:, 1, 1] - below**2, 0.0))
    zero = np.zeros_like(first)
    return np.stack([first, zero, below, second], axis=1).reshape(-1, 2, 2)


def apply_each(matrices: FloatArray, vectors: FloatArray) -> FloatArray:
    """Return each matrix times its vector: ``(n, a, b)`` and ``(n, b)`` give ``(n, a)``."""
    return np.asarray((matrices @ vectors[..., None])[..., 0], float)
