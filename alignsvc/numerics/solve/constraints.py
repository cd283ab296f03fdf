"""What holds a component in place: its total has no motion that all exposures share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.solve.gauge import Footprint, common_geometry, common_motions
from alignsvc.numerics.solve.priors import ShapePrior


@dataclass(frozen=True, slots=True, eq=False)
class Constraints:
    """``sum over members of rows @ phi = value``.

    Parameters
    ----------
    rows : array, shape (q, n, p)
    value : array, shape (q,)
    """

    rows: FloatArray
    value: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """Exposures that nothing but their mean holds.

    Parameters
    ----------
    footprints : sequence of Footprint, length n
    prior : ShapePrior
    """

    footprints: Sequence[Footprint]
    prior: ShapePrior

    def constraints(self, to_parameters: FloatArray) -> Constraints:
        """Return the constraints on unknowns phi, each row of length one.

        Parameters
        ----------
        to_parameters : array, shape (n, 6, p)
            From phi to the six `PARAMETERS`.
        """
        by_mean, by_prior = self._of_mean(to_parameters), self._of_prior(to_parameters)
        rows = np.concatenate([by_mean.rows, by_prior.rows])
        value = np.concatenate([by_mean.value, by_prior.value])
        length = np.sqrt((rows**2).sum(axis=(1, 2)))
        return Constraints(rows / length[:, None, None], value / length)

    def of_prior(self) -> FloatArray:
        """Return the covariance (6, 6) that the prior gives the motion common to all."""
        motions = self._known_motions()
        total = sum(motions.T @ information @ motions for information in self._informations())
        return np.asarray(motions @ np.linalg.inv(total) @ motions.T, float)

    def _of_mean(self, to_parameters: FloatArray) -> Constraints:
        """No common motion of the footprints, where no prior says what the matrices are.

        Where one does, it must not be constrained as well: a common map that undoes the headers'
        shifts, on average, would stand against matrices that should stay what they are.
        """
        geometry = common_geometry(self.footprints)
        free = _null_space(self.prior.known(geometry) @ geometry.basis)
        rows, so_far = [], np.zeros(len(free))
        motions = common_motions(self.footprints)
        for footprint, motion, own in zip(self.footprints, motions, to_parameters, strict=True):
            within = motion @ free.T
            rows.append(np.einsum("kaq,kap->qp", within, footprint.jacobian @ own))
            so_far += np.einsum("kaq,ka->q", within, footprint.displacement)
        return Constraints(np.stack(rows, axis=1), -so_far)

    def _of_prior(self, to_parameters: FloatArray) -> Constraints:
        """The mean of the matrices, weighted by the prior, is the identity.

        With A the information of the measurements and ``A u = 0`` for a common motion u, the
        solution of ``(A + P) t = b - P d`` has ``u^T P (d + t) = 0`` of itself. To say so
        changes no value, but the covariance: it is then that of this gauge, free of what
        nothing but the prior says of the whole.
        """
        motions, informations = self._known_motions(), self._informations()
        rows = [
            motions.T @ information @ own
            for information, own in zip(informations, to_parameters, strict=True)
        ]
        so_far = sum(
            motions.T @ information @ footprint.departure
            for information, footprint in zip(informations, self.footprints, strict=True)
        )
        return Constraints(np.stack(rows, axis=1), -np.asarray(so_far, float))

    def _known_motions(self) -> FloatArray:
        """Return the common motions that the prior tells of, shape (6, r), each by itself."""
        geometry = common_geometry(self.footprints)
        known = self.prior.known(geometry) @ geometry.basis
        return np.asarray(geometry.basis @ np.linalg.pinv(known), float)

    def _informations(self) -> list[FloatArray]:
        return [self.prior.information(footprint.geometry) for footprint in self.footprints]


def _null_space(rows: FloatArray) -> FloatArray:
    """Return orthonormal rows at right angles to some independent ones."""
    return np.asarray(np.linalg.svd(rows)[2][len(rows) :], float)
