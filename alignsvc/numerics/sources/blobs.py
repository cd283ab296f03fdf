"""Connected pixels above a threshold, found among the few that exceed it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, Float32Array, IntArray, hold_read_only, read_only
from alignsvc.numerics.compiled import compiled


@dataclass(frozen=True, slots=True, eq=False)
class Blobs:
    """Pixels above a threshold, those that touch by a side or a corner in one blob.

    Parameters
    ----------
    at : int64 array, shape (n,)
        Indices of these pixels in the image, row after row.
    number : int32 array, shape (n,)
        Which blob each belongs to, of 0 to m - 1, in order of their first pixels.
    place : int64 array, shape (m, 4)
        Of each blob: first row, first column, and the rows and columns after the last.
    plane : int32 array, shape (ny, nx)
        1 + the number of a pixel's blob; 0 below the threshold.
    """

    at: IntArray
    number: NDArray[np.int32]
    place: IntArray
    plane: NDArray[np.int32]

    def __post_init__(self) -> None:
        hold_read_only(self, "at", "number", "place", "plane")

    @classmethod
    def above(cls, image: Float32Array, threshold: float) -> Blobs:
        """Return the blobs of an image, shape (ny, nx)."""
        at = np.flatnonzero(image > threshold)
        plane = np.zeros(image.shape, np.int32)
        number, n_blobs = _numbers(at, plane)
        return cls(at, number, _places(at, number, n_blobs, image.shape[1]), plane)

    def __len__(self) -> int:
        return len(self.place)

    @property
    def area(self) -> IntArray:
        """Pixels of each."""
        return np.bincount(self.number, minlength=len(self))

    def touching(self, where: BoolArray) -> BoolArray:
        """Return which blobs have a pixel in `where`, of the image's shape."""
        found = np.zeros(len(self), bool)
        found[self.number[where.take(self.at)]] = True
        return found

    def maxima(self, image: Float32Array) -> IntArray:
        """Return how many pixels of each are not below any of the eight about them."""
        highest = _is_highest(read_only(image), self.at)
        return np.bincount(self.number[highest], minlength=len(self))

    def window(self, blob: int) -> tuple[slice, slice]:
        """Return the rows and columns that hold a blob."""
        y0, x0, y1, x1 = self.place[blob].tolist()
        return slice(y0, y1), slice(x0, x1)


@compiled
def _numbers(at: IntArray, plane: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
    """Return the blob of each pixel, and how many there are.

    Each pixel takes the number of a neighbour before it; numbers that meet are made to point to
    the least of them. `plane`, which is 0, is filled with 1 + the number of the blob.
    """
    nx = plane.shape[1]
    parent, n = np.empty(at.size + 1, np.int32), 0
    for k in range(at.size):
        y = at[k] // nx
        x = at[k] - y * nx
        least = n + 1
        parent[least] = least
        for row, column in ((y, x - 1), (y - 1, x - 1), (y - 1, x), (y - 1, x + 1)):
            if row >= 0 and 0 <= column < nx and plane[row, column] > 0:
                other = _root(parent, plane[row, column])
                parent[max(least, other)] = min(least, other)
                least = min(least, other)
        n = max(n, least)
        plane[y, x] = least
    final, n_blobs = np.zeros(n + 1, np.int32), 0
    number = np.empty(at.size, np.int32)
    for k in range(at.size):
        y = at[k] // nx
        x = at[k] - y * nx
        root = _root(parent, plane[y, x])
        if final[root] == 0:
            n_blobs += 1
            final[root] = n_blobs
        number[k] = final[root] - 1
        plane[y, x] = final[root]
    return number, n_blobs


@compiled
def _root(parent: NDArray[np.int32], number: int) -> int:
    """Return what a number points to in the end, and make it point there at once."""
    root = number
    while parent[root] != root:
        root = parent[root]
    while parent[number] != root:
        parent[number], number = root, parent[number]
    return root


@compiled
def _places(at: IntArray, number: NDArray[np.int32], n_blobs: int, nx: int) -> IntArray:
    """Return first row and column of each blob, and those after the last."""
    place = np.empty((n_blobs, 4), np.int64)
    place[:, :2] = np.iinfo(np.int64).max
    place[:, 2:] = 0
    for k in range(at.size):
        y = at[k] // nx
        x = at[k] - y * nx
        blob = number[k]
        place[blob, 0] = min(place[blob, 0], y)
        place[blob, 1] = min(place[blob, 1], x)
        place[blob, 2] = max(place[blob, 2], y + 1)
        place[blob, 3] = max(place[blob, 3], x + 1)
    return place


@compiled
def _is_highest(image: Float32Array, at: IntArray) -> BoolArray:
    """Return which pixels are not below any of the eight about them."""
    ny, nx = image.shape
    found = np.empty(at.size, np.bool_)
    for k in range(at.size):
        y = at[k] // nx
        x = at[k] - y * nx
        highest = True
        for row in range(max(y - 1, 0), min(y + 2, ny)):
            for column in range(max(x - 1, 0), min(x + 2, nx)):
                highest &= image[y, x] >= image[row, column]
        found[k] = highest
    return found
