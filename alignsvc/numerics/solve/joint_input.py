"""What a joint fit starts from: measurements, footprints, and how free each exposure is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.correction import N_PARAMETERS, Geometry
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.gauge import Footprint
from alignsvc.numerics.solve.priors import CatalogOffsets
from alignsvc.numerics.solve.seen_as import SeenAs
from alignsvc.numerics.solve.sums import apply_each


@dataclass(frozen=True, slots=True, eq=False)
class JointInput:
    """Exposures of one plane, and steps that they have taken for good.

    Parameters
    ----------
    factors : sequence of Factors, length n
    footprints : tuple of Footprint, length n
    catalog : CatalogOffsets or None
    undone : array, shape (n, 6)
        Steps that are in `factors` and `footprints` already.
    """

    factors: Sequence[Factors]
    footprints: tuple[Footprint, ...]
    catalog: CatalogOffsets | None
    undone: FloatArray

    @classmethod
    def of(
        cls,
        factors: Sequence[Factors],
        footprints: Sequence[Footprint],
        catalog: CatalogOffsets | None,
    ) -> JointInput:
        """Return the input as it was measured."""
        undone = np.zeros((len(factors), N_PARAMETERS))
        return cls(factors, tuple(footprints), catalog, undone)

    @property
    def geometries(self) -> tuple[Geometry, ...]:
        """How free each exposure is."""
        return tuple(footprint.geometry for footprint in self.footprints)

    def restricted(self, geometries: Sequence[Geometry]) -> JointInput:
        """Return the input with these geometries; what they cannot express is undone.

        A total that has a rotation, of an exposure that is to have none, first steps back to
        the nearest that its geometry has; the measurements then lack that step.
        """
        steps, footprints = np.zeros_like(self.undone), []
        for i, (footprint, geometry) in enumerate(zip(self.footprints, geometries, strict=True)):
            if geometry is not footprint.geometry:
                basis = geometry.basis
                steps[i] = basis @ np.linalg.pinv(basis) @ footprint.departure
                steps[i] -= footprint.departure
            footprints.append(replace(footprint.after(steps[i]), geometry=geometry))
        return replace(
            self,
            factors=SeenAs(
                lambda i, own: replace(own, residual=own.residual - _moved(own, steps[i])),
                self.factors,
            ),
            footprints=tuple(footprints),
            undone=self.undone + steps,
        )


def _moved(factors: Factors, step: FloatArray) -> FloatArray:
    return apply_each(factors.jacobian, np.broadcast_to(step, (len(factors), N_PARAMETERS)))
