"""Smooth functions of the plane, kept on a lattice of equal cells: bicubics, or linear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray, contiguous
from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.compiled import compiled

#: Content of cells or nodes; of each row its cell and how far it lies along it; the first column of
#: each cell (and one beyond the last), and how far each column lies along its cell.
Located: TypeAlias = tuple[FloatArray, tuple[IntArray, FloatArray], tuple[IntArray, FloatArray]]

#: Fewest cells along an axis, so that a cubic has the nodes that it needs.
_FEWEST_CELLS = 4


@dataclass(frozen=True, slots=True)
class Lattice:
    """Equidistant nodes along one axis: ``start + k spacing``, k = 0 .. n_cells."""

    start: float
    spacing: float
    n_cells: int

    @classmethod
    def over(cls, first: float, last: float, step: float) -> Lattice:
        """Return nodes from `first` to `last`, at most `step` apart."""
        n_cells = max(_FEWEST_CELLS, int(np.ceil((last - first) / step)))
        return cls(first, (last - first) / n_cells, n_cells)

    @property
    def end(self) -> float:
        """The last node."""
        return self.start + self.spacing * self.n_cells

    @property
    def nodes(self) -> FloatArray:
        """All nodes."""
        return self.start + self.spacing * np.arange(self.n_cells + 1, dtype=np.float64)

    def locate(self, position: FloatArray) -> tuple[IntArray, FloatArray]:
        """Return the cell of each position and how far it lies along the cell (0 to 1).

        Beyond the ends it lies below 0 or above 1 of the outermost cell; NaN stays NaN.
        """
        along = (position - self.start) / self.spacing
        cell = np.fmin(np.fmax(np.floor(along), 0), self.n_cells - 1)  # fmax takes 0 for NaN
        return cell.astype(np.int64), along - cell


@dataclass(frozen=True, slots=True, eq=False)
class Bicubics:
    """Two functions of x and y, of each cell a bicubic.

    Parameters
    ----------
    lattice_x, lattice_y : Lattice
        Nodes in x and in y.
    cells : float64 array, shape (y cells, x cells, 2, 4, 4)
        Coefficients of the position within the cell, highest power first, ``[..., function,
        power of y, power of x]``. NaN where the functions are not known.
    """

    lattice_x: Lattice
    lattice_y: Lattice
    cells: FloatArray

    def values(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return both functions at n points, shape (2, n); the outermost cubics continue."""
        cells, u, v = self._at(x, y)
        return _horner(_horner(cells, u).swapaxes(0, 1), v)

    def derivatives(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return their derivatives, shape (n, 2, 2): rows functions, columns x, y."""
        cells, u, v = self._at(x, y)
        along_x = _horner(_horner_slope(cells, u).swapaxes(0, 1), v) / self.lattice_x.spacing
        along_y = _horner_slope(_horner(cells, u).swapaxes(0, 1), v) / self.lattice_y.spacing
        return np.stack([along_x.T, along_y.T], axis=-1)

    def at_pixels(self, box: PixelBox, out: FloatArray | None = None) -> FloatArray:
        """Return both functions at all whole x, y of a box: ``(2, ny, nx)``, in `out` if given.

        Only sums and products in a fixed order: a pixel has the same bits in whatever box.
        """
        if out is None:
            out = np.empty((2, *box.shape))
        if not box.is_empty:
            evaluate_rows(*self.located(box), out)
        return out

    def located(self, box: PixelBox) -> Located:
        """Return what `evaluate_rows` takes for the pixels of a box."""
        return _in_box(self.cells, (self.lattice_x, self.lattice_y), box)

    def at_some_pixels(self, x: IntArray, y: IntArray) -> FloatArray:
        """Return both functions at chosen whole x, y: ``(2, n)``, bit for bit as `at_pixels`."""
        out = np.empty((2, x.size))
        if x.size:
            _evaluate_points(
                self.cells, _located(self.lattice_y, y), _located(self.lattice_x, x), out
            )
        return out

    def _at(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        column, u = self.lattice_x.locate(x)
        row, v = self.lattice_y.locate(y)
        # Coefficients first, points last: (4 of x, 2, 4 of y, n).
        return np.ascontiguousarray(self.cells[row, column].transpose(3, 1, 2, 0)), u, v


def bicubics(lattice_x: Lattice, lattice_y: Lattice, cells: FloatArray) -> Bicubics:
    """Return them with coefficients that nobody can change, in the order that they are read."""
    return Bicubics(lattice_x, lattice_y, contiguous(cells))


def _in_box(content: FloatArray, lattices: tuple[Lattice, Lattice], box: PixelBox) -> Located:
    lattice_x, lattice_y = lattices
    column, u = lattice_x.locate(np.arange(box.x0, box.x1, dtype=float))
    rows = lattice_y.locate(np.arange(box.y0, box.y1, dtype=float))
    first = np.searchsorted(column, np.arange(lattice_x.n_cells + 1))
    return contiguous(content), rows, (first, u)


@compiled
def evaluate_rows(
    cells: FloatArray,
    rows: tuple[IntArray, FloatArray],
    columns: tuple[IntArray, FloatArray],
    out: FloatArray,
) -> None:
    """Write both functions, row by row: along a row a cell's bicubic is one cubic.

    `rows` and `columns` as `Located` has them.
    """
    row, v = rows
    first, u = columns
    cubic = np.empty((2, 4))
    for r in range(out.shape[1]):
        for cell in range(cells.shape[1]):
            inside = slice(first[cell], first[cell + 1])
            if inside.stop <= inside.start:
                continue
            for function in range(2):
                of = cells[row[r], cell, function]
                for power in range(4):
                    cubic[function, power] = (
                        (of[0, power] * v[r] + of[1, power]) * v[r] + of[2, power]
                    ) * v[r] + of[3, power]
            a3, a2, a1, a0 = cubic[0, 0], cubic[0, 1], cubic[0, 2], cubic[0, 3]
            b3, b2, b1, b0 = cubic[1, 0], cubic[1, 1], cubic[1, 2], cubic[1, 3]
            along, one, other = u[inside], out[0, r, inside], out[1, r, inside]
            for x in range(len(along)):
                one[x] = ((a3 * along[x] + a2) * along[x] + a1) * along[x] + a0
                other[x] = ((b3 * along[x] + b2) * along[x] + b1) * along[x] + b0


#: Chosen positions along an axis, the least of them, and of this one and all up to the largest
#: the cells, and how far they lie along these.
_Located: TypeAlias = tuple[IntArray, int, IntArray, FloatArray]


def _located(lattice: Lattice, positions: IntArray) -> _Located:
    first = int(positions.min())
    cell, along = lattice.locate(np.arange(first, int(positions.max()) + 1, dtype=float))
    return contiguous(positions), first, cell, along


@compiled
def _evaluate_points(
    cells: FloatArray,
    rows: _Located,
    columns: _Located,
    out: FloatArray,
) -> None:
    """Write both functions at points; neighbours along a row in one cell share its cubics."""
    y, y0, row, v = rows
    x, x0, column, u = columns
    last_y, last_cell = y[0] - 1, column[x[0] - x0]
    cubic = np.empty((2, 4))
    for k in range(x.size):
        cell = column[x[k] - x0]
        if y[k] != last_y or cell != last_cell:
            last_y, last_cell = y[k], cell
            up = v[last_y - y0]
            for function in range(2):
                of = cells[row[last_y - y0], cell, function]
                for power in range(4):
                    cubic[function, power] = (
                        (of[0, power] * up + of[1, power]) * up + of[2, power]
                    ) * up + of[3, power]
        along = u[x[k] - x0]
        for function in range(2):
            of = cubic[function]
            out[function, k] = ((of[0] * along + of[1]) * along + of[2]) * along + of[3]


@dataclass(frozen=True, slots=True, eq=False)
class Bilinear:
    """A function of x and y, linear in each between nodes.

    Parameters
    ----------
    lattice_x, lattice_y : Lattice
        Nodes in x and in y.
    nodes : float64 array, shape (y nodes, x nodes)
        The function there.
    """

    lattice_x: Lattice
    lattice_y: Lattice
    nodes: FloatArray

    def at_pixels(self, box: PixelBox, out: Float32Array) -> None:
        """Write it at all whole x, y of a box: the same bits as `at`, and in whatever box."""
        if not box.is_empty:
            interpolate_rows(*self.located(box), out)

    def located(self, box: PixelBox) -> Located:
        """Return what `interpolate_rows` takes for the pixels of a box."""
        return _in_box(self.nodes, (self.lattice_x, self.lattice_y), box)

    def at(self, x: IntArray, y: IntArray) -> Float32Array:
        """Return it at chosen whole x, y."""
        out = np.empty(x.size, np.float32)
        if x.size:
            rows, columns = _located(self.lattice_y, y), _located(self.lattice_x, x)
            _interpolate_points(contiguous(self.nodes), rows, columns, out)
        return out


@compiled
def _interpolate_points(
    nodes: FloatArray,
    rows: _Located,
    columns: _Located,
    out: Float32Array,
) -> None:
    """Write what is linear between nodes at points."""
    y, y0, row, v = rows
    x, x0, column, u = columns
    for k in range(x.size):
        below, up = row[y[k] - y0], v[y[k] - y0]
        at, along = column[x[k] - x0], u[x[k] - x0]
        left = nodes[below, at] + up * (nodes[below + 1, at] - nodes[below, at])
        right = nodes[below, at + 1] + up * (nodes[below + 1, at + 1] - nodes[below, at + 1])
        out[k] = left + along * (right - left)


@compiled
def interpolate_rows(
    nodes: FloatArray,
    rows: tuple[IntArray, FloatArray],
    columns: tuple[IntArray, FloatArray],
    out: Float32Array,
) -> None:
    """Write what is linear between nodes, row by row."""
    row, v = rows
    first, u = columns
    between = np.empty(nodes.shape[1])
    for r in range(out.shape[0]):
        for node in range(nodes.shape[1]):
            above = nodes[row[r] + 1, node]
            between[node] = nodes[row[r], node] + v[r] * (above - nodes[row[r], node])
        for cell in range(nodes.shape[1] - 1):
            inside = slice(first[cell], first[cell + 1])
            left, step = between[cell], between[cell + 1] - between[cell]
            along, found = u[inside], out[r, inside]
            for x in range(len(along)):
                found[x] = left + along[x] * step


def _horner(coefficients: FloatArray, u: FloatArray) -> FloatArray:
    """Return the cubic with ``coefficients[0]`` of the third power, at `u`."""
    third, second, first, constant = coefficients
    result: FloatArray = third * u
    for following in (second, first):
        result += following
        result *= u
    result += constant
    return result


def _horner_slope(coefficients: FloatArray, u: FloatArray) -> FloatArray:
    """Return the derivative of the same cubic at `u`."""
    third, second, first, _ = coefficients
    result: FloatArray = (3.0 * third * u + 2.0 * second) * u + first
    return result
