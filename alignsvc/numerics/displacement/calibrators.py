"""The sources of a chip that tell how its seeing differs from the mosaic's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.fitting.outset import Outset
from alignsvc.numerics.displacement.windows.chip_view import Targets
from alignsvc.numerics.displacement.windows.pairs import PairStack
from alignsvc.numerics.displacement.windows.psf_matching import MatchedSource, MatchingKernel


@dataclass(frozen=True, slots=True, eq=False)
class CleanSources:
    """Sources that nothing speaks against.

    Parameters
    ----------
    targets : Targets
    pairs : PairStack
    within : Points, shape (n,)
        What is left of their displacements in boxes that have been moved.
    trust : float64 array, shape (n,)
        From 0 to 1.
    """

    targets: Targets
    pairs: PairStack
    within: Points
    trust: FloatArray

    def calibrating(self, kernel: MatchingKernel) -> MatchedSource:
        """Return them as a kernel is improved from them, with the weights of a fit."""
        pairs, start = self.pairs, self.within
        weight = pairs.compared(start)
        outset = Outset.of(pairs, weight, start)
        weight = pairs.noisier(weight, outset.template, outset.flux)
        weight *= self.trust[:, None, None].astype(np.float32)
        return MatchedSource(pairs.pixels, weight, kernel.terms(pairs.spline), start)
