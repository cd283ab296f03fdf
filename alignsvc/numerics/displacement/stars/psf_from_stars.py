"""The effective PSF of a chip from its own stars.

Where stars are as sharp as the pixels are wide, the place that is read from a star's own pixels
depends on the PSF that one believes in, and the PSF that one derives depends on the places: any
error that follows the phase of the pixel goes into both (Anderson & King 2000, PASP 112, 1360).
What tells them apart is a place from elsewhere: the mosaic of the other exposures, whose own
phases differ. So the PSF is fitted to all pixels of the chip's best stars at once, each star's
place, flux and background being unknown too, and its place known beforehand as well as the
places of the others are. The scatter of the stars about their places in the mosaic says how well
that is, and the probability of the data how much correction the Gaussians need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage, sparse

from alignsvc.domain.arrays import BoolArray, FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.stars.effective_psf import (
    KNOTS,
    KNOTS_PER_PX,
    EffectivePsf,
    gaussian_terms,
    pixel_gaussians,
)
from alignsvc.numerics.displacement.stars.psf_equations import (
    FREE_KNOTS,
    NormalEquations,
    StarsInWindows,
    correction_columns,
)
from alignsvc.numerics.displacement.stars.star_fit import FittedStars, StarFit, StarStack

#: Median length of two numbers with unit errors.
_MEDIAN_LENGTH = 1.1774


@dataclass(frozen=True, slots=True, eq=False)
class KnownStars:
    """Stars of one chip whose places are known from elsewhere.

    Parameters
    ----------
    stack : StarStack
    begin, known : Points, shape (n,)
        In the windows: where a fit begins, and where the others see the star by the present
        WCS of the chip.
    on_chip : Points, shape (n,)
        Where the star lies on the chip, pixels.
    """

    stack: StarStack
    begin: Points
    known: Points
    on_chip: Points

    def select(self, which: BoolArray) -> KnownStars:
        """Return the stars named by a mask."""
        return KnownStars(
            self.stack.select(which),
            *(Points(p.x[which], p.y[which]) for p in (self.begin, self.known, self.on_chip)),
        )


@dataclass(frozen=True, slots=True)
class PsfFromStars:
    """How an effective PSF is found.

    Parameters
    ----------
    widths : tuple of float
        Of the Gaussians, in units of the sigma of the stars.
    fewest_stars : int
        With fewer there is no PSF.
    fewest_for_map : int
        With fewer the known places may be off by a shift alone, not by a linear map.
    outsets : tuple of float
        Widths of the first Gaussian that are tried, in units of what the stars' is thought to be.
    passes : tuple of int
        Times that the Gaussians, and then the correction, are improved.
    ridge : float
        Neighbouring Gaussians are nearly alike: what the stars say less of than this part of what
        they say of the typical one changes little.
    strengths : tuple of float
        Correction to be expected, as parts of the PSF nearby; the likeliest is taken.
    floor : float
        Correction to be expected everywhere besides, as a part of the peak times the strength.
    least_scatter_px : float
        Known places are never trusted more than this.
    most_scatter_px, least_part : float
        With a larger scatter of stars about their known places, or if a smaller part of them
        counts, there is no PSF. Mosaics of three others, on a grid of half-size pixels, are steps
        a pixel wide: they know stars of FWHM 1.1 px to 0.04-0.06 px, which many stars even out.
    clip, clip_rounds
        A star farther from its known place than this many times what is expected takes no part;
        how often that is looked at.
    fit : StarFit
    """

    widths: tuple[float, ...] = (0.5, 0.8, 1.2, 1.9, 3.0)
    fewest_stars: int = 5
    fewest_for_map: int = 12
    outsets: tuple[float, ...] = (0.6, 0.75, 0.95, 1.2, 1.5, 1.9)
    passes: tuple[int, int] = (3, 2)
    ridge: float = 1e-3
    strengths: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)
    floor: float = 0.03
    least_scatter_px: float = 0.002
    most_scatter_px: float = 0.1
    least_part: float = 0.7
    clip: float = 4.0
    clip_rounds: int = 3
    fit: StarFit = field(default_factory=StarFit)

    def __call__(self, stars: Sequence[KnownStars], sigma_px: float) -> EffectivePsf | None:
        """Return the PSF; None for want of stars, or of agreement among them.

        Sources that are no stars have no common PSF, and are not where it puts them.

        Parameters
        ----------
        stars : sequence of KnownStars
            Of one chip; sizes of windows may differ.
        sigma_px : float
            Of the stars, about.
        """
        psf = self._outset(stars, sigma_px)
        return None if psf is None else self.improved(psf, stars)

    def improved(self, psf: EffectivePsf, stars: Sequence[KnownStars]) -> EffectivePsf | None:
        """Return the PSF that an `outset` becomes; None for want of stars, or of agreement."""
        return self._in_passes(psf, stars, self.passes[0])

    def corrected(self, psf: EffectivePsf, stars: Sequence[KnownStars]) -> EffectivePsf | None:
        """Return a PSF with its Gaussians as they are and another correction; None as before.

        For stars whose places are known better than when the PSF was found.
        """
        bare = EffectivePsf(psf.sigma_px, psf.terms, np.zeros((KNOTS, KNOTS)))
        return self._in_passes(bare, stars, 0)

    def outset(self, sigma_px: float) -> EffectivePsf:
        """Return the single Gaussian that a PSF begins with."""
        sigmas = np.array(self.widths) * sigma_px
        terms = np.zeros((3, len(sigmas)))
        terms[0, np.argmin(np.abs(np.array(self.widths) - 1))] = 1
        return EffectivePsf(sigmas, terms, np.zeros((KNOTS, KNOTS)))

    def _in_passes(
        self, psf: EffectivePsf | None, stars: Sequence[KnownStars], n_terms: int
    ) -> EffectivePsf | None:
        for number in range(n_terms + self.passes[1]):
            sample = None if psf is None else self._sample(psf, stars)
            if psf is None or sample is None:
                return None
            if number < n_terms:
                psf = self._with_terms(psf, sample)
            elif self._agree(sample):
                psf = self._with_correction(psf, sample)
            else:
                return None
        return psf

    def _agree(self, sample: _Sample) -> bool:
        """Return whether nearly all stars are about where the others see them."""
        is_most = sample.part_kept >= self.least_part
        return is_most and sample.scatter_px <= self.most_scatter_px

    def _outset(self, stars: Sequence[KnownStars], sigma_px: float) -> EffectivePsf | None:
        """Return the single Gaussian that fits the stars best, of the widths to be tried."""
        best, least = None, np.inf
        for factor in self.outsets:
            psf = self.outset(factor * sigma_px)
            misfit = np.concatenate([_misfit(psf, one, self.fit) for one in stars])
            total = float(np.median(misfit)) if len(misfit) else np.inf
            if total < least:
                best, least = psf, total
        return best

    def _sample(self, psf: EffectivePsf, stars: Sequence[KnownStars]) -> _Sample | None:
        """Return the stars that count, fitted with the PSF as it is; None for want of them."""
        fitted = [self.fit(psf, one.stack, one.begin) for one in stars]
        believed = self._believed(_Offsets.of(fitted, stars))
        if believed is None:
            return None
        ends = np.cumsum([len(one.stack) for one in stars])[:-1]
        parts = [
            _in_windows(one, fit, moved, rows)
            for one, fit, moved, rows in zip(
                stars,
                fitted,
                np.split(believed.moved, ends),
                np.split(believed.kept, ends),
                strict=True,
            )
        ]
        return _Sample(tuple(parts), believed.scatter_px, float(believed.kept.mean()))

    def _believed(self, offsets: _Offsets) -> _Believed | None:
        """Return what moves the known places to where the stars are, and which stars follow."""
        kept, scatter = offsets.found, self.least_scatter_px
        believed = None
        for _ in range(self.clip_rounds):
            n = int(kept.sum())
            if n < self.fewest_stars:
                return None
            weight = kept / (offsets.variance + scatter**2)
            moved = offsets.smooth(weight, is_linear=n >= self.fewest_for_map)
            left = np.hypot(*(offsets.offset - moved).T)
            scatter = max(self.least_scatter_px, float(np.median(left[kept])) / _MEDIAN_LENGTH)
            expected = np.sqrt(offsets.variance + scatter**2)
            kept = offsets.found & (left < self.clip * expected)
            believed = _Believed(moved, kept, scatter)
        return believed if kept.sum() >= self.fewest_stars else None

    def _with_terms(self, psf: EffectivePsf, sample: _Sample) -> EffectivePsf | None:
        """Return the PSF with Gaussians improved; None if the stars have no light."""
        n = len(psf.sigma_px)
        total = NormalEquations.none(3 * n)
        for part in sample.parts:
            columns = gaussian_terms(part.place, part.side, psf.sigma_px)
            columns = columns.reshape(-1, 3 * n) * np.repeat(part.flux, part.side**2)[:, None]
            total = total.plus(part.equations(psf, sparse.csr_matrix(columns), sample.scatter_px))
        scale = np.concatenate([np.ones(n), psf.sigma_px**2, psf.sigma_px**2])
        unit = total.matrix * scale * scale[:, None]
        unit += self.ridge * np.trace(unit[:n, :n]) / n * np.eye(3 * n)
        step = np.linalg.solve(unit, total.data * scale) * scale
        terms = psf.terms + step.reshape(3, n)
        if not terms[0].sum() > 0:
            return None
        return EffectivePsf(psf.sigma_px, terms / terms[0].sum(), psf.correction)

    def _with_correction(self, psf: EffectivePsf, sample: _Sample) -> EffectivePsf:
        """Return the PSF with a new correction."""
        total = NormalEquations.none(FREE_KNOTS)
        for part in sample.parts:
            columns = correction_columns(part)
            total = total.plus(part.equations(psf, columns, sample.scatter_px))
        old = psf.correction.ravel()[:FREE_KNOTS]
        # Equations for the correction itself, not for its change.
        data = total.data + total.matrix @ old
        found, best = old, -np.inf
        for strength in self.strengths:
            deviation = strength * _envelope(psf, self.floor)
            inner = deviation * total.matrix * deviation[:, None] + np.eye(FREE_KNOTS)
            lower = np.linalg.cholesky(inner)
            solved = np.linalg.solve(inner, deviation * data)
            evidence = 0.5 * (deviation * data) @ solved - np.log(np.diag(lower)).sum()
            if evidence > best:
                found, best = deviation * solved, evidence
        whole = np.concatenate([found, found[-2::-1]])
        return EffectivePsf(psf.sigma_px, psf.terms, whole.reshape(KNOTS, KNOTS))


@dataclass(frozen=True, slots=True, eq=False)
class _Offsets:
    """Where stars are, less where the others see them: (n, 2), 0 where not found."""

    offset: FloatArray
    variance: FloatArray
    found: BoolArray
    on_chip: Points

    @classmethod
    def of(cls, fitted: Sequence[FittedStars], stars: Sequence[KnownStars]) -> _Offsets:
        found = np.concatenate([fit.found for fit in fitted])
        offset = [
            np.stack([fit.place.x - one.known.x, fit.place.y - one.known.y], axis=1)
            for fit, one in zip(fitted, stars, strict=True)
        ]
        error = np.concatenate([fit.covariance for fit in fitted])
        variance = 0.5 * (error[:, 0, 0] + error[:, 1, 1])
        return cls(
            np.where(found[:, None], np.concatenate(offset), 0.0),
            np.where(found, variance, 1.0),
            found,
            Points(
                np.concatenate([one.on_chip.x for one in stars]),
                np.concatenate([one.on_chip.y for one in stars]),
            ),
        )

    def smooth(self, weight: FloatArray, *, is_linear: bool) -> FloatArray:
        """Return the shift or the linear map that fits the offsets best, at each star: (n, 2)."""
        columns = [np.ones_like(self.on_chip.x)]
        if is_linear:
            columns += [(p - np.mean(p)) / 1000.0 for p in (self.on_chip.x, self.on_chip.y)]
        design = np.stack(columns, axis=1)
        weighted = (design * weight[:, None]).T
        # Stars in a row leave a direction free: it stays as it is.
        solved = np.linalg.lstsq(weighted @ design, weighted @ self.offset, rcond=1e-10)[0]
        moved: FloatArray = design @ solved
        return moved


@dataclass(frozen=True, slots=True, eq=False)
class _Believed:
    """What moves the known places, (n, 2), the stars that count, and their scatter, px."""

    moved: FloatArray
    kept: BoolArray
    scatter_px: float


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """Stars that count, their scatter about where they are expected, and their part of all."""

    parts: tuple[StarsInWindows, ...]
    scatter_px: float
    part_kept: float


def _in_windows(
    stars: KnownStars, fit: FittedStars, moved: FloatArray, rows: BoolArray
) -> StarsInWindows:
    """Return the stars that count, expected where they are known to be and have moved to."""
    return StarsInWindows(
        stars.stack.select(rows),
        Points(fit.place.x[rows], fit.place.y[rows]),
        Points(stars.known.x[rows] + moved[rows, 0], stars.known.y[rows] + moved[rows, 1]),
        fit.flux[rows],
        fit.background[rows],
        fit.weight[rows].astype(np.float64),
    )


def _misfit(psf: EffectivePsf, stars: KnownStars, fit: StarFit) -> FloatArray:
    """Return the part of each star's light that a PSF leaves, in quadrature; inf if not found."""
    fitted = fit(psf, stars.stack, stars.begin)
    place = Points(
        np.where(fitted.found, fitted.place.x, stars.begin.x),
        np.where(fitted.found, fitted.place.y, stars.begin.y),
    )
    light = stars.stack.pixels - fitted.background[:, None, None]
    left = light - fitted.flux[:, None, None] * psf.at(place, stars.stack.side).value
    weight = stars.stack.weight * stars.stack.window
    part = np.sum(weight * left**2, axis=(1, 2)) / np.sum(weight * light**2, axis=(1, 2))
    misfit: FloatArray = np.where(fitted.found, part, np.inf)
    return misfit


def _envelope(psf: EffectivePsf, floor: float) -> FloatArray:
    """Return the largest size of the Gaussians' part within half a pixel of each free knot."""
    offset = (np.arange(KNOTS) - KNOTS // 2) / KNOTS_PER_PX
    along = pixel_gaussians(offset, psf.sigma_px)[0]
    size = np.abs((along * psf.terms[0]) @ along.T)
    size = ndimage.maximum_filter(size, KNOTS_PER_PX, mode="nearest")
    envelope: FloatArray = (size + floor * size.max()).ravel()[:FREE_KNOTS]
    return envelope
