"""A profile measured from stars: the exposure's effective PSF, which has no free shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.stars.effective_psf import KNOTS_PER_PX, EffectivePsf
from alignsvc.numerics.models.light.profile import (
    Places,
    ProfileColumns,
    ShapeParameter,
    shape_rows,
)
from alignsvc.numerics.models.profiles import PROFILES


@PROFILES.register("empirical")
@dataclass(frozen=True, slots=True, eq=False)
class Empirical:
    """What the exposure's own stars look like.

    Parameters
    ----------
    psf : EffectivePsf
        Integrated over the pixel by its nature. Its flux is made 1.
    """

    psf: EffectivePsf

    @property
    def parameters(self) -> tuple[ShapeParameter, ...]:
        """None."""
        return ()

    def __call__(self, windows: Places, shape: FloatArray) -> ProfileColumns:
        """Return the columns of stars, float32; see `Profile`."""
        shape_rows(windows, shape, 0)
        surface = self.psf.at(Points(windows.x, windows.y), windows.side)
        # Stretches hold no flux, and a B-spline as much as there is room between two knots.
        flux = self.psf.terms[0].sum() + self.psf.correction.sum() / KNOTS_PER_PX**2
        unit = np.float32(1 / flux)
        return ProfileColumns(
            surface.value * unit,
            surface.along_x * -unit,
            surface.along_y * -unit,
            np.empty((len(windows), 0, windows.side, windows.side), np.float32),
        )
