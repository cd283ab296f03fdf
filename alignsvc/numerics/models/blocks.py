"""Normal equations in blocks: groups of sources, and what exposures share.

Fluxes and skies of windows are gone by then (`window_sums`). What is left has an arrow's shape:
each group of sources has unknowns of its own (places, shapes), coupled to those of the exposures
that see it and to no other group's. With C, g a group's block and B its coupling, eliminating it
leaves ``S = A - B^T C^-1 B`` and ``h - B^T C^-1 g``: the reduced system, of the exposures alone.
Both kinds of blocks add up, whatever part of the windows they come from: `NormalBlocks` by
exposures (or anything else), `ReducedBlocks` by groups.

Triggs et al. (2000), Bundle Adjustment, section 6, for the elimination.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve
from scipy.sparse import csr_matrix

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.numerics.models.groups import GroupClass, GroupLayout, whiteners

#: Elements of dense coupling at a time: 64 MB.
_CHUNK = 8_000_000
#: A reduced matrix of unit diagonal with a pivot below this does not determine its unknowns.
_SINGULAR = 1e-11


@dataclass(frozen=True, slots=True, eq=False)
class ReducedBlocks:
    """The reduced system, or the part of it that some groups of sources give: small, picklable.

    Parameters
    ----------
    matrix : float64 array, shape (r, r)
        S, damped where so asked.
    gradient : float64 array, shape (r,)
        Minus half the derivative of chi2, groups eliminated.
    diagonal : float64 array, shape (r,)
        Of the exposures' own block before elimination, undamped: the scale of S.
    """

    matrix: FloatArray
    gradient: FloatArray
    diagonal: FloatArray

    def __add__(self, other: ReducedBlocks) -> ReducedBlocks:
        return ReducedBlocks(
            self.matrix + other.matrix,
            self.gradient + other.gradient,
            self.diagonal + other.diagonal,
        )

    @classmethod
    def total(cls, parts: Iterable[ReducedBlocks]) -> ReducedBlocks:
        """Return the sum of parts, in the order given: the same order gives the same bits."""
        first, *others = parts
        for part in others:
            first = first + part
        return first

    def solve(self, right: FloatArray | None = None) -> FloatArray | None:
        """Return ``S^-1 right``, of the gradient if None; None if S is not positive definite."""
        if not self.gradient.size:
            return np.zeros(0) if right is None else np.zeros_like(right)
        scale = self._scale()
        unit = self.matrix * scale[:, None] * scale
        try:
            lower = np.linalg.cholesky(unit)
        except np.linalg.LinAlgError:
            return None
        if not np.diagonal(lower).min() ** 2 > _SINGULAR:
            return None
        right = self.gradient if right is None else right
        scaled = (right.T * scale).T
        return np.asarray((cho_solve((lower, True), scaled).T * scale).T)

    def inverse(self) -> FloatArray | None:
        """Return the covariance of the reduced unknowns; None if they are not determined."""
        return self.solve(np.eye(len(self.gradient)))

    def undetermined(self) -> BoolArray:
        """Return which unknowns take part in a combination that the data do not determine."""
        if not self.gradient.size:
            return np.zeros(0, bool)
        scale = self._scale()
        value, vector = np.linalg.eigh(self.matrix * scale[:, None] * scale)
        # Ten times the limit of a pivot, which no eigenvalue exceeds.
        free = vector[:, value <= 10 * _SINGULAR]
        return np.asarray((self.diagonal <= 0) | (np.abs(free) > 0.1).any(axis=1))

    def _scale(self) -> FloatArray:
        good = self.diagonal > 0
        return np.where(good, 1.0 / np.sqrt(np.where(good, self.diagonal, 1.0)), 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Freedom:
    """Which unknowns take part, and how.

    Parameters
    ----------
    group_held, reduced_held : bool arrays
        Not moved: at a bound, say.
    group_linear, reduced_linear : bool arrays
        Not damped: the model is linear in them.
    """

    group_held: BoolArray
    reduced_held: BoolArray
    group_linear: BoolArray
    reduced_linear: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class NormalBlocks:
    """Normal equations of some windows; those of all windows are their sum.

    Parameters
    ----------
    layout : GroupLayout
    group_matrix : float64 array, shape (layout.n_elements,)
        C of each group, one after the other.
    group_gradient : float64 array, shape (layout.n_unknowns,)
    coupling : csr_matrix, shape (layout.n_unknowns, r)
        B, each element stored once.
    matrix : float64 array, shape (r, r)
        A, of the exposures' unknowns.
    gradient : float64 array, shape (r,)
        Minus half the derivative of chi2.
    """

    layout: GroupLayout
    group_matrix: FloatArray
    group_gradient: FloatArray
    coupling: csr_matrix
    matrix: FloatArray
    gradient: FloatArray

    def __add__(self, other: NormalBlocks) -> NormalBlocks:
        if not np.array_equal(self.layout.size, other.layout.size):
            raise ValueError("blocks of different groups of sources cannot be added")
        return NormalBlocks(
            self.layout,
            self.group_matrix + other.group_matrix,
            self.group_gradient + other.group_gradient,
            csr_matrix(self.coupling + other.coupling),
            self.matrix + other.matrix,
            self.gradient + other.gradient,
        )

    def without(self, group_held: BoolArray, reduced_held: BoolArray) -> NormalBlocks:
        """Return the equations with some unknowns held: they get no step."""
        if not (group_held.any() or reduced_held.any()):
            return self
        matrices = self.group_matrix.copy()
        for part in self.layout.classes:
            held = group_held[part.start : part.start + part.count * part.size]
            held = held.reshape(-1, part.size)
            view = part.matrices(matrices)
            view[held[:, :, None] | held[:, None, :]] = 0.0
        coupling = self.coupling.copy()
        rows = np.repeat(np.arange(coupling.shape[0]), np.diff(coupling.indptr))
        coupling.data = np.where(
            group_held[rows] | reduced_held[coupling.indices], 0.0, coupling.data
        )
        matrix = np.where(reduced_held[:, None] | reduced_held, 0.0, self.matrix)
        np.fill_diagonal(matrix, np.where(reduced_held, 1.0, np.diagonal(matrix)))
        return NormalBlocks(
            self.layout,
            matrices,
            np.where(group_held, 0.0, self.group_gradient),
            coupling,
            matrix,
            np.where(reduced_held, 0.0, self.gradient),
        )

    def eliminated(self, damping: float, freedom: Freedom) -> Elimination:
        """Return the equations with the groups eliminated.

        Parameters
        ----------
        damping : float
            Times the diagonal is added to it (Marquardt 1963), except where linear.
        freedom : Freedom
        """
        free = self.without(freedom.group_held, freedom.reduced_held)
        group = damping * np.where(
            freedom.group_linear, 0.0, self.layout.diagonal(free.group_matrix)
        )
        diagonal = np.diagonal(free.matrix).copy()
        own = damping * np.where(freedom.reduced_linear, 0.0, diagonal)
        white = []
        for part in self.layout.classes:
            damped = part.matrices(free.group_matrix).copy()
            np.einsum("nii->ni", damped)[...] += part.vectors(group)
            white.append(whiteners(damped))
        matrix, gradient, explained = free.matrix.copy(), free.gradient.copy(), 0.0
        np.einsum("ii->i", matrix)[...] += own
        for chunk in _chunks(free, tuple(white)):
            coupled, pull = chunk.whitened()
            at = chunk.touched
            _add(matrix, at, -(coupled.T @ coupled))
            gradient[at] -= coupled.T @ pull
            explained += float(pull @ pull)
        return Elimination(
            free, tuple(white), group, own, ReducedBlocks(matrix, gradient, diagonal), explained
        )


@dataclass(frozen=True, slots=True, eq=False)
class BlockStep:
    """A step in all unknowns.

    Parameters
    ----------
    group : float64 array, shape (layout.n_unknowns,)
    reduced : float64 array, shape (r,)
    """

    group: FloatArray
    reduced: FloatArray

    def scaled(self, factor: float) -> BlockStep:
        """Return a part of the step."""
        return BlockStep(factor * self.group, factor * self.reduced)


@dataclass(frozen=True, slots=True, eq=False)
class QuadraticForm:
    """``x^T matrix x - 2 vector x + constant``."""

    matrix: FloatArray
    vector: FloatArray
    constant: float

    def __call__(self, x: FloatArray) -> float:
        """Return the value at `x`."""
        return float(x @ self.matrix @ x - 2.0 * self.vector @ x) + self.constant


@dataclass(frozen=True, slots=True, eq=False)
class Elimination:
    """The reduced system, and what is needed to find the groups' step from the reduced one.

    ``explained`` is the groups' gradient times their step where the reduced unknowns stay: with
    the reduced gradient times the reduced step it makes `slope`.
    """

    blocks: NormalBlocks
    white: tuple[FloatArray, ...]
    group_damping: FloatArray
    reduced_damping: FloatArray
    reduced: ReducedBlocks
    explained: float

    def step(self, solution: FloatArray) -> BlockStep:
        """Return the whole step that belongs to a solution of the (total) reduced system."""
        left = self.blocks.group_gradient - self.blocks.coupling @ solution
        parts = []
        for part, white in zip(self.blocks.layout.classes, self.white, strict=True):
            whitened = np.einsum("nij,nj->ni", white, part.vectors(left))
            parts.append(np.einsum("nji,nj->ni", white, whitened).ravel())
        return BlockStep(np.concatenate([np.zeros(0), *parts]), solution)

    def slope(self, step: BlockStep) -> float:
        """Return gradient times step: half of how fast chi2 falls along it."""
        own = float(self.blocks.gradient @ step.reduced)
        return own + float(self.blocks.group_gradient @ step.group)

    def bending(self, step: BlockStep) -> float:
        """Return the step's square in the undamped matrix, for a step that solves the damped."""
        damped = float(self.reduced_damping @ step.reduced**2)
        damped += float(self.group_damping @ step.group**2)
        return self.slope(step) - damped

    def damped_square(self) -> QuadraticForm:
        """Return the damping of the groups' step squared, by the reduced step.

        A group's step is ``a - M x``: what `bending` needs of the groups, for any x.
        """
        r = len(self.blocks.gradient)
        matrix, vector, constant = np.zeros((r, r)), np.zeros(r), 0.0
        if not self.group_damping.any():
            return QuadraticForm(matrix, vector, constant)
        for chunk in _chunks(self.blocks, self.white):
            coupled, pull = chunk.whitened()
            n, size, at = len(chunk.white), chunk.part.size, chunk.touched
            root = np.sqrt(self.group_damping[chunk.rows]).reshape(n, size, 1)
            back = root * chunk.white.swapaxes(1, 2)
            by_reduced = (back @ coupled.reshape(n, size, len(at))).reshape(n * size, len(at))
            alone = (back @ pull.reshape(n, size, 1)).ravel()
            _add(matrix, at, by_reduced.T @ by_reduced)
            vector[at] += by_reduced.T @ alone
            constant += float(alone @ alone)
        return QuadraticForm(matrix, vector, constant)

    def group_covariances(self, inverse: FloatArray) -> tuple[FloatArray, ...]:
        """Return each class's covariances (count, size, size), given that of the reduced ones.

        An undetermined unknown of a group has variance infinite.
        """
        found: list[list[FloatArray]] = [[] for _ in self.white]
        for chunk in _chunks(self.blocks, self.white):
            coupled, _ = chunk.whitened()
            at = chunk.touched
            size = chunk.part.size
            white = chunk.white
            spread = (coupled @ inverse[np.ix_(at, at)]).reshape(len(white), size, len(at))
            middle = np.einsum("nir,njr->nij", spread, coupled.reshape(len(white), size, len(at)))
            middle += np.eye(size)
            whole = np.einsum("nki,nkl,nlj->nij", white, middle, white)
            held = np.einsum("nii->ni", white) == 0
            np.einsum("nii->ni", whole)[held] = np.inf
            found[chunk.index].append(whole)
        return tuple(np.concatenate(parts) for parts in found)


