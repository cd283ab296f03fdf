"""Seams: where the edge of another exposure runs through a source in the mosaic.

On one side of the edge the mosaic is a mean of more exposures than on the other. They differ in
flux and in seeing, so that the template has a step, and the fitted position follows it: by 0.3 px
for a star of FWHM 6.6 px that one exposure of three, of 1.7 times the flux of another, held by
half. Masked pixels of another exposure do the same.

Where, the mosaic's own weight tells. Let V be its variance, 1 over the sum of the weights, and
exposure k, of the weight w and the profile P_k, hold one side only. Then the template is

    T = P + w V (P_k - P)  with  w V = 1 - V / V_without,

P that of those who hold both. An even part is taken up by flux and seeing of the whole, and what is
left goes with ``v = V / mean(V) - 1``. ``P_k - P`` is a little more of P, for another flux, and a
little of P made wider, for another seeing. So beside a seam there are two unknowns more, the
coefficients of ``v T`` and ``v (G * T - T)``; and that of ``G * T - T``, as an exposure of other
seeing than the mosaic's would pass for a seam. How unlike exposures are at most is known
beforehand: a faint source takes that for it, a bright one finds what they are. What it does not
find is in the stated errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.fitting.information import Equations, Information
from alignsvc.numerics.displacement.fitting.refine import Begun, Refined, TemplateFit, judged
from alignsvc.numerics.displacement.fitting.seam_sums import pulls, seam_sums
from alignsvc.numerics.displacement.splines.spline import TemplateSpline
from alignsvc.numerics.displacement.windows.pairs import PairStack

#: A step is cut to this along each axis: farther the template's slopes say nothing.
_LONGEST_STEP_PX = 0.3
#: Columns: the whole made wider, which belongs to no seam but looks like one; more on one side of
#: the seam; wider on one side.
_SEAM = slice(1, 3)
_FLUX = 2
#: Coefficient of the first: how the exposure's own seeing differs, nobody need know.
_ANY_SEEING = 1.0
_FWHM_OF_SIGMA = float(np.sqrt(8.0 * np.log(2.0)))


@dataclass(frozen=True, slots=True)
class SeamFit:
    """Displacements beside seams of the template, with what the seams do to them taken off.

    Parameters
    ----------
    flux : float
        Relative difference of the exposures' fluxes that is taken for granted, as a standard
        deviation: their levels are matched. That of the exposure and the template adds to it.
    seeing : float
        Difference of the squares of the exposures' widths, likewise, over that of the template's:
        0.23 for FWHM of 4 to 6 px, all alike likely.
    most_snr : float
        Brighter sources count no more than one of this: theirs are small errors of the model.
    least_error : float
        A displacement that seams can move by less than this part of its error is left as it is.
    steps : int
        Of Gauss and Newton.
    fit : TemplateFit
        Whose weights and instruments are used where the displacements come from no fit.
    """

    flux: float = 0.05
    seeing: float = 0.2
    most_snr: float = 300.0
    least_error: float = 0.03
    steps: int = 2
    fit: TemplateFit = field(default_factory=TemplateFit)

    def __call__(self, refined: Refined, pairs: PairStack, fwhm_px: FloatArray) -> Refined:
        """Return the displacements, those beside seams corrected and with larger errors.

        Parameters
        ----------
        refined : Refined
            Displacements that have been read from the templates of the pairs.
        pairs : PairStack
        fwhm_px : array, shape (n,)

        Returns
        -------
        Refined
            Beside seams those of a fit, whatever they have been before; NO_PEAK and NaN where that
            leads beyond the template or to no source.
        """
        beside = self._beside(refined, pairs, fwhm_px)
        if not beside.any():
            return refined
        start = Points(refined.dx[beside], refined.dy[beside])
        if refined.begun is None:
            begun = self.fit.begun(pairs.select(beside), start)
            information = begun.equations.information(start)
        else:
            begun = refined.begun.select(beside).moved(start)
            information = refined.information.select(beside)
        sound = information.informative
        shift, own = np.full((len(sound), 2), np.nan), information.own.copy()
        if sound.any():
            found = self._solved(begun.select(sound), information.select(sound))
            shift[sound] = found.shift
            own[sound] += found.covariance
        rows = judged(Points(shift[:, 0], shift[:, 1]), replace(information, own=own))
        return refined.with_rows(beside, rows)

    def _solved(self, begun: Begun, information: Information) -> _Corrected:
        """Return the displacements; NaN where they lead beyond the template, or to no source."""
        equations, pairs = begun.equations, begun.equations.pairs
        prior = np.empty((len(pairs), 3))
        prior[:, 0], prior[:, 2] = _ANY_SEEING, self.seeing
        prior[:, 1] = np.sqrt(self._flux2(information.flux))
        problem = _SeamProblem(
            equations,
            equations.instrument.smoothed(begun.width_px),
            prior,
            _size2(information.template) / _size2(information.own),
            self.most_snr,
        )
        shift = np.stack([begun.start.x, begun.start.y], axis=1)
        farthest = pairs.spline.largest_shift(pairs.side)
        lost = np.zeros(len(pairs), bool)
        for _ in range(self.steps):
            found = problem.at(shift)
            lost |= ~np.isfinite(found.shift).all(axis=1)
            step = np.clip(np.nan_to_num(found.shift), -_LONGEST_STEP_PX, _LONGEST_STEP_PX)
            shift = np.clip(shift + step, -farthest, farthest)
            lost |= (np.abs(shift) >= farthest).any(axis=1)
        shift[lost] = np.nan
        return _Corrected(shift, found.covariance)

    def _beside(self, refined: Refined, pairs: PairStack, fwhm_px: FloatArray) -> BoolArray:
        """Return which displacements the template's seams can move.

        A Gaussian of which one side counts more has its centroid moved by that of the weight.
        """
        place = np.stack([pairs.centre.x - refined.dx, pairs.centre.y - refined.dy], axis=1)
        pull = pulls(pairs.template_variance, place, fwhm_px / _FWHM_OF_SIGMA)
        information = refined.information
        unlike2 = self._flux2(information.flux) + self.seeing**2
        can_move = unlike2 * pull**2 > self.least_error**2 * _size2(information.own)
        return np.asarray((refined.flags == 0) & can_move)

    def _flux2(self, flux: FloatArray) -> FloatArray:
        flux2: FloatArray = self.flux**2 + (flux - 1.0) ** 2
        return flux2


@dataclass(frozen=True, slots=True, eq=False)
class _Corrected:
    """Shifts, or steps of them, shape (n, 2), and what to add to their covariances."""

    shift: FloatArray
    covariance: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _SeamProblem:
    """Equations for displacements and for what differs across the seams.

    Parameters
    ----------
    equations : Equations
        Of what is unknown without seams.
    wider : TemplateSpline
        The instruments' templates, smoothed by their own width.
    prior : float64 array, shape (n, 3)
        Standard deviations of the columns' coefficients.
    others : float64 array, shape (n,)
        Variance that comes from the template's noise over that from the exposure's.
    most_snr : float
    """

    equations: Equations
    wider: TemplateSpline
    prior: FloatArray
    others: FloatArray
    most_snr: float

    def at(self, shift: FloatArray) -> _Corrected:
        """Return the step from trial shifts, NaN without light, and what seams add to covariances.

        With x the four unknowns without seams, ``M x = Z'w (E - S u)``, and u, the coefficients of
        the columns S, from what that leaves and the prior. The error of u adds to that of x,
        which the noise gives, as the two are independent: ``x = x_0 - G u``, ``G = M^-1 Z'w S``.
        """
        equations = self.equations
        splines = equations.instrument.rows, equations.pairs.spline.rows, self.wider.rows
        sums = seam_sums(shift, splines, equations.boxes, equations.pairs.template_variance)
        matrix = sums[:, :4, :4] - equations.noise[:, :, None] * np.eye(4)
        solved = np.asarray(np.linalg.solve(matrix, sums[:, :4, 4:]), np.float64)
        plain, response = solved[:, :, 0], solved[:, :, 1:]
        flux = _positive(plain[:, _FLUX])
        snr2 = flux**2 * matrix[:, _FLUX, _FLUX]
        noise = 1 + self.others + snr2 / self.most_snr**2
        left = sums[:, 4:, 4:] - sums[:, 4:, :4] @ solved
        right, normal = left[:, :, :1], left[:, :, 1:]
        inverse = _inverse(normal, np.nan_to_num(flux)[:, None] * self.prior, noise)[:, _SEAM]
        moves = response[:, :, _SEAM]
        solution = plain - (moves @ (inverse @ right))[:, :, 0]
        moves = moves[:, :_FLUX] / flux[:, None, None]
        covariance = moves @ inverse[:, :, _SEAM] @ np.swapaxes(moves, 1, 2)
        step = solution[:, :_FLUX] / _positive(solution[:, _FLUX])[:, None]
        return _Corrected(step, noise[:, None, None] * covariance)


def _inverse(normal: FloatArray, scale: FloatArray, noise: FloatArray) -> FloatArray:
    """Return the inverses of normal matrices with priors of standard deviations `scale`.

    What is expected of the template's noise is subtracted in them, so that those of faint sources
    scatter about 0: an eigenvalue below it tells nothing.
    """
    unit = scale[:, :, None] * normal * scale[:, None, :]
    known, axes = np.linalg.eigh(0.5 * (unit + np.swapaxes(unit, 1, 2)))
    axes = scale[:, :, None] * axes
    weighted = axes / (np.maximum(known, 0.0) + noise[:, None])[:, None, :]
    inverse: FloatArray = weighted @ np.swapaxes(axes, 1, 2)
    return inverse


def _positive(flux: FloatArray) -> FloatArray:
    """Return fluxes, NaN for those that are none."""
    return np.asarray(np.where(flux > 0, flux, np.nan))


def _size2(covariance: FloatArray) -> FloatArray:
    """Return the variances along both axes together, shape (n,)."""
    size2: FloatArray = np.trace(covariance, axis1=1, axis2=2)
    return size2
