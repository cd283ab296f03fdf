"""From the correlation's peak to the displacement: as it is, or by a fit of the template."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.numerics.displacement.fitting.information import Equations, Information, replaced
from alignsvc.numerics.displacement.fitting.instruments import FaintInstruments
from alignsvc.numerics.displacement.fitting.outset import Outset
from alignsvc.numerics.displacement.fitting.steps import Limits
from alignsvc.numerics.displacement.windows.pairs import PairStack


@dataclass(frozen=True, slots=True, eq=False)
class CommonErrors:
    """Errors that the places of a chip's sources have in common; see `Displacements`.

    Parameters
    ----------
    profile, convention : float64 arrays, shapes (n, 2, k), (n, 2, c)
        Pixels; 0 where there are none.
    """

    profile: FloatArray
    convention: FloatArray

    @classmethod
    def none(cls, n: int) -> CommonErrors:
        """Return n places that have none."""
        return cls(np.zeros((n, 2, 0)), np.zeros((n, 2, 0)))


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """Displacements and what they are worth.

    Parameters
    ----------
    dx, dy : float64 arrays, shape (n,)
        Pixels; NaN where there is none.
    information : Information
    flags : int64 array, shape (n,)
        GOOD, NO_PEAK or NO_INFORMATION.
    common : CommonErrors
        What the places in the exposure have in common.
    begun : Begun or None
        The fit that led to them; None: they come from elsewhere, or not all of them do.
    """

    dx: FloatArray
    dy: FloatArray
    information: Information
    flags: IntArray
    common: CommonErrors
    begun: Begun | None = None

    def with_rows(self, which: BoolArray, rows: Refined) -> Refined:
        """Return the result with the rows that a mask names replaced, by such without errors
        in common.
        """
        return Refined(
            replaced(self.dx, which, rows.dx),
            replaced(self.dy, which, rows.dy),
            self.information.with_rows(which, rows.information),
            replaced(self.flags, which, rows.flags),
            self.common,
        )


class Refinement(Protocol):
    """What turns peaks into displacements with covariances."""

    def __call__(self, pairs: PairStack, start: Points) -> Refined:
        """Return displacements, from `start` (pixels, finite, shape (n,))."""
        ...


@dataclass(frozen=True, slots=True)
class PeakAsFound:
    """The correlation's own peak, with the covariance of an unweighted least-squares shift.

    The normalised correlations have their peak where ``sum (E - a T)^2`` over the aperture is
    least, so the equations with weight 1 are theirs.

    Parameters
    ----------
    frees_background : bool
        As of the correlator.
    """

    frees_background: bool

    def __call__(self, pairs: PairStack, start: Points) -> Refined:
        """Return `start` with its information."""
        factors = pairs.texture.factors(np.zeros(len(pairs)), pairs.kernel, start)
        weight = (pairs.common(start) & pairs.searched).astype(np.float32)
        equations = Equations.of(pairs, pairs.spline, weight, factors)
        if not self.frees_background:
            equations = equations.without_background()
        return judged(start, equations.information(start))


@dataclass(frozen=True, slots=True)
class TemplateFit:
    """Maximum-likelihood fit of position, flux and background of each cutout to its template.

    The template is the data's own: the blot of all other exposures. Gauss-Newton in all four
    unknowns, all cutouts at once. Weights (sky noise and, where the gain is known, the
    source's), masks, aperture and instruments are frozen at the start, so that what is solved
    does not jump.

    Parameters
    ----------
    tolerance_px : float
        A source is done when its next step would be below this.
    max_iterations : int
        Faint sources need many: ten leave a fifth of those of S/N 10 without a result.
    reach_px : float
        A fit that ends farther from its start has left the peak, and is NO_PEAK.
    smoothing : float
        The instruments' Gaussian, in widths of the template, never exceeds this. It is
        ``r^(1/4)`` where noise is r of the power of the template's slopes: smoothing by s costs
        s^4 / 2 of the variance, which `faint` mostly gives back, and half a width removes most of
        the slopes' noise.
    faint : FaintInstruments
        What gives faint templates what smoothing takes away.
    """

    tolerance_px: float = 1e-4
    max_iterations: int = 40
    reach_px: float = 3.0
    smoothing: float = 0.6
    faint: FaintInstruments = field(default_factory=FaintInstruments)

    def __call__(self, pairs: PairStack, start: Points) -> Refined:
        """Return the fitted displacements; NO_PEAK and NaN where the fit does not converge."""
        return self.ended(self.begun(pairs, start))

    def ended(self, begun: Begun) -> Refined:
        """Return the fitted displacements from where a fit has begun."""
        spline, side = begun.equations.pairs.spline, begun.equations.pairs.side
        limits = Limits(
            self.tolerance_px,
            self.reach_px,
            float(spline.largest_shift(side)),
            self.max_iterations,
        )
        return replace(judged(*begun.equations.fitted(begun.start, limits)), begun=begun)

    def begun(self, pairs: PairStack, start: Points) -> Begun:
        """Return the equations to be solved: weights and instruments chosen at the start."""
        weight = pairs.compared(start)
        outset = Outset.of(pairs, weight, start)
        sigma = np.minimum(outset.slope_noise**0.25, self.smoothing) * outset.width_px
        weight = pairs.noisier(weight, outset.template, outset.flux)
        factors = pairs.texture.factors(sigma, pairs.kernel, start)
        equations = Equations.of(pairs, pairs.spline.smoothed(sigma), weight, factors)
        return Begun(self.faint(equations, sigma, outset, start), start, outset.width_px)


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A fit that has begun.

    Parameters
    ----------
    equations : Equations
    start : Points, shape (n,)
        Where they have been chosen, or what is nearer to their solution.
    width_px : float64 array, shape (n,)
        Of the templates, see `Outset`.
    """

    equations: Equations
    start: Points
    width_px: FloatArray

    def select(self, which: BoolArray) -> Begun:
        """Return the fits that a mask names."""
        if which.all():
            return self
        start = Points(self.start.x[which], self.start.y[which])
        return Begun(self.equations.select(which), start, self.width_px[which])

    def moved(self, start: Points) -> Begun:
        """Return the same equations, to be solved from elsewhere."""
        return replace(self, start=start)


def judged(displacement: Points, information: Information) -> Refined:
    """Return the result with its flags; without a positive flux there is no peak."""
    found = np.isfinite(displacement.x) & ~(information.flux <= 0)
    flags = np.where(found, 0, int(DisplacementFlag.NO_PEAK)) | np.where(
        information.informative, 0, int(DisplacementFlag.NO_INFORMATION)
    )
    return Refined(
        dx=np.where(found, displacement.x, np.nan),
        dy=np.where(found, displacement.y, np.nan),
        information=information,
        flags=flags.astype(np.int64),
        common=CommonErrors.none(len(flags)),
    )
