"""The pixel map near each source, and a spline over the grid sampled through it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray, read_only
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.cutouts import pieces
from alignsvc.numerics.displacement.spline import ORDER, REACH, basis_weights
from alignsvc.numerics.sky.pixel_map import PixelMap

#: Where a map turns or shears a window by less than this, in grid pixels at its corners, the turn
#: is a Taylor series of one term, or of two. What is left out is less by the square (the cube) of
#: the distance near the source: 1e-6 of the peak of a star of FWHM 3.
MOST_TURN_PX = (0.02, 0.3)

#: The points about a source that a map is expanded from, and what gives the terms of their values.
_V, _U = read_only(np.mgrid[-1.0:2.0, -1.0:2.0].reshape(2, 9))
_FIT = read_only(np.linalg.pinv(np.stack([_U**0, _U, _V, _U**2, _U * _V, _V**2], axis=1)))


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Square windows of chip pixels, all of one size.

    Parameters
    ----------
    corner_x, corner_y : int64 arrays, shape (n,)
        First chip pixel.
    side : int
    """

    corner_x: IntArray
    corner_y: IntArray
    side: int

    def select(self, which: BoolArray) -> Windows:
        """Return the windows named by a mask."""
        return Windows(self.corner_x[which], self.corner_y[which], self.side)


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The pixels of a box that are nearest to those of windows.

    Parameters
    ----------
    index : int64 array, shape (n, side, side)
        Into the box's pixels, row after row; clipped to the box.
    inside : bool array, shape (n, side, side)
        Whether it was not.
    """

    index: IntArray
    inside: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class LocalMap:
    """Chip pixels to grid pixels near each source: a quadratic expansion of the pixel map.

    Parameters
    ----------
    centre : Points, shape (n,)
        Chip pixels.
    reach_px : float
        Unit of the expansion's arguments, chip pixels.
    terms : float64 array, shape (n, 2, 6)
        Of grid x, y: coefficients of 1, u, v, u^2, uv, v^2 with ``u = (x - centre) / reach``.
    """

    centre: Points
    reach_px: float
    terms: FloatArray

    @classmethod
    def expand(cls, pixel_map: PixelMap, centre: Points, reach_px: float) -> LocalMap:
        """Return the expansion about `centre`, fitted to 3 x 3 points `reach_px` apart."""
        grid = pixel_map.to_grid(
            Points(centre.x[:, None] + reach_px * _U, centre.y[:, None] + reach_px * _V)
        )
        # About the middle point, so that the fit works on tens of pixels, not thousands.
        values = np.stack([grid.x, grid.y], axis=1)
        middle = values[:, :, 4:5]
        terms = (values - middle) @ _FIT.T
        terms[:, :, :1] += middle
        return cls(centre, reach_px, terms)

    @property
    def area(self) -> FloatArray:
        """Grid pixels per chip pixel at the centre."""
        slope = self.terms[:, :, 1:3] / self.reach_px
        area: FloatArray = np.abs(np.linalg.det(slope))
        return area

    def select(self, which: BoolArray) -> LocalMap:
        """Return the maps named by a mask."""
        centre = Points(self.centre.x[which], self.centre.y[which])
        return LocalMap(centre, self.reach_px, self.terms[which])

    def moved(self, x: float, y: float) -> LocalMap:
        """Return the maps to coordinates that count from grid pixel (x, y)."""
        terms = self.terms.copy()
        terms[:, :, 0] -= (x, y)
        return LocalMap(self.centre, self.reach_px, terms)

    @property
    def turn_px(self) -> FloatArray:
        """Largest shift across an axis within the reach that position along it brings."""
        x, y = np.abs(self.terms[:, 0]), np.abs(self.terms[:, 1])
        turn: FloatArray = np.maximum(x[:, 2] + x[:, 4] + x[:, 5], y[:, 1] + y[:, 4] + y[:, 3])
        return turn

    def arguments(self, windows: Windows) -> Points:
        """Return u and v along the windows' sides, each of shape (n, side)."""
        step = np.arange(windows.side)
        return Points(
            ((windows.corner_x - self.centre.x)[:, None] + step) / self.reach_px,
            ((windows.corner_y - self.centre.y)[:, None] + step) / self.reach_px,
        )

    def along(self, windows: Windows) -> Points:
        """Return grid x of the windows' columns and y of their rows, (n, side): no turn."""
        u, v = self.arguments(windows)
        t = self.terms[:, :, :, None]
        return Points(
            t[:, 0, 0] + t[:, 0, 1] * u + t[:, 0, 3] * u**2,
            t[:, 1, 0] + t[:, 1, 2] * v + t[:, 1, 5] * v**2,
        )

    def nearest(self, windows: Windows, shape: tuple[int, int]) -> Nearest:
        """Return which pixels of a box are nearest to the windows' pixels.

        Parameters
        ----------
        windows : Windows
        shape : tuple of int
            ``(ny, nx)`` of the box, to whose pixels the maps lead.
        """
        if np.all(self.turn_px <= MOST_TURN_PX[0]):
            # Of columns and rows: a fiftieth of a pixel decides nothing.
            at = self.along(windows)
            y, x = np.rint(at.y)[:, :, None], np.rint(at.x)[:, None, :]
        else:
            y, x = np.rint(self.of_windows(windows))
        ny, nx = shape
        row, column = (np.clip(i, 0, n - 1).astype(np.int64) for i, n in ((y, ny), (x, nx)))
        return Nearest(row * nx + column, (row == y) & (column == x))

    def of_windows(self, windows: Windows) -> FloatArray:
        """Return grid (y, x) of all pixels of the windows, shape (2, n, side, side)."""
        along = self.arguments(windows)
        u, v = along.x[:, None, :], along.y[:, :, None]
        grid = np.empty((2, len(u), windows.side, windows.side))
        for axis, target in ((1, grid[0]), (0, grid[1])):
            t = self.terms[:, axis, :, None, None]
            np.multiply(t[:, 1] + t[:, 4] * v, u, out=target)
            target += t[:, 3] * u**2
            target += t[:, 0] + t[:, 2] * v + t[:, 5] * v**2
        return grid


