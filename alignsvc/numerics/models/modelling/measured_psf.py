"""Effective PSFs of exposures from their own stars, as a joint fit of a parametric model left them.

The fit gives what Anderson & King (2000, PASP 112, 1360) iterate for: places of the stars that all
exposures agree on, whatever the phase of the pixel in each, and pixels without sky and neighbours.
What a PSF is fitted to is the whole of a star then, its model added to what the fit left of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.stars.effective_psf import EffectivePsf
from alignsvc.numerics.displacement.stars.psf_from_stars import KnownStars, PsfFromStars
from alignsvc.numerics.displacement.stars.star_fit import StarFit, StarStack
from alignsvc.numerics.models.modelling.star_stamps import Remainders, star_stamps
from alignsvc.numerics.models.scene.scene import Scene
from alignsvc.numerics.models.scene.scene_fit import SceneFit

#: FWHM of a Gaussian in its standard deviations.
_FWHM = math.sqrt(8 * math.log(2))


@dataclass(frozen=True, slots=True)
class Stamp:
    """The pixels about each star of an exposure that tell of its PSF.

    Parameters
    ----------
    psf : str
        Exposures that name the same one share it.
    side_px : int
        Odd.
    fwhm_px : float
        Of the stars, about.
    known : EffectivePsf or None
        The PSF as measured before, with places that were not known as well.
    """

    psf: str
    side_px: int
    fwhm_px: float
    known: EffectivePsf | None = None


@dataclass(frozen=True, slots=True)
class MeasuredPsfs:
    """How PSFs are measured.

    Parameters
    ----------
    least : float
        Standard deviations of flux; fainter stars tell nothing.
    most_stars : int
        Of each exposure the clearest of so many are taken: more cost time and add little.
    build : PsfFromStars
        One star will do: its place is known, and the Gaussians' prior fills the gaps. Places that
        this exposure had a part in scatter by less than their errors; nothing is to be learnt from
        that. Nor is it from fits to less than half of what they are trusted to.

    Notes
    -----
    The places tell which Gaussian to begin with, without a fit; and a PSF that was measured before
    keeps its Gaussians, since what better places change is the correction. Both save half of the
    time, and a shift differs by 0.01 of its error at most from what it is without either.
    """

    least: float = 20.0
    most_stars: int = 40
    build: PsfFromStars = field(
        default_factory=lambda: PsfFromStars(
            fewest_stars=1,
            most_scatter_px=0.5,
            least_part=0.5,
            fit=StarFit(tolerance_px=1e-3),
        )
    )

    def __call__(
        self, scene: Scene, fit: SceneFit, left: Remainders, stamps: tuple[Stamp, ...]
    ) -> tuple[EffectivePsf | None, ...]:
        """Return the PSF of each exposure; None for want of stars.

        Parameters
        ----------
        scene, fit
            A fit that ended in an answer.
        left : Remainders
        stamps : tuple of Stamp, one for each exposure
            Exposures of one `Stamp.psf` have one PSF, of the stars of all.
        """
        known = [self._known(scene, fit, e, left, stamp.side_px) for e, stamp in enumerate(stamps)]
        psfs: dict[str, EffectivePsf | None] = {}
        for stamp in stamps:
            if stamp.psf not in psfs:
                same = [k for k, other in enumerate(stamps) if other.psf == stamp.psf]
                stars = [known[k] for k in same if len(known[k].stack)]
                width = math.exp(np.mean([math.log(stamps[k].fwhm_px) for k in same]))
                psfs[stamp.psf] = self._built(stars, width / _FWHM, stamp.known)
        return tuple(psfs[stamp.psf] for stamp in stamps)

    def _built(
        self, stars: list[KnownStars], sigma_px: float, known: EffectivePsf | None
    ) -> EffectivePsf | None:
        if not stars:
            return None
        if known is not None:
            return self.build.corrected(known, stars)
        tried = [self.build.outset(factor * sigma_px) for factor in self.build.outsets]
        return self.build.improved(min(tried, key=lambda psf: _misfit(psf, stars)), stars)

    def _known(
        self, scene: Scene, fit: SceneFit, which: int, left: Remainders, side: int
    ) -> KnownStars:
        stars = star_stamps(scene, fit, which, left, side, least=self.least)
        # In units of the noise, as float32 holds no 1e-20 squared.
        used = stars.weight[stars.weight > 0]
        noise = 1 / math.sqrt(np.median(used)) if used.size else 1.0
        weight = (stars.weight * noise**2).astype(np.float32)
        pixels = (stars.pixels / noise).astype(np.float32)
        # The noise of the stars is in the weights already.
        stack = StarStack(pixels, weight, np.ones_like(weight), None)
        at = Points(stars.at.x, stars.at.y)
        known = KnownStars(stack, at, at, stars.on_chip)
        if len(stack) <= self.most_stars:
            return known
        clearest = np.argsort(-stars.flux / stars.flux_error, kind="stable")[: self.most_stars]
        return known.select(np.isin(np.arange(len(stack)), clearest))


def _misfit(psf: EffectivePsf, stars: list[KnownStars]) -> float:
    """Return the part of their light that a PSF leaves of stars at their places, the median."""
    parts = []
    for one in stars:
        stack = one.stack
        light = psf.at(one.known, stack.side).value
        weight = stack.weight * stack.window
        total = np.maximum(weight.sum(axis=(1, 2)), 1e-30)
        light, seen = (
            plane - (np.sum(weight * plane, axis=(1, 2)) / total)[:, None, None]
            for plane in (light, stack.pixels)
        )
        across, own, all_of_it = (
            np.sum(weight * product, axis=(1, 2)) for product in (light * seen, light**2, seen**2)
        )
        explained = across**2 / np.maximum(own * all_of_it, 1e-30)
        parts.append(1 - explained)
    return float(np.median(np.concatenate(parts)))
