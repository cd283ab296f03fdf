"""No sky to subtract: for images whose sky is already zero."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array
from alignsvc.domain.chip_sky import KeptSky, SkyModel
from alignsvc.numerics.sources.skies import SKIES
from alignsvc.numerics.sources.skies.mesh import MeshBackground


@SKIES.register("none")
@dataclass(frozen=True, slots=True)
class NoBackground:
    """A level of zero everywhere; the noise is measured as by `MeshBackground`.

    The noise is needed to weigh the chip even where nothing is subtracted.
    """

    def __call__(self, pixels: Float32Array, mask: BoolArray) -> SkyModel:
        """Return a zero level and the noise of `pixels`, shape (ny, nx); `mask` True = bad.

        Raises
        ------
        DataError
            ALL_MASKED, as of `MeshBackground`.
        """
        kept = MeshBackground()(pixels, mask).kept
        ny, nx = pixels.shape
        return self.again(replace(kept, mesh_level=np.zeros_like(kept.mesh_level)), (ny, nx))

    def again(self, kept: KeptSky, shape: tuple[int, int]) -> SkyModel:
        """Return a zero level for a chip of this shape, with the noise kept."""
        return MeshBackground().again(kept, shape)