def sampled(coefficients: Float32Array, local_map: LocalMap, windows: Windows) -> Float32Array:
    """Return a quintic spline's values at the pixels of windows, shape (n, side, side).

    Parameters
    ----------
    coefficients : float32 array, shape (ny, nx)
        Of the B-spline over the grid's box.
    local_map : LocalMap
        To pixels of that box.
    windows : Windows
        Beyond the box the outermost coefficients continue.
    """
    n_terms = np.searchsorted(MOST_TURN_PX, local_map.turn_px) + 1
    needed = np.unique(n_terms)
    if len(needed) == 1:
        return _sampled(coefficients, local_map, windows, int(needed[0]))
    values = np.empty((len(n_terms), windows.side, windows.side), np.float32)
    for number in needed:
        which = n_terms == number
        values[which] = _sampled(
            coefficients, local_map.select(which), windows.select(which), int(number)
        )
    return values


def _sampled(
    coefficients: Float32Array, local_map: LocalMap, windows: Windows, n_terms: int
) -> Float32Array:
    """Return the values where all maps ask for so many terms of a Taylor series, or for more."""
    if n_terms <= len(MOST_TURN_PX):
        return _nearly_separable(coefficients, local_map, windows, n_terms)
    grid = local_map.of_windows(windows)
    values: Float32Array = ndimage.map_coordinates(
        coefficients, grid, np.float32, ORDER, mode="nearest", prefilter=False
    )
    return values


def _nearly_separable(
    coefficients: Float32Array, local_map: LocalMap, windows: Windows, n_terms: int
) -> Float32Array:
    """Return the values where grid x hardly depends on chip y, nor grid y on chip x.

    With ``x = X(u) + dx(u, v)`` and ``y = Y(v) + dy(u, v)``, dx and dy small, value and
    derivatives at (X, Y) are matrix products ``W_y C W_x^T`` (ten times faster than gathering
    36 coefficients a pixel), and a Taylor series of one or two terms takes the rest.
    """
    at = local_map.along(windows)
    first_x, across_x = _weights(at.x, n_terms)
    first_y, across_y = _weights(at.y, n_terms)
    needed = max(across_x.shape[-1], across_y.shape[-1])
    piece = pieces(coefficients, first_y, first_x, needed)
    piece = piece[:, : across_y.shape[-1], : across_x.shape[-1]]
    side, n_coefficients = windows.side, across_x.shape[-1]
    stacked: Float32Array = across_y.reshape(len(piece), -1, across_y.shape[-1]) @ piece
    rows = stacked.reshape(len(piece), -1, side, n_coefficients)
    to_x = np.swapaxes(across_x, 2, 3)
    along = local_map.arguments(windows)
    t = local_map.terms[..., None, None].astype(np.float32)
    u, v = along.x[:, None, :].astype(np.float32), along.y[:, :, None].astype(np.float32)
    of_u, of_v = np.concatenate([np.ones_like(u), u], 1), np.concatenate([np.ones_like(v), v], 2)
    # (t2 + t5 v) v + t4 v u, and the like: outer products, by matrices as all else.
    dx = np.concatenate([(t[:, 0, 2] + t[:, 0, 5] * v) * v, t[:, 0, 4] * v], 2) @ of_u
    dy = of_v @ np.concatenate([(t[:, 1, 1] + t[:, 1, 3] * u) * u, t[:, 1, 4] * u], 1)
    values: Float32Array = rows[:, 0] @ to_x[:, 0]
    terms = [(dx, 0, 1), (dy, 1, 0)]
    if n_terms == 2:
        half = np.float32(0.5)
        terms += [(half * dx**2, 0, 2), (half * dy**2, 2, 0), (dx * dy, 1, 1)]
    for factor, order_y, order_x in terms:
        factor *= rows[:, order_y] @ to_x[:, order_x]
        values += factor
    return values


def _weights(position: FloatArray, n_terms: int) -> tuple[IntArray, Float32Array]:
    """Return the first coefficient that each row of positions needs, and banded matrices.

    Parameters
    ----------
    position : float64 array, shape (n, side)
        Along one axis of the box, pixels.
    n_terms : int
        Derivatives that are wanted, at most 2.

    Returns
    -------
    int64 array, shape (n,); float32 array, shape (n, 1 + n_terms, side, coefficients)
        The matrices give value, slope and curvature.
    """
    whole = np.floor(position).astype(np.int64)
    first = whole.min(axis=1) + 1 - REACH
    width = int((whole.max(axis=1) - first).max()) + 1 + REACH
    n, side = position.shape
    matrices = np.zeros((n, 1 + n_terms, side, width), np.float32)
    weights = basis_weights(position - whole, n_terms)  # place, derivative, knot
    # The knots of a row lie side by side and are written as one item: spans[i] is what begins at
    # element i.
    knots = np.dtype((np.void, weights.strides[-2]))
    spans: NDArray[np.void] = np.ndarray(
        matrices.size - 2 * REACH + 1, knots, matrices, strides=matrices.strides[-1:]
    )
    row = width * np.arange(n * (1 + n_terms) * side).reshape(n, -1, side)
    column = (whole - first[:, None])[:, None] + 1 - REACH
    spans[(row + column).swapaxes(1, 2)] = weights.view(knots)[..., 0]
    return first, matrices
