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
from alignsvc.numerics.displacement.effective_psf import (
    KNOTS,
    KNOTS_PER_PX,
    EffectivePsf,
    gaussian_terms,
    knot_weights,
    pixel_gaussians,
)
from alignsvc.numerics.displacement.star_fit import FittedStars, StarFit, StarStack

#: Unknown coefficients of the correction: one of each pair of opposite knots, and the middle.
_FREE = (KNOTS**2 + 1) // 2
#: Unknowns of a star that are eliminated: its place and its background.
_OWN = 3


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
    passes : int
        Times that the Gaussians, and then the correction, are improved.
    strengths : tuple of float
        Correction to be expected, as parts of the PSF nearby; the likeliest is taken.
    floor : float
        Correction to be expected everywhere besides, as a part of the peak times the strength.
    least_scatter_px : float
        Known places are never trusted more than this.
    clip : float
        A star farther from its known place than this many times the scatter takes no part.
    fit : StarFit
    """

    widths: tuple[float, ...] = (0.5, 0.8, 1.2, 1.9, 3.0)
    fewest_stars: int = 5
    fewest_for_map: int = 12
    passes: int = 3
    strengths: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)
    floor: float = 0.03
    least_scatter_px: float = 0.002
    clip: float = 4.0
    fit: StarFit = field(default_factory=StarFit)

    def __call__(self, stars: Sequence[KnownStars], sigma_px: float) -> EffectivePsf | None:
        """Return the PSF; None for want of stars.

        Parameters
        ----------
        stars : sequence of KnownStars
            Of one chip; sizes of windows may differ.
        sigma_px : float
            Of the stars, about.
        """
        sigmas = np.array(self.widths) * sigma_px
        terms = np.zeros((3, len(sigmas)))
        terms[0, np.argmin(np.abs(np.array(self.widths) - 1))] = 1
        psf: EffectivePsf | None = EffectivePsf(sigmas, terms, np.zeros((KNOTS, KNOTS)))
        for improve in (self._with_terms,) * self.passes + (self._with_correction,) * 2:
            sample = None if psf is None else self._sample(psf, stars)
            if psf is None or sample is None:
                return None
            psf = improve(psf, sample)
        return psf

    def _sample(self, psf: EffectivePsf, stars: Sequence[KnownStars]) -> _Sample | None:
        """Return the stars that count, fitted with the PSF as it is."""
        fitted = [self.fit(psf, one.stack, one.begin) for one in stars]
        off_x = np.concatenate([f.place.x - s.known.x for f, s in zip(fitted, stars, strict=True)])
        off_y = np.concatenate([f.place.y - s.known.y for f, s in zip(fitted, stars, strict=True)])
        where = Points(
            np.concatenate([one.on_chip.x for one in stars]),
            np.concatenate([one.on_chip.y for one in stars]),
        )
        found = np.concatenate([f.found for f in fitted])
        error = np.concatenate([f.covariance for f in fitted])
        variance = 0.5 * (error[:, 0, 0] + error[:, 1, 1])
        kept, scatter, moved = found, self.least_scatter_px, np.zeros((len(found), 2))
        for _ in range(3):
            if kept.sum() < self.fewest_stars:
                return None
            weight = kept / (np.nan_to_num(variance) + scatter**2 + 1e-9)
            moved = _smooth(where, (off_x, off_y), weight, is_linear=kept.sum() >= self.fewest_for_map)
            left = np.hypot(off_x - moved[:, 0], off_y - moved[:, 1])
            middle = np.median(left[kept]) / 1.1774
            scatter = float(max(self.least_scatter_px, middle))
            expected = np.sqrt(np.nan_to_num(variance) + scatter**2)
            kept = found & (np.nan_to_num(left, nan=np.inf) < self.clip * expected)
        if kept.sum() < self.fewest_stars:
            return None
        parts, first = [], 0
        for one, fit in zip(stars, fitted, strict=True):
            here = slice(first, first + len(one.stack))
            first += len(one.stack)
            rows = kept[here]
            expected_place = Points(
                one.known.x + moved[here, 0], one.known.y + moved[here, 1]
            )
            parts.append(_Part.of(one, fit, expected_place, rows))
        return _Sample(tuple(parts), scatter)

    def _with_terms(self, psf: EffectivePsf, sample: _Sample) -> EffectivePsf | None:
        """Return the PSF with Gaussians improved; None if the stars have no light."""
        n = len(psf.sigma_px)
        total = _Normal.none(3 * n)
        for part in sample.parts:
            columns = gaussian_terms(part.place, part.side, psf.sigma_px)
            columns = columns.reshape(-1, 3 * n) * np.repeat(part.flux, part.side**2)[:, None]
            total = total.plus(part.equations(psf, sparse.csr_matrix(columns), sample.scatter_px))
        # A ridge: neighbouring Gaussians are nearly alike.
        scale = np.concatenate([np.ones(n), psf.sigma_px**2, psf.sigma_px**2])
        unit = total.matrix * scale * scale[:, None]
        unit += 1e-5 * np.trace(unit[:n, :n]) / n * np.eye(3 * n)
        step = np.linalg.solve(unit, total.data * scale) * scale
        terms = psf.terms + step.reshape(3, n)
        if not terms[0].sum() > 0:
            return None
        return EffectivePsf(psf.sigma_px, terms / terms[0].sum(), psf.correction)

    def _with_correction(self, psf: EffectivePsf, sample: _Sample) -> EffectivePsf:
        """Return the PSF with a new correction."""
        total = _Normal.none(_FREE)
        for part in sample.parts:
            columns = _correction_columns(part)
            total = total.plus(part.equations(psf, columns, sample.scatter_px))
        old = psf.correction.ravel()[:_FREE]
        # Equations for the correction itself, not for its change.
        data = total.data + total.matrix @ old
        found, best = old, -np.inf
        for strength in self.strengths:
            deviation = strength * _envelope(psf, self.floor)
            inner = deviation * total.matrix * deviation[:, None] + np.eye(_FREE)
            lower = np.linalg.cholesky(inner)
            solved = np.linalg.solve(inner, deviation * data)
            evidence = 0.5 * (deviation * data) @ solved - np.log(np.diag(lower)).sum()
            if evidence > best:
                found, best = deviation * solved, evidence
        whole = np.concatenate([found, found[-2::-1]])
        return EffectivePsf(psf.sigma_px, psf.terms, whole.reshape(KNOTS, KNOTS))


@dataclass(frozen=True, slots=True, eq=False)
class _Normal:
    """Normal equations."""

    matrix: FloatArray
    data: FloatArray

    @classmethod
    def none(cls, n: int) -> _Normal:
        return cls(np.zeros((n, n)), np.zeros(n))

    def plus(self, other: _Normal) -> _Normal:
        return _Normal(self.matrix + other.matrix, self.data + other.data)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Stars with windows of one size that count; `expected` is their place beforehand."""

    stack: StarStack
    place: Points
    expected: Points
    flux: FloatArray
    background: FloatArray
    weight: FloatArray

    @classmethod
    def of(cls, stars: KnownStars, fit: FittedStars, expected: Points, rows: BoolArray) -> _Part:
        return cls(
            stars.stack.select(rows),
            Points(fit.place.x[rows], fit.place.y[rows]),
            Points(expected.x[rows], expected.y[rows]),
            fit.flux[rows],
            fit.background[rows],
            fit.weight[rows].astype(np.float64),
        )

    @property
    def side(self) -> int:
        return self.stack.side

    def equations(
        self, psf: EffectivePsf, columns: sparse.csr_matrix, scatter_px: float
    ) -> _Normal:
        """Return the equations for the change of coefficients, all of a star's own eliminated.

        Parameters
        ----------
        psf : EffectivePsf
        columns : sparse matrix, shape (n side^2, m)
            What each coefficient gives to each pixel.
        scatter_px : float
            How far a star may be from where it is expected.
        """
        n = len(self.flux)
        surface = psf.at(self.place, self.side)
        flux = self.flux[:, None, None]
        # The flux is held: a PSF far from the truth and a flux far from it, both free, run away.
        planes = (-flux * surface.along_x, -flux * surface.along_y, np.ones_like(surface.value))
        own = np.stack(np.broadcast_arrays(*planes), axis=1).reshape(n, _OWN, -1)
        left = self.stack.pixels - flux * surface.value - self.background[:, None, None]
        weight = self.weight.reshape(n, 1, -1)
        inner = (own * weight) @ np.swapaxes(own, 1, 2)
        inner[:, 0, 0] += scatter_px**-2
        inner[:, 1, 1] += scatter_px**-2
        right = ((own * weight) @ left.reshape(n, -1, 1))[:, :, 0]
        right[:, 0] += (self.expected.x - self.place.x) * scatter_px**-2
        right[:, 1] += (self.expected.y - self.place.y) * scatter_px**-2
        weighted = columns.multiply(self.weight.reshape(-1, 1)).tocsr()
        across = np.asarray(weighted.T @ _block_columns(own))
        solved = np.linalg.solve(inner, np.concatenate([np.tile(np.eye(_OWN), (n, 1, 1)), right[:, :, None]], axis=2))
        across = across.reshape(-1, n, _OWN)
        reduced = np.einsum("mni,nij->mnj", across, solved[:, :, :_OWN]).reshape(len(across), -1)
        matrix = (weighted.T @ columns).toarray() - reduced @ across.reshape(len(across), -1).T
        data = weighted.T @ left.ravel() - np.einsum("mni,ni->m", across, solved[:, :, _OWN])
        return _Normal(matrix, data)


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    parts: tuple[_Part, ...]
    scatter_px: float


