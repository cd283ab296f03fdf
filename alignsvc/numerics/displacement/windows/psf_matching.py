"""Kernels that give a template the seeing of an exposure.

Where the profile of the template differs from the exposure's, no shift makes the two alike. The
fitted shift stays unbiased, as both are symmetric, but its slopes are those of the wrong width:
the sharpest of nine exposures (FWHM 3.5 to 6 px) was placed at 1.4 times its bound. The kernel is
Alard & Lupton's (1998, ApJ 503, 325) in its smallest form, a sum of Gaussians that leaves fluxes
as they are,

    K = delta + sum_k c_k (G_k - delta) + c_plus (dxx - dyy) G + c_cross dxy G,

with differences of neighbours for derivatives; point-symmetric, so that it moves nothing. Negative
c_k sharpen. Its few numbers are those of a whole chip, fitted to the chip's brightest sources: a
faint source takes part in nothing but position, flux and background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import (
    Float32Array,
    FloatArray,
    IntArray,
    read_only,
)
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.splines.convolution import reach_of
from alignsvc.numerics.displacement.splines.spline import (
    TemplateSpline,
    gaussian_kernel,
)
from alignsvc.numerics.displacement.splines.stencils import stencilled
from alignsvc.numerics.displacement.splines.surface_sums import Boxes
from alignsvc.numerics.displacement.windows.kernel_sums import kernel_sums
from alignsvc.numerics.sources.selection import brightest

#: A source counts wholly from so far above the least S/N: with an edge it would come and go.
_RISE_OF_SNR = 0.25
#: Farther from where correlation finds a source the equations do not hold.
_LONGEST_STEP_PX = 0.5
#: See `stencilled`: a Gaussian in place of what it is of, then the stretch along x and along both.
_TERMS = read_only(np.array([[-1.0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))


@dataclass(frozen=True, slots=True)
class MatchingKernel:
    """A point-symmetric kernel of unit sum.

    Parameters
    ----------
    sigma_px : tuple of float
        Widths of the Gaussians, ascending.
    round : tuple of float
        c_k of each.
    plus_px2, cross_px2 : float
        c_plus and c_cross, of the widest Gaussian.
    response : float
        How much steeper templates become: the ratio of their slopes after to before, in the
        direction of the slopes after.
    """

    sigma_px: tuple[float, ...] = ()
    round: tuple[float, ...] = ()
    plus_px2: float = 0.0
    cross_px2: float = 0.0
    response: float = 1.0

    @property
    def coefficients(self) -> FloatArray:
        """c_k, then c_plus and c_cross."""
        return np.array([*self.round, self.plus_px2, self.cross_px2])

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return not self.sigma_px

    def applied(self, spline: TemplateSpline) -> TemplateSpline:
        """Return the templates convolved with the kernel."""
        if self.is_identity:
            return spline
        last = len(self.round) - 1
        sums = []
        for k, sigma in enumerate(self.sigma_px):
            itself = 1 - sum(self.round) if k == 0 else 0.0
            stretched = (self.plus_px2, self.cross_px2) if k == last else (0.0, 0.0)
            numbers = np.array([[itself, self.round[k], *stretched]])
            sums.append(stencilled(spline.coefficients, _half(sigma, spline.side), numbers)[0])
        return TemplateSpline(sums[0] if last == 0 else np.sum(sums, axis=0))

    def terms(self, spline: TemplateSpline) -> KernelTerms:
        """Return the templates beside those convolved with each term of the kernel but delta."""
        parts: list[Float32Array] = []
        for k, sigma in enumerate(self.sigma_px):
            wanted = _TERMS if k == len(self.sigma_px) - 1 else _TERMS[:1]
            parts += [*stencilled(spline.coefficients, _half(sigma, spline.side), wanted)]
        return KernelTerms(spline, tuple(TemplateSpline(part) for part in parts))


def _half(sigma_px: float, side: int) -> FloatArray:
    """Return a Gaussian at distances 0, 1, ... as far as it reaches in planes of a side."""
    half: FloatArray = gaussian_kernel(np.array([sigma_px]), reach_of(sigma_px, side) + 1)[0]
    return half


@dataclass(frozen=True, slots=True, eq=False)
class KernelTerms:
    """Templates of which those convolved with any kernel of the same widths are sums.

    Parameters
    ----------
    plain : TemplateSpline
        As they are.
    parts : tuple of TemplateSpline
        Convolved with each term of the kernel but delta, in order of its coefficients.
    """

    plain: TemplateSpline
    parts: tuple[TemplateSpline, ...]

    def matched(self, kernel: MatchingKernel) -> TemplateSpline:
        """Return the templates convolved with a kernel."""
        convolved = self.plain.coefficients.copy()
        for number, part in zip(kernel.coefficients, self.parts, strict=True):
            convolved += np.float32(number) * part.coefficients
        return TemplateSpline(convolved)


@dataclass(frozen=True, slots=True, eq=False)
class MatchedSource:
    """Calibrators as they are placed now: what the kernel is improved from.

    Parameters
    ----------
    pixels, weight : float32 arrays, shape (n, side, side)
    terms : KernelTerms
    shift : Points, shape (n,)
        About their displacements: a step finds them with the kernel.
    """

    pixels: Float32Array
    weight: Float32Array
    terms: KernelTerms
    shift: Points


@dataclass(frozen=True, slots=True)
class PsfMatching:
    """How kernels are found.

    Parameters
    ----------
    widths : tuple of float
        Of the Gaussians, in units of the sigma of a typical source. One is enough: with a second,
        narrower one a pair of FWHM 4.2 and 5.7 px is placed at 1.33 times its bound at S/N 30,
        with one at 1.10 (unmatched: 1.27).
    most_sources, fewest_sources : int
        Calibrators: the brightest; with fewer than the second number nothing is matched, or not
        wholly where a source near `least_snr` makes up the number.
    least_snr : float
        Of a source in the exposure. Fainter ones say more of the template's noise than of its
        profile.
    most_snr : float
        Brighter sources count no more than one of this: theirs are small errors of the model.
    passes : int
        Times the kernel is improved.
    """

    widths: tuple[float, ...] = (1.0,)
    most_sources: int = 96
    fewest_sources: int = 5
    least_snr: float = 50.0
    most_snr: float = 300.0
    passes: int = 2

    def calibrators(self, snr: FloatArray) -> IntArray:
        """Return the indices of the brightest sources, ascending."""
        return brightest(snr, self.most_sources)

    def start(self, fwhm_px: FloatArray) -> MatchingKernel:
        """Return the kernel that does nothing, with Gaussians for sources of such widths."""
        sigma = float(np.median(fwhm_px)) / np.sqrt(8 * np.log(2))
        none = (0.0,) * len(self.widths)
        return MatchingKernel(tuple(float(w * sigma) for w in self.widths), none)

    def improved(self, kernel: MatchingKernel, sources: Sequence[MatchedSource]) -> Improved:
        """Return the kernel after one Gauss-Newton step, or the identity for want of sources."""
        if kernel.is_identity:
            return Improved(kernel, sources)
        size = len(kernel.coefficients)
        normal, data, n, slopes = np.zeros((size, size)), np.zeros(size), 0.0, np.zeros(2)
        moved = []
        for some in sources:
            if not len(some.pixels):
                continue
            step = _step(kernel, some, (self.least_snr, self.most_snr))
            normal += step.normal
            data += step.data
            slopes += step.slopes
            n += step.n_sources
            moved.append(replace(some, shift=step.shift))
        return Improved(self._solved(kernel, (normal, data), n, slopes), moved)

    def _solved(
        self,
        kernel: MatchingKernel,
        equations: tuple[FloatArray, FloatArray],
        n: float,
        slopes: FloatArray,
    ) -> MatchingKernel:
        """Return the kernel that solves equations of n sources."""
        normal, data = equations
        # A source more than too few sets in by degrees: it may be gone in the next pass.
        enough = min(1.0, n - self.fewest_sources + 1)
        if enough <= 0:
            return MatchingKernel()
        # A prior of width 1 (of the widest Gaussian's area, for the stretch): keeps what nothing
        # speaks of at 0.
        variance = kernel.sigma_px[-1] ** 2
        prior = np.array([1.0] * len(kernel.sigma_px) + [variance**-2] * 2)
        old = kernel.coefficients
        new = old + np.linalg.solve(normal + np.diag(prior), data - prior * old)
        new = enough * new
        return MatchingKernel(
            kernel.sigma_px,
            tuple(new[:-2].tolist()),
            float(new[-2]),
            float(new[-1]),
            float(slopes[0] / slopes[1]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Improved:
    """A kernel, and its calibrators where it has them."""

    kernel: MatchingKernel
    sources: Sequence[MatchedSource]


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    shift: Points
    normal: FloatArray
    data: FloatArray
    slopes: FloatArray
    n_sources: float


def _step(kernel: MatchingKernel, some: MatchedSource, snr: tuple[float, float]) -> _Step:
    """Return the normal equations for the kernel's coefficients, all else eliminated.

    Per source ``E = a (T + sum c_k D_k)(p + d) + b``; linear in dx, dy, a, b and, with the a of
    the moment, in the change of c. A source that is not where it was taken to be has no say.
    """
    plain, matched, parts = some.terms.plain, some.terms.matched(kernel), some.terms.parts
    side = some.pixels.shape[-1]
    farthest = plain.largest_shift(side)
    sums = kernel_sums(
        plain.checked(some.shift, side),
        (matched.rows, plain.rows),
        tuple(part.rows for part in parts),
        Boxes.of(some.pixels, some.weight),
    )
    k = len(parts)
    inner, to_data = sums[:, :4, :4].copy(), sums[:, :4, 4 : 5 + k]
    data, across = sums[:, 4:, 4:5], sums[:, 4:, 5 : 5 + k]
    own, unlike = (
        sums[:, 0, along_x] + sums[:, 1, along_y] for along_x, along_y in ((0, 1), (5 + k, 6 + k))
    )
    sound = np.linalg.det(inner) > 0
    inner[~sound] = np.eye(4)
    solved = np.linalg.solve(inner, to_data)
    flux = np.where(sound, np.maximum(solved[:, 2, 0], 0), 0)
    away = np.divide(
        solved[:, :2, 0],
        flux[:, None],
        out=np.full((len(flux), 2), np.inf),
        where=flux[:, None] > 0,
    )
    near = np.hypot(*away.T) <= _LONGEST_STEP_PX
    flux, away = np.where(near, flux, 0), np.where(near[:, None], away, 0)
    snr2 = flux**2 * inner[:, 2, 2]
    least, most = snr
    counts = np.clip((np.sqrt(snr2) / least - 1) / _RISE_OF_SNR, 0, 1)
    share = counts / (1 + snr2 / most**2)
    to_shared = np.swapaxes(to_data[:, :, 1:], 1, 2)
    schur = across - to_shared @ solved[:, :, 1:]
    right = (data - to_shared @ solved[:, :, :1])[:, :, 0]
    light = share * flux**2
    return _Step(
        shift=_within(Points(some.shift.x + away[:, 0], some.shift.y + away[:, 1]), farthest),
        normal=np.einsum("n,nij->ij", light, schur),
        data=np.einsum("n,ni->i", share * flux, right),
        slopes=np.array([light @ own, light @ unlike]),
        n_sources=float(counts.sum()),
    )


def _within(shift: Points, farthest: float) -> Points:
    return Points(np.clip(shift.x, -farthest, farthest), np.clip(shift.y, -farthest, farthest))
