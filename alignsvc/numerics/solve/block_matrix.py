"""A sparse symmetric system of blocks with a few dense constraints: solved, and inverted in part.

    [[S, C^T], [C, 0]] x = b,

S positive definite but for motions that the constraints C hold. A direct method that needs little
memory for systems of exposures on the sky: they are eliminated in the order of a nested
dissection, each step as one small dense matrix, its *front* (Duff & Reid 1983, ACM Trans. Math.
Softw. 9, 302; Liu 1992, SIAM Review 34, 82). What is left in the end, the separator of the whole
and the constraints, is dense and indefinite. On the way back come the unknowns, or the blocks of
the inverse that the factors have, the diagonal ones among them, from

    Z_pb = -G Z_bb,    Z_pp = A_pp^-1 + G Z_bb G^T,    G = A_pp^-1 A_pb

(Takahashi, Fagan & Chin 1973; Erisman & Tinney 1975, Comm. ACM 18, 177), exact and at the cost of
a few factorisations. Factors of small sets of exposures are not kept, but made again on the way
back: what is held at once grows as the separators do, not as the set.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import solve_triangular
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.numerics.solve.dissection import Links, Step, dissected

#: Factors of sets of exposures up to this size are made again instead of kept.
_MADE_AGAIN = 1000
#: Of an unknown that nothing holds any more, rounding leaves a negative pivot: this stands for it.
_LEAST_PIVOT = 1e-15


@dataclass(frozen=True, eq=False)
class BlockMatrix:
    """A sparse symmetric matrix of blocks, the upper half of it.

    Parameters
    ----------
    first, second : int64, shape (k,)
        Row and column of each block, ``first <= second``; sorted, every pair once, all diagonal
        blocks among them.
    values : array, shape (k, p, p)
    n : int
        Blocks a side.
    """

    first: IntArray
    second: IntArray
    values: FloatArray
    n: int

    @property
    def block(self) -> int:
        """Unknowns of a block."""
        return int(self.values.shape[1])

    def times(self, x: FloatArray) -> FloatArray:
        """Return the product with ``(n p, r)``."""
        across = x.reshape(self.n, self.block, -1)
        product = np.zeros_like(across)
        off = self.first != self.second
        upper, lower = self.values, np.swapaxes(self.values[off], 1, 2)
        np.add.at(product, self.first, upper @ across[self.second])
        np.add.at(product, self.second[off], lower @ across[self.first[off]])
        return product.reshape(x.shape)

    def toarray(self) -> FloatArray:
        """Return it dense."""
        dense = np.zeros((self.n, self.block, self.n, self.block))
        dense[self.first, :, self.second, :] = self.values
        dense[self.second, :, self.first, :] = np.swapaxes(self.values, 1, 2)
        return dense.reshape(self.n * self.block, -1)

    @cached_property
    def entries(self) -> Entries:
        """Its blocks by rows, both halves."""
        off = np.flatnonzero(self.first != self.second)
        rows = np.concatenate([self.first, self.second[off]])
        columns = np.concatenate([self.second, self.first[off]])
        order = np.lexsort((columns, rows))
        return Entries(
            Links.of(rows[order], columns[order], self.n),
            rows[order],
            np.concatenate([np.arange(len(self.first)), off])[order],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """The blocks of a symmetric matrix by rows: where, and which of the stored ones."""

    links: Links
    row: IntArray
    stored: IntArray


@dataclass(frozen=True, eq=False)
class BorderedBlocks:
    """The system.

    Parameters
    ----------
    matrix : BlockMatrix
        S.
    border : csr_matrix, shape (q, n p)
        C.
    places : array, shape (n, 2)
        Where the exposures are, in any unit: near ones share sources.
    """

    matrix: BlockMatrix
    border: csr_matrix
    places: FloatArray

    def solve(self, right: FloatArray, border_right: FloatArray) -> FloatArray:
        """Return x, shape ``(n p, r)``, without the multipliers of the constraints.

        Parameters
        ----------
        right : array, shape (n p, r)
        border_right : array, shape (q, r)
        """
        n, p = self.matrix.n, self.matrix.block
        by_exposure = right.reshape(n, p, -1)
        found = np.zeros_like(by_exposure)
        for part in self._parts:
            _Elimination(self.matrix, part, by_exposure, border_right[part.rows]).solve(found)
        return found.reshape(right.shape)

    def diagonal_of_inverse(self) -> FloatArray:
        """Return the diagonal blocks of the inverse, shape ``(n, p, p)``."""
        n, p = self.matrix.n, self.matrix.block
        blocks = np.zeros((n, p, p))
        for part in self._parts:
            nothing = np.zeros((len(part.rows), 0))
            _Elimination(self.matrix, part, np.zeros((n, p, 0)), nothing).invert(blocks)
        return blocks

    @cached_property
    def _parts(self) -> tuple[_Part, ...]:
        """Pieces that neither blocks nor constraints link."""
        n, p, border = self.matrix.n, self.matrix.block, self.border
        q = border.shape[0]
        constraint = np.repeat(np.arange(q), np.diff(border.indptr))
        rows = np.concatenate([self.matrix.first, n + constraint])
        columns = np.concatenate([self.matrix.second, border.indices // p])
        graph = csr_matrix((np.ones(len(rows), bool), (rows, columns)), (n + q, n + q))
        label = connected_components(graph, directed=False)[1]
        order = np.argsort(label[:n], kind="stable")
        ends = np.flatnonzero(np.diff(label[:n][order])) + 1
        parts = []
        for members in np.split(order, ends):
            own = np.flatnonzero(label[n:] == label[members[0]])
            unknowns = (members[:, None] * p + np.arange(p)).ravel()
            held = border[own][:, unknowns].toarray().T.reshape(len(members), p, len(own))
            root = dissected(self.matrix.entries.links, members, self.places)
            parts.append(_Part(members, own, held, root))
        return tuple(parts)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Exposures that hang together, and the constraints on them.

    Parameters
    ----------
    members : int64, shape (k,)
        Rising.
    rows : int64, shape (q,)
        Their constraints.
    held : array, shape (k, p, q)
        What the constraints hold, transposed.
    root : Step
    """

    members: IntArray
    rows: IntArray
    held: FloatArray
    root: Step

    def held_of(self, exposures: IntArray) -> FloatArray:
        """Return what constraints hold of some members."""
        return self.held[np.searchsorted(self.members, exposures)]


