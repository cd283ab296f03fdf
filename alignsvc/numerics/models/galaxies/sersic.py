"""Sersic's (1963) profiles: from Gaussians over discs to spheroids by one number."""

from __future__ import annotations

from dataclasses import dataclass

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.models.galaxies import GALAXIES
from alignsvc.numerics.models.light.profile import ShapeParameter
from alignsvc.numerics.models.light.sersic_mixtures import (
    HIGHEST_INDEX,
    LOWEST_INDEX,
    RadialMixture,
    sersic_mixture,
)


@GALAXIES.register("sersic")
@dataclass(frozen=True, slots=True)
class Sersic:
    """``exp(-b r^(1/n))``.

    Parameters
    ----------
    components : int
        Gaussians that it is made of.
    """

    components: int = 12

    @property
    def parameters(self) -> tuple[ShapeParameter, ...]:
        """``index``: n."""
        return (ShapeParameter("index", LOWEST_INDEX, HIGHEST_INDEX, 0.5),)

    def __call__(self, own: FloatArray) -> RadialMixture:
        """Return the Gaussians for indices (n, 1)."""
        return sersic_mixture(own[:, 0], self.components)
