"""De Vaucouleurs spheroids."""

from __future__ import annotations

from dataclasses import dataclass

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.models.galaxies import GALAXIES
from alignsvc.numerics.models.light.profile import ShapeParameter
from alignsvc.numerics.models.light.sersic_mixtures import RadialMixture, fixed_mixture


@GALAXIES.register("de_vaucouleurs")
@dataclass(frozen=True, slots=True)
class DeVaucouleurs:
    """``exp(-7.669 r^(1/4))``: Sersic's profile of index 4.

    Parameters
    ----------
    components : int
        Gaussians that it is made of.
    """

    components: int = 12

    @property
    def parameters(self) -> tuple[ShapeParameter, ...]:
        """None."""
        return ()

    def __call__(self, own: FloatArray) -> RadialMixture:
        """Return the Gaussians, the same for all."""
        return fixed_mixture(4.0, self.components, len(own))
