"""The sources of a chip that tell how its seeing differs from the mosaic's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.chip_view import Targets
from alignsvc.numerics.displacement.pairs import PairStack
from alignsvc.numerics.displacement.psf_matching import KernelTerms, MatchedSource, MatchingKernel
from alignsvc.numerics.displacement.refine import TemplateFit


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

    def matched(self, terms: KernelTerms, kernel: MatchingKernel) -> MatchedSource:
        """Return them fitted with the kernel as it is, those that the fit finds."""
        fit = TemplateFit()
        pairs = replace(self.pairs, spline=terms.matched(kernel), kernel=kernel)
        begun = fit.begun(pairs, self.within)
        found = fit.ended(begun)
        sound = found.flags == 0
        return MatchedSource(
            self.pairs.pixels[sound],
            begun.equations.weight[sound] * self.trust[sound, None, None].astype(np.float32),
            terms.select(sound),
            Points(found.dx[sound], found.dy[sound]),
        )