@dataclass(frozen=True, slots=True, eq=False)
class _Rest:
    """What the elimination of a set leaves to those that come after it.

    Parameters
    ----------
    matrix : array, shape (b p, b p)
        Of its boundary.
    sides : array, shape (b p, q + r)
        The constraints' columns there, and the right-hand sides.
    corner : array, shape (q, q + r)
        The same in the constraints' rows.
    """

    matrix: FloatArray
    sides: FloatArray
    corner: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Factor:
    """A step's part of the factors: ``A_pp = L L^T`` and ``across = L^-1 [A_pb, C_p^T, right]``."""

    lower: FloatArray
    across: FloatArray


class _Elimination:
    """One part, eliminated with some right-hand sides, and back.

    Parameters
    ----------
    matrix : BlockMatrix
    part : _Part
    right : array, shape (n, p, r)
    border_right : array, shape (q, r)
    """

    def __init__(
        self, matrix: BlockMatrix, part: _Part, right: FloatArray, border_right: FloatArray
    ) -> None:
        self._matrix, self._part, self._right = matrix, part, right
        self._border_right, self._q = border_right, len(border_right)
        self._place = np.full(matrix.n, -1, np.int64)
        self._kept: dict[Step, _Factor] = {}

    def solve(self, into: FloatArray) -> None:
        """Write the unknowns of the part's exposures, `into` of shape (n, p, r)."""
        last = self._last()
        right = np.concatenate([last.sides[:, self._q :], last.corner[:, self._q :]])
        self._back_to_unknowns(self._part.root, np.linalg.solve(self._bordered(last), right), into)

    def invert(self, into: FloatArray) -> None:
        """Write the diagonal blocks of the inverse, `into` of shape (n, p, p)."""
        inverse = np.asarray(np.linalg.inv(self._bordered(self._last())), float)
        self._back_to_inverse(self._part.root, inverse, into)

    def _last(self) -> _Rest:
        """Eliminate all but the root's own; return what is left, dense."""
        root = self._part.root
        keeps_all = root.size <= _MADE_AGAIN
        front = self._front(root, [self._eliminated(one, keeps_all) for one in root.parts])
        front.corner[:, self._q :] += self._border_right
        return front

    def _bordered(self, last: _Rest) -> FloatArray:
        held = last.sides[:, : self._q]
        return np.block([[last.matrix, held], [held.T, last.corner[:, : self._q]]])

    def _eliminated(self, step: Step, keeps_all: bool) -> _Rest:
        """Eliminate a step and all before it; factors of large sets are kept, or all."""
        front = self._front(step, [self._eliminated(one, keeps_all) for one in step.parts])
        n = len(step.pivots) * self._matrix.block
        lower = _cholesky(front.matrix[:n, :n])
        across = np.concatenate([front.matrix[:n, n:], front.sides[:n]], axis=1)
        across = solve_triangular(lower, across, lower=True, check_finite=False)
        if keeps_all or step.size > _MADE_AGAIN:
            self._kept[step] = _Factor(lower, across)
        n_left = front.matrix.shape[0] - n
        left, sides = across[:, :n_left], across[:, n_left:]
        taken = left.T @ left
        return _Rest(
            np.subtract(front.matrix[n:, n:], taken, out=taken),
            front.sides[n:] - left.T @ sides,
            front.corner - sides[:, : self._q].T @ sides,
        )

    def _front(self, step: Step, rests: list[_Rest]) -> _Rest:
        """Gather what has a step's pivots in it: rows are pivots, then the boundary."""
        p, r = self._matrix.block, self._right.shape[2]
        within = np.concatenate([step.pivots, step.boundary])
        self._place[within] = np.arange(len(within))
        square = np.zeros((len(within), p, len(within), p))
        entries = self._matrix.entries
        which = entries.links.entries(step.pivots)
        which = which[self._place[entries.links.other[which]] >= 0]
        row, column = entries.row[which], entries.links.other[which]
        blocks = self._matrix.values[entries.stored[which]]
        blocks = np.where((row > column)[:, None, None], np.swapaxes(blocks, 1, 2), blocks)
        square[self._place[row], :, self._place[column], :] = blocks
        matrix = square.reshape(len(within) * p, -1)
        sides = np.zeros((len(within), p, self._q + r))
        sides[: len(step.pivots), :, : self._q] = self._part.held_of(step.pivots)
        sides[: len(step.pivots), :, self._q :] = self._right[step.pivots]
        sides = sides.reshape(len(within) * p, -1)
        corner = np.zeros((self._q, self._q + r))
        for part, rest in zip(step.parts, rests, strict=True):
            at = self._unknowns(self._place[part.boundary])
            matrix[np.ix_(at, at)] += rest.matrix
            sides[at] += rest.sides
            corner += rest.corner
        self._place[within] = -1
        return _Rest(matrix, sides, corner)

    def _unknowns(self, places: IntArray) -> IntArray:
        p = self._matrix.block
        return np.asarray((places[:, None] * p + np.arange(p)).ravel())

    def _back_to_unknowns(self, step: Step, found: FloatArray, into: FloatArray) -> None:
        """Write a step's unknowns, and those of what came before it.

        `found`: of its pivots, its boundary and the constraints.
        """
        n = len(step.pivots) * self._matrix.block
        into[step.pivots] = found[:n].reshape(-1, self._matrix.block, found.shape[1])
        for part in step.parts:
            later = found[self._within(step, part)]
            factor = self._factor(part)
            known = factor.across.shape[1] - self._right.shape[2]
            right = factor.across[:, known:] - factor.across[:, :known] @ later
            own = solve_triangular(factor.lower, right, trans="T", lower=True, check_finite=False)
            self._back_to_unknowns(part, np.concatenate([own, later]), into)

    def _back_to_inverse(self, step: Step, found: FloatArray, into: FloatArray) -> None:
        """The same for blocks of the inverse, `found` of shape (f, f)."""
        p, k = self._matrix.block, len(step.pivots)
        blocks = found[: k * p, : k * p].reshape(k, p, k, p)
        into[step.pivots] = blocks[np.arange(k), :, np.arange(k), :]
        for part in step.parts:
            at = self._within(step, part)
            inverse = _inverse_of_front(self._factor(part), found, at)
            self._back_to_inverse(part, inverse, into)

    def _within(self, step: Step, part: Step) -> IntArray:
        """Return where a part's boundary and the constraints stand in a step's front."""
        within = np.concatenate([step.pivots, step.boundary])
        self._place[within] = np.arange(len(within))
        at = self._unknowns(self._place[part.boundary])
        self._place[within] = -1
        behind = len(within) * self._matrix.block
        return np.concatenate([at, np.arange(behind, behind + self._q)])

    def _factor(self, step: Step) -> _Factor:
        if step not in self._kept:
            self._eliminated(step, keeps_all=True)
        return self._kept.pop(step)


def _inverse_of_front(factor: _Factor, later: FloatArray, at: IntArray) -> FloatArray:
    """Return the inverse's part at a step's pivots and at rows `at` of `later`, its part there."""
    lower, n = factor.lower, len(factor.lower)
    whole = np.empty((n + len(at), n + len(at)))
    whole[n:, n:] = later[np.ix_(at, at)]
    later = whole[n:, n:]
    solved = solve_triangular(lower, factor.across, trans="T", lower=True, check_finite=False)
    whole[n:, :n] = -(later @ solved.T)
    whole[:n, n:] = whole[n:, :n].T
    root = solve_triangular(lower, np.eye(n), lower=True, check_finite=False)
    own = root.T @ root - whole[:n, n:] @ solved.T
    whole[:n, :n] = 0.5 * (own + own.T)
    return whole


def _cholesky(matrix: FloatArray) -> FloatArray:
    """Return L with ``L L^T`` = the matrix, or one near it that is positive definite."""
    try:
        return np.asarray(np.linalg.cholesky(matrix), float)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(matrix)
        roots = np.sqrt(np.maximum(values, _LEAST_PIVOT))
        upper = np.linalg.qr((vectors * roots).T).R
        return np.asarray(upper.T, float)
