"""The family of galaxies: round profiles of unit flux as Gaussians; size and shape come later.

A galaxy is a frozen dataclass; called with its own parameters it returns a `RadialMixture` in
units of the half-light radius. `profiles.convolved` gives it size, ellipticity and a PSF.
"""

from __future__ import annotations

from typing import Protocol

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.models.light.profile import ShapeParameter
from alignsvc.numerics.models.light.sersic_mixtures import RadialMixture
from alignsvc.registry import Registry


class Galaxy(Protocol):
    """A galaxy's radial profile."""

    @property
    def parameters(self) -> tuple[ShapeParameter, ...]:
        """The galaxy's own, beyond size and ellipticity."""
        ...

    def __call__(self, own: FloatArray) -> RadialMixture:
        """Return the Gaussians for parameters of shape (n, count)."""
        ...


GALAXIES: Registry[Galaxy] = Registry("galaxy", __name__)
