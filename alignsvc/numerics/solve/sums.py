"""Sums of rows that share a label, always added in the order of the rows; small matrices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.numerics.solve import row_loops

#: Rows that are worked on at once, where a row needs kilobytes on the way.
_AT_ONCE = 1 << 13

#: Integers, however wide: half the memory where there is one for each row.
AnyIntArray: TypeAlias = NDArray[np.integer[Any]]
#: Some of an array's rows.
Some: TypeAlias = slice | AnyIntArray


def sum_by(label: AnyIntArray, values: FloatArray, n_labels: int) -> FloatArray:
    """Return the sum of `values` over the rows of each label.

    Parameters
    ----------
    label : int64, shape (n,)
        From 0 to ``n_labels - 1``; -1 = of no sum.
    values : array, shape (n, ...)
    n_labels : int

    Returns
    -------
    array, shape (n_labels, ...)
        0 for labels without rows.
    """
    sums = SumBy(n_labels, values.shape[1:])
    sums.add(label, values)
    return sums.total


class SumBy:
    """Sums as of `sum_by`, bit for bit, of rows that come some at a time.

    Parameters
    ----------
    n_labels : int
    shape : tuple of int
        Of a row's value.
    """

    def __init__(self, n_labels: int, shape: tuple[int, ...]) -> None:
        self._shape = (n_labels, *shape)
        self._sums = np.zeros((n_labels, math.prod(shape)))

    def add(self, label: AnyIntArray, values: FloatArray) -> None:
        """Add rows, behind those added before; a row of label -1 to none."""
        row_loops.add_rows(
            self._sums, indices(label), plain(values.reshape(len(label), self._sums.shape[1]))
        )

    def add_normals(self, label: AnyIntArray, design: FloatArray, information: FloatArray) -> None:
        """Add ``B^T I B`` of rows with design (k, 2, p) and information (k, 2, 2)."""
        row_loops.add_normals(self.total, indices(label), plain(design), plain(information))

    @property
    def total(self) -> FloatArray:
        """The sums, shape ``(n_labels, ...)``; later rows are added to it."""
        return self._sums.reshape(self._shape)


def plain(values: FloatArray) -> FloatArray:
    """Return an array as compiled loops take it: in order, and writable whoever writes to it."""
    return np.require(values, float, ["C", "W"])


def indices(values: AnyIntArray) -> IntArray:
    """Return indices as compiled loops take them."""
    return np.require(values, np.int64, ["C", "W"])


@dataclass(frozen=True, slots=True)
class Computed:
    """Rows of an array that are computed when they are asked for, like `array[some]`.

    Parameters
    ----------
    compute : callable
        Returns the values of some rows.
    n : int
    """

    compute: Callable[[Some], FloatArray]
    n: int

    def __getitem__(self, some: Some) -> FloatArray:
        return self.compute(some)

    def __len__(self) -> int:
        return self.n


def parts_of(n: int, size: int = _AT_ONCE) -> Iterator[slice]:
    """Yield slices of n rows in order, `size` each but for the last."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def numbered(values: AnyIntArray) -> IntArray:
    """Return each value's place among the distinct ones, from 0; values are not negative."""
    n = int(values.max(initial=-1)) + 1
    if n > 4 * len(values):
        return np.asarray(np.unique(values, return_inverse=True)[1], np.int64)
    present = np.zeros(n, bool)
    present[values] = True
    return (np.cumsum(present) - 1)[values]


def determinant_2x2(matrices: FloatArray) -> FloatArray:
    """Return the determinants of symmetric matrices, shape ``(n, 2, 2)``."""
    a, b, d = matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 1]
    return np.asarray(a * d - b * b, float)


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
    return row_loops.times_vector(plain(matrices), plain(vectors))