@dataclass(frozen=True, slots=True, eq=False)
class _Chunk:
    """Some groups of one size, and the reduced unknowns that they touch."""

    blocks: NormalBlocks
    part: GroupClass
    index: int
    white: FloatArray
    rows: slice
    touched: IntArray

    def whitened(self) -> tuple[FloatArray, FloatArray]:
        """Return W B of the touched columns, shape (groups * size, t), and W g."""
        n, size = len(self.white), self.part.size
        coupled = np.matmul(self.white, self._dense().reshape(n, size, len(self.touched)))
        gradient = self.blocks.group_gradient[self.rows].reshape(n, size)
        pull = np.einsum("nij,nj->ni", self.white, gradient)
        return coupled.reshape(n * size, len(self.touched)), pull.ravel()

    def _dense(self) -> FloatArray:
        coupling = self.blocks.coupling
        ends = coupling.indptr[self.rows.start : self.rows.stop + 1]
        part = slice(ends[0], ends[-1])
        dense = np.zeros((len(ends) - 1, len(self.touched)))
        row = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
        column = np.zeros(coupling.shape[1], np.int64)
        column[self.touched] = np.arange(len(self.touched))
        dense[row, column[coupling.indices[part]]] = coupling.data[part]
        return dense


def _add(matrix: FloatArray, at: IntArray, square: FloatArray) -> None:
    """Add a square to the rows and columns `at`; to pick them out costs more than to add."""
    if len(at) == len(matrix):
        matrix += square
    else:
        matrix[np.ix_(at, at)] += square


def _chunks(blocks: NormalBlocks, white: tuple[FloatArray, ...]) -> Iterator[_Chunk]:
    width = max(blocks.coupling.shape[1], 1)
    for index, (part, whole) in enumerate(zip(blocks.layout.classes, white, strict=True)):
        per = max(_CHUNK // (width * part.size), 1)
        for first in range(0, part.count, per):
            last = min(first + per, part.count)
            rows = slice(part.start + first * part.size, part.start + last * part.size)
            ends = blocks.coupling.indptr[[rows.start, rows.stop]]
            seen = np.zeros(width, bool)
            seen[blocks.coupling.indices[ends[0] : ends[1]]] = True
            touched = np.flatnonzero(seen).astype(np.int64)
            yield _Chunk(blocks, part, index, whole[first:last], rows, touched)
