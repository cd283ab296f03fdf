"""Chips that stand elsewhere in the focal plane than headers say: one more block of the solve.

``r_is = B_is theta_i + D_is chi_k + c_s + noise``: a source on chip k of exposure i is off by the
exposure's correction, by the chip's own offset chi_k, which all exposures of the camera share, and
by the source's. The sources and the exposures are eliminated already (`reduced`); with A, L, T as
there, K the upper left block of the bordered matrix's inverse, and Z = (1 - T^T T) L^T D, what is
left for chi has the normal matrix ``Z^T Z - V^T K V``, ``V = A^T Z``, and the right-hand side
``D^T P (what the fit with chi = 0 leaves)``. Then ``phi`` changes by ``-K V chi``: together they
are the least-squares solution for all unknowns at once.

A shift that all chips share is the exposures' own; and offsets that no source tells, since none
is seen by one chip in one exposure and by another in the next, are the sources' own. Such
directions stay zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray, read_only
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.joint_problem import Solved
from alignsvc.numerics.solve.row_matrices import averaging_of, whitened_of
from alignsvc.numerics.solve.sums import apply_each, cholesky_2x2

#: Offsets (px) whose error is larger than this are held at zero: no source tells of them.
LOOSEST_PX = 0.3
#: Part of a chip's offset that must be told by sources for it to count as known.
_LEAST_KNOWN = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class ChipDesign:
    """Which chip each measurement is on, and what an offset of that chip does to it.

    Parameters
    ----------
    column : tuple of int64 array, one an exposure, shape (m_i,)
        Number of the row's chip among all chips that may be off; -1 = it has no offset.
    design : tuple of array, one an exposure, shape (m_i, 2, 2)
        Change of the row's position, arcsec in the component's plane, per pixel of the chip.
    common : array, shape (q, 2 n_chips)
        Sums of offsets that are zero: what the exposures' own shifts can do as well.
    n_chips : int
    """

    column: tuple[IntArray, ...]
    design: tuple[FloatArray, ...]
    common: FloatArray
    n_chips: int

    def moves(self, offsets: FloatArray) -> list[FloatArray]:
        """Return what offsets (n_chips, 2) do to each exposure's rows, arcsec, shape (m_i, 2)."""
        of_row = np.concatenate([offsets, np.zeros((1, 2))])  # -1 takes the last
        return [
            apply_each(design, of_row[column])
            for column, design in zip(self.column, self.design, strict=True)
        ]

    def taken_off(self, factors: Sequence[Factors], offsets: FloatArray) -> tuple[Factors, ...]:
        """Return factors whose residuals lack what `offsets` (n_chips, 2) do."""
        return tuple(
            replace(one, residual=read_only(one.residual - moved))
            for one, moved in zip(factors, self.moves(offsets), strict=True)
        )


@dataclass(frozen=True, slots=True, eq=False)
class ChipStep:
    """By how much each chip is off, and what that does to the exposures' corrections.

    Parameters
    ----------
    offset : array, shape (n_chips, 2)
        Pixels of the chip, to be added; 0 in directions that no source tells of.
    covariance : array, shape (2 n_chips, 2 n_chips)
        Of `offset`; 0 there.
    response : array, shape (n, 6, 2 n_chips)
        Change of each exposure's six `PARAMETERS` per pixel of each offset.
    is_known : bool array, shape (n_chips,)
        False = the chip's place is not told by the sources: it is held where headers have it.
    information : array, shape (2 n_chips, 2 n_chips)
        What the measurements say of offsets, exposures and sources being free.
    """

    offset: FloatArray
    covariance: FloatArray
    response: FloatArray
    is_known: BoolArray
    information: FloatArray

    def significance(self, offset: FloatArray) -> float:
        """Return an offset (n_chips, 2) in units of its error, rms over what is known."""
        n_known = round(float(np.trace(self.information @ self.covariance)))
        if not n_known:
            return 0.0
        flat = offset.ravel()
        return float(np.sqrt(flat @ self.information @ flat / n_known))


def chip_step(solved: Solved, chips: ChipDesign, n_exposures: int) -> ChipStep:
    """Return the offsets that, with the exposures' response, solve for all unknowns at once.

    Parameters
    ----------
    solved : Solved
        Without offsets, or with those so far taken off.
    chips : ChipDesign
    n_exposures : int
        Rows of a catalogue, behind those of the exposures, are of no chip.
    """
    rows, system = solved.rows, solved.system
    of_exposures, averaging = whitened_of(rows), averaging_of(rows)
    lower = cholesky_2x2(rows.information(slice(None)))
    whitened = _whitened(solved, chips, lower)
    averaged = (averaging @ whitened).tocsr()
    pulls = of_exposures.T @ whitened - (averaging @ of_exposures).T @ averaged
    pulls = np.asarray(pulls.toarray(), float)
    response = -system.response(pulls) if pulls.size else np.zeros_like(pulls)
    own = (whitened.T @ whitened - averaged.T @ averaged).toarray()
    information = own + pulls.T @ response
    information = 0.5 * (information + information.T)
    left = rows.residual - rows.moves(solved.phi) - rows.offsets(solved.phi)[rows.key]
    right = whitened.T @ apply_each(np.swapaxes(lower, 1, 2), left).ravel()
    covariance, known = _inverted(information, chips)
    steps = np.zeros((n_exposures, 6, 2 * chips.n_chips))
    by_mover = response.reshape(len(solved.movers), system.block, 2 * chips.n_chips)
    steps[solved.movers] = solved.to_parameters @ by_mover
    return ChipStep(
        offset=read_only((covariance @ right).reshape(-1, 2)),
        covariance=read_only(covariance),
        response=read_only(steps),
        is_known=read_only(known),
        information=read_only(information),
    )


def _whitened(solved: Solved, chips: ChipDesign, lower: FloatArray) -> csr_matrix:
    """``L^T D`` of the rows in the fit, shape (2 m, 2 n_chips)."""
    column, design = np.concatenate(chips.column), np.concatenate(chips.design)
    given = solved.index < len(column)  # beyond them stands a catalogue
    place = np.minimum(solved.index, len(column) - 1)
    of_row = np.where(given, column[place], -1)
    on_chip = of_row >= 0
    values = (np.swapaxes(lower, 1, 2) @ design[place])[on_chip]
    into = np.broadcast_to(of_row[on_chip, None, None] * 2 + np.arange(2), values.shape)
    starts = np.concatenate([[0], np.cumsum(np.repeat(np.where(on_chip, 2, 0), 2))])
    shape = (2 * len(of_row), 2 * chips.n_chips)
    return csr_matrix((values.ravel(), into.ravel(), starts), shape=shape)


def _inverted(information: FloatArray, chips: ChipDesign) -> tuple[FloatArray, BoolArray]:
    """Return the covariance within what sources tell of, and which chips that is true for."""
    # At right angles to the sums that are zero.
    n_sums = np.linalg.matrix_rank(chips.common)
    free = np.linalg.svd(chips.common)[2][n_sums:].T
    values, vectors = np.linalg.eigh(free.T @ information @ free)
    told = values > LOOSEST_PX**-2
    directions = free @ vectors[:, told]
    covariance = (directions / values[told]) @ directions.T
    # Of each chip's offset, the part that is told; of what a common shift leaves of it.
    part = (directions**2).sum(axis=1).reshape(-1, 2).sum(axis=1)
    whole = (free**2).sum(axis=1).reshape(-1, 2).sum(axis=1)
    return 0.5 * (covariance + covariance.T), part > _LEAST_KNOWN * whole
