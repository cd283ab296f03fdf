"""Groups of sources fitted together, and small symmetric matrices for each of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray, read_only

#: An unknown whose variance beside those before it is this part of its own is not determined.
_DEPENDENT = 1e-12


@dataclass(frozen=True, slots=True)
class GroupClass:
    """Consecutive groups with equally many unknowns.

    Parameters
    ----------
    size : int
        Unknowns of a group.
    count : int
        Groups.
    start : int
        First element in a vector of the unknowns of all groups.
    square_start : int
        First element in a vector of the elements of all groups' matrices.
    """

    size: int
    count: int
    start: int
    square_start: int

    def vectors(self, flat: FloatArray) -> FloatArray:
        """Return this class's part of a vector of all, shape (count, size)."""
        return flat[self.start : self.start + self.count * self.size].reshape(-1, self.size)

    def matrices(self, flat: FloatArray) -> FloatArray:
        """Return this class's part of all matrices, shape (count, size, size)."""
        end = self.square_start + self.count * self.size**2
        return flat[self.square_start : end].reshape(-1, self.size, self.size)


@dataclass(frozen=True, slots=True, eq=False)
class GroupLayout:
    """Where the unknowns of groups stand: groups in order of their number of unknowns.

    Parameters
    ----------
    size : int64 array, shape (n_groups,)
        Unknowns of each group, not decreasing.

    Attributes
    ----------
    start, square_start : int64 arrays, shape (n_groups,)
        First unknown of each group, and first element of its matrix.
    classes : tuple of GroupClass
        Groups without unknowns left out.
    """

    size: IntArray
    start: IntArray = field(init=False)
    square_start: IntArray = field(init=False)
    classes: tuple[GroupClass, ...] = field(init=False)

    def __post_init__(self) -> None:
        if np.any(np.diff(self.size) < 0):
            raise ValueError("groups: sizes that do not decrease wanted")
        start = np.concatenate([[0], np.cumsum(self.size)]).astype(np.int64)
        square = np.concatenate([[0], np.cumsum(self.size**2)]).astype(np.int64)
        found = zip(*np.unique(self.size, return_index=True, return_counts=True), strict=True)
        classes = tuple(
            GroupClass(int(size), int(count), int(start[first]), int(square[first]))
            for size, first, count in found
            if size
        )
        object.__setattr__(self, "start", read_only(start[:-1]))
        object.__setattr__(self, "square_start", read_only(square[:-1]))
        object.__setattr__(self, "classes", classes)

    @property
    def n_unknowns(self) -> int:
        """Of all groups."""
        return int(self.size.sum())

    @property
    def n_elements(self) -> int:
        """Of all groups' matrices."""
        return int((self.size**2).sum())

    def diagonal(self, matrices: FloatArray) -> FloatArray:
        """Return the diagonals of all matrices, shape (n_unknowns,)."""
        parts = [np.diagonal(c.matrices(matrices), axis1=1, axis2=2).ravel() for c in self.classes]
        return np.concatenate([np.zeros(0), *parts])


def whiteners(matrices: FloatArray) -> FloatArray:
    """Return W with ``W^T W`` the inverse of each symmetric matrix, shape (n, g, g).

    An unknown that the matrix does not determine beside those before it has a row and a column
    of zeros: it is held.
    """
    n, size, _ = matrices.shape
    diagonal = np.diagonal(matrices, axis1=1, axis2=2)
    scale = np.where(diagonal > 0, 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0)), 0.0)
    unit = matrices * scale[:, :, None] * scale[:, None, :]
    lower = np.zeros_like(unit)
    inverse_pivot = np.zeros((n, size))
    for j in range(size):
        rest = unit[:, j:, j] - np.einsum("nik,nk->ni", lower[:, j:, :j], lower[:, j, :j])
        pivot = rest[:, 0]
        good = pivot > _DEPENDENT
        inverse_pivot[:, j] = np.where(good, 1.0 / np.sqrt(np.where(good, pivot, 1.0)), 0.0)
        lower[:, j:, j] = rest * inverse_pivot[:, j, None]
    white = np.zeros_like(unit)
    for j in range(size):
        row = -np.einsum("nk,nkc->nc", lower[:, j, :j], white[:, :j, :])
        row[:, j] += 1.0
        white[:, j, :] = row * inverse_pivot[:, j, None]
    return np.asarray(white * scale[:, None, :])
