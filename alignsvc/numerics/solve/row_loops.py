"""Loops over rows of measurements, each with matrices of two to six numbers a side.

numpy spends more on handing such a matrix over than on multiplying it. Sums are made in the order
of the rows, whatever the processor.
"""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.numerics.compiled import compiled

#: Halves of a weight are equal to this.
_TOLERANCE = 1e-9


@compiled
def add_rows(sums: FloatArray, label: IntArray, values: FloatArray) -> None:
    """Add values (k, q) to the sums (n, q) of their labels; label -1 has none."""
    for k in range(len(label)):
        at = label[k]
        if at >= 0:
            for q in range(values.shape[1]):
                sums[at, q] += values[k, q]


@compiled
def add_normals(
    sums: FloatArray, label: IntArray, design: FloatArray, information: FloatArray
) -> None:
    """Add ``B^T I B`` of rows (k, 2, p), (k, 2, 2) to the sums (n, p, p) of their labels."""
    width = design.shape[2]
    for k in range(len(label)):
        at = label[k]
        if at < 0:
            continue
        for q in range(width):
            u = information[k, 0, 0] * design[k, 0, q] + information[k, 0, 1] * design[k, 1, q]
            v = information[k, 1, 0] * design[k, 0, q] + information[k, 1, 1] * design[k, 1, q]
            for r in range(width):
                sums[at, r, q] += design[k, 0, r] * u + design[k, 1, r] * v


@compiled
def times_matrix(rows: FloatArray, matrices: FloatArray, which: IntArray) -> FloatArray:
    """Return rows (k, 2, a) times the matrices (n, a, p) that they name; 0 for those of -1."""
    product = np.zeros((len(rows), rows.shape[1], matrices.shape[2]))
    for k in range(len(rows)):
        at = which[k]
        if at < 0:
            continue
        for i in range(rows.shape[1]):
            for a in range(rows.shape[2]):
                value = rows[k, i, a]
                for p in range(matrices.shape[2]):
                    product[k, i, p] += value * matrices[at, a, p]
    return product


@compiled
def times_vector(matrices: FloatArray, vectors: FloatArray) -> FloatArray:
    """Return each matrix (k, a, b) times its vector (k, b)."""
    product = np.empty((len(matrices), matrices.shape[1]))
    for k in range(len(matrices)):
        for a in range(matrices.shape[1]):
            total = 0.0
            for b in range(matrices.shape[2]):
                total += matrices[k, a, b] * vectors[k, b]
            product[k, a] = total
    return product


@compiled
def averaged(
    design: FloatArray, root: FloatArray, information: FloatArray, key: IntArray
) -> FloatArray:
    """Return ``F^T P B``: rows (k, 2, p) as they count in their sources' means, root (n, 2, 2)."""
    found = np.empty_like(design)
    for k in range(len(design)):
        at = key[k]
        for i in range(2):
            u = root[at, i, 0] * information[k, 0, 0] + root[at, i, 1] * information[k, 1, 0]
            v = root[at, i, 0] * information[k, 0, 1] + root[at, i, 1] * information[k, 1, 1]
            for p in range(design.shape[2]):
                found[k, i, p] = u * design[k, 0, p] + v * design[k, 1, p]
    return found


@compiled
def subtract_pairs(
    blocks: FloatArray,
    links: tuple[IntArray, IntArray],
    rows: tuple[IntArray, IntArray],
    design: FloatArray,
) -> None:
    """Subtract ``V_i^T V_j`` of all pairs of rows of one source from the blocks of their columns.

    Parameters
    ----------
    blocks : array, shape (b, p, p)
        Of a symmetric matrix, the upper half.
    links : tuple of int64
        Of each block row the first block, and of each block its column, rising within a row.
    rows : tuple of int64, shape (k,)
        Source and column of each row, sorted by them.
    design : array, shape (k, 2, p)
        V.
    """
    start, other = links
    key, column = rows
    width = design.shape[2]
    for k in range(len(key)):
        end = start[column[k] + 1]
        for m in range(k, len(key)):
            if key[m] != key[k]:
                break
            low, high = start[column[k]], end
            while low < high:
                middle = (low + high) // 2
                if other[middle] < column[m]:
                    low = middle + 1
                else:
                    high = middle
            both = m != k and column[m] == column[k]
            for p in range(width):
                for q in range(width):
                    product = design[k, 0, p] * design[m, 0, q] + design[k, 1, p] * design[m, 1, q]
                    blocks[low, p, q] -= product
                    if both:
                        blocks[low, q, p] -= product


@compiled
def medians(label: IntArray, values: FloatArray, weights: FloatArray, n_labels: int) -> FloatArray:
    """Return weighted medians; see `clipping.weighted_median_by`."""
    start = np.zeros(n_labels + 1, np.int64)
    for k in range(len(label)):
        start[label[k] + 1] += 1
    for one in range(n_labels):
        start[one + 1] += start[one]
    place, order = start[:-1].copy(), np.empty(len(label), np.int64)
    for k in range(len(label)):
        order[place[label[k]]] = k
        place[label[k]] += 1
    median = np.zeros(n_labels)
    for one in range(n_labels):
        if start[one] < start[one + 1]:
            own = order[start[one] : start[one + 1]]
            _sort_by(own, values)
            median[one] = _middle(own, values, weights)
    return median


@compiled
def _sort_by(own: IntArray, values: FloatArray) -> None:
    """Sort indices by their values, in place: Shell's sort, which is little to compile."""
    gap = 1
    while gap < len(own) // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for k in range(gap, len(own)):
            moving, at = own[k], k
            while at >= gap and values[own[at - gap]] > values[moving]:
                own[at] = own[at - gap]
                at -= gap
            own[at] = moving
        gap //= 3


@compiled
def _middle(own: IntArray, values: FloatArray, weights: FloatArray) -> float:
    """Return the value at half of the weight, of sorted rows; of two, their middle."""
    total = 0.0
    for k in own:
        total += weights[k]
    lower, upper, so_far = -1, len(own) - 1, 0.0
    for k in range(len(own)):
        so_far += weights[own[k]] / total
        if lower < 0 and so_far >= 0.5 - _TOLERANCE:
            lower = k
        if so_far > 0.5 + _TOLERANCE:
            upper = k
            break
    return float(0.5 * (values[own[lower]] + values[own[upper]]))