def _block_columns(own: FloatArray) -> FloatArray:
    """Return stars' own columns (n, 3, pixels) one below the other, shape (n pixels, 3 n)."""
    n, each, size = own.shape
    row = np.broadcast_to(
        np.arange(n * size).reshape(n, 1, size), own.shape
    )
    column = np.broadcast_to((np.arange(n * each)).reshape(n, each, 1), own.shape)
    shape = (n * size, n * each)
    return sparse.csr_matrix((own.ravel(), (row.ravel(), column.ravel())), shape).toarray()


def _correction_columns(part: _Part) -> sparse.csr_matrix:
    """Return what each free coefficient of the correction gives to each pixel."""
    step = np.arange(part.side)
    x = knot_weights(step - part.place.x[:, None])
    y = knot_weights(step - part.place.y[:, None])
    four = np.arange(4)
    knot_x = (x.first[..., None] + four)[:, None, :, None, :]
    knot_y = (y.first[..., None] + four)[:, :, None, :, None]
    value = x.weight[:, None, :, None, :] * y.weight[:, :, None, :, None]
    value = value * part.flux[:, None, None, None, None]
    inside = (knot_x >= 0) & (knot_x < KNOTS) & (knot_y >= 0) & (knot_y < KNOTS)
    knot = knot_y * KNOTS + knot_x
    free = np.minimum(knot, KNOTS**2 - 1 - knot)
    n_pixels = len(part.flux) * part.side**2
    pixel = np.broadcast_to(
        np.arange(n_pixels).reshape(len(part.flux), part.side, part.side, 1, 1), value.shape
    )
    rows = (value[inside], (pixel[inside], free[inside]))
    return sparse.csr_matrix(rows, (n_pixels, _FREE))


def _envelope(psf: EffectivePsf, floor: float) -> FloatArray:
    """Return the largest size of the Gaussians' part within half a pixel of each free knot."""
    offset = (np.arange(KNOTS) - KNOTS // 2) / KNOTS_PER_PX
    along = pixel_gaussians(offset, psf.sigma_px)[0]
    size = np.abs((along * psf.terms[0]) @ along.T)
    size = ndimage.maximum_filter(size, KNOTS_PER_PX, mode="nearest")
    return (size + floor * size.max()).ravel()[:_FREE]


def _smooth(
    where: Points, offset: tuple[FloatArray, FloatArray], weight: FloatArray, *, is_linear: bool
) -> FloatArray:
    """Return the shift or the linear map that fits offsets best, at all places: (n, 2)."""
    columns = [np.ones_like(where.x)]
    if is_linear:
        columns += [(p - np.mean(p)) / 1000.0 for p in (where.x, where.y)]
    design = np.stack(columns, axis=1)
    both = np.nan_to_num(np.stack(offset, axis=1))
    matrix = (design * weight[:, None]).T @ design
    return design @ np.linalg.solve(matrix, (design * weight[:, None]).T @ both)
