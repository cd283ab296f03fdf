"""What of a chip's stars is not point-symmetric, and where such a star is.

A lopsided star has no one centre: a narrow window finds another one than a wide window, by
hundredths of a pixel. Exposures of different seeing then read different places from the same
optics, all stars of an exposure alike, which no number of stars averages out. So its place is a
convention, the same for all exposures: *where it is brightest when smoothed to a width that is
common to them*. Light that passed the same optics and was blurred symmetrically, by more or less,
has then the same place, exactly: smoothing to a common width undoes what differs. What is lopsided
in one exposure only still moves that one, and no pixel tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray, hold_float64
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.splines.spline import Surface
from alignsvc.numerics.displacement.stars.effective_psf import pixel_gaussians
from alignsvc.numerics.displacement.stars.psf_from_stars import KnownStars
from alignsvc.numerics.displacement.stars.star_fit import Psf, StarFit, StarStack
from alignsvc.numerics.models.on_chip.chip_field import ChipField
from alignsvc.numerics.models.on_chip.odd_errors import OddErrors
from alignsvc.numerics.models.on_chip.smoothed_star import SmoothedStar, reach_px
from alignsvc.numerics.models.on_chip.unexplained import growth

#: Combinations of Gaussians of which so little is left beside the others are none.
_DEPENDENT = 1e-4
#: Degrees of freedom of the law by which stars scatter, and how often weights follow from it.
_STUDENT, _STUDENT_ROUNDS = 4.0, 8
#: FWHM of a Gaussian, in sigma.
_FWHM_PER_SIGMA = float(np.sqrt(8 * np.log(2)))
#: Of a star: place, flux, background.
_OWN = 4


class SymmetricStars(Protocol):
    """Stars of a chip that are point-symmetric, as far as they are known."""

    def seen_at(self, on_chip: Points) -> Psf:
        """Return what stars at places on the chip look like."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class OddPart:
    """What is to be added to point-symmetric stars of unit flux.

    Slopes of Gaussians of several widths, integrated over the pixel: light that is taken from one
    side of the star and given to the other.

    Parameters
    ----------
    sigma_px : float64 array, shape (k,)
    light : float64 array, shape (m, 2, k)
        Along x and y: the part of the flux, about. m is 1, or 3 where it varies over the chip: in
        the middle, and the change towards x and y per half size of the field.
    centre : float64 array, shape (m, 2)
        The star's place less its centre of symmetry (x, y), px; varies in the same way.
    field : ChipField
    errors : OddErrors or None
        How well it is known; None: exactly.
    """

    sigma_px: FloatArray
    light: FloatArray
    centre: FloatArray
    field: ChipField
    errors: OddErrors | None = None

    def __post_init__(self) -> None:
        hold_float64(self, "sigma_px", "light", "centre")

    def centre_of(self, on_chip: Points) -> FloatArray:
        """Return where stars are beside their centres of symmetry, (n, 2)."""
        found: FloatArray = self.field.terms(on_chip)[:, : len(self.centre)] @ self.centre
        return found

    def planes(self, middle: Points, on_chip: Points, side: int) -> FloatArray:
        """Return slopes along x and y of the pixel, and values: shape (n, 3, side, side).

        Parameters
        ----------
        middle : Points, shape (n,)
            Centres of symmetry, in the windows.
        on_chip : Points, shape (n,)
        side : int
        """
        terms = self.field.terms(on_chip)[:, : len(self.light)]
        a, b = np.tensordot(terms, self.light * self.sigma_px, 1).swapaxes(0, 1)[:, :, None, :]
        step = np.arange(side)
        x = pixel_gaussians(step - middle.x[:, None], self.sigma_px)
        y = pixel_gaussians(step - middle.y[:, None], self.sigma_px)
        return np.stack(
            [
                (y[j] * a) @ x[i + 1].swapaxes(1, 2) + (y[j + 1] * b) @ x[i].swapaxes(1, 2)
                for i, j in ((1, 0), (0, 1), (0, 0))
            ],
            axis=1,
        )


@dataclass(frozen=True, slots=True, eq=False)
class LopsidedStars:
    """Stars at n places of a chip, lopsided; a `Psf`.

    Parameters
    ----------
    symmetric : Psf
        Of the n.
    odd : OddPart
    on_chip : Points, shape (n,)
    """

    symmetric: Psf
    odd: OddPart
    on_chip: Points

    def at(self, centre: Points, side: int) -> Surface:
        """Return stars of unit flux; of n m places the first m are those of the first star."""
        times = len(centre.x) // max(len(self.on_chip.x), 1)
        on_chip = Points(*(np.repeat(axis, times) for axis in self.on_chip))
        off = self.odd.centre_of(on_chip)
        middle = Points(centre.x - off[:, 0], centre.y - off[:, 1])
        planes: Float32Array = self.symmetric.at(middle, side).planes.copy()
        planes[:, :3] += self.odd.planes(middle, on_chip, side)
        return Surface(planes)

    def select(self, which: BoolArray | IntArray) -> LopsidedStars:
        """Return some of the n."""
        on_chip = Points(self.on_chip.x[which], self.on_chip.y[which])
        return LopsidedStars(self.symmetric.select(which), self.odd, on_chip)


@dataclass(frozen=True, slots=True)
class OddPartFromStars:
    """How the odd part of a chip's stars is found: by linear least squares, as the evidence wants.

    Parameters
    ----------
    widths : tuple of float
        Of the Gaussians, in widths of the star.
    strengths : tuple of float
        Light to be expected on the wrong side, beside that of the star, in quadrature; the
        likeliest is taken (MacKay 1992).
    least_evidence : float
        Natural logarithm of the odds without which stars are symmetric, and without which they
        are alike all over the chip.
    fewest_stars, fewest_for_slopes : int
        With fewer they are symmetric, and alike all over the chip.
    scatter : float
        In the same way, what a star's surroundings may leave on one side of it: no star, however
        bright, speaks for all.
    reach_fwhm : float
        Pixels farther away tell nothing.
    wider : float
        Places are as sure as they stay the same if stars are smoothed to so many times the width:
        by itself a star becomes sqrt(2) times as wide as it was, once more by itself sqrt(3) times.
    fit : StarFit
    """

    widths: tuple[float, ...] = (0.7, 1.0, 1.5, 2.3)
    strengths: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1)
    least_evidence: float = 3.0
    fewest_stars: int = 3
    fewest_for_slopes: int = 9
    scatter: float = 0.005
    reach_fwhm: float = 3.0
    wider: float = float(np.sqrt(3 / 2))
    fit: StarFit = field(default_factory=StarFit)

    def __call__(
        self,
        profile: SymmetricStars,
        stars: Sequence[KnownStars],
        chip_field: ChipField,
        smoothed_px: float,
    ) -> OddPart | None:
        """Return the odd part; None where nothing tells of one.

        Parameters
        ----------
        profile : SymmetricStars
        stars : sequence of KnownStars
        chip_field : ChipField
        smoothed_px : float
            Width (sigma) of stars that are smoothed as far as places are read: the same for all
            exposures on the sky.
        """
        middle = profile.seen_at(chip_field.middle)
        width = star_width(middle)
        sigma = width * np.array(self.widths)
        basis = _basis(middle, sigma)
        told = [
            one.seen_through(basis).scattered(self.scatter)
            for part in stars
            for one in self._told(profile, part, chip_field, sigma)
        ]
        if len(told) < self.fewest_stars:
            return None
        counts = (1, 3) if len(told) >= self.fewest_for_slopes else (1,)
        trust = self._trust([one.first(counts[-1]) for one in told])
        best, evidence = None, 0.0
        for m in counts:
            found = self._likeliest([one.first(m) for one in told], trust)
            if found.evidence > evidence + self.least_evidence:
                best, evidence = found, found.evidence
        if best is None:
            return None
        # A row of coefficients each: the light, then what may be wrong with it.
        rows = np.concatenate([best.light[None], np.linalg.cholesky(best.covariance).T])
        shape = (len(rows), -1, 2, basis.shape[1])
        light = rows.reshape(shape) @ basis.T
        flat = light.reshape(*light.shape[:2], -1)
        narrow, wide = (
            flat @ _moved_by(SmoothedStar.of(middle, width, to_px), sigma)
            for to_px in (smoothed_px, self.wider * smoothed_px)
        )
        errors = OddErrors(light[1:], narrow[1:], wide[0] - narrow[0])
        return OddPart(sigma, light[0], narrow[0], chip_field, errors)

    def _told(
        self, profile: SymmetricStars, stars: KnownStars, chip_field: ChipField, sigma: FloatArray
    ) -> Iterator[_Told]:
        """Yield what each star tells, less what its own place, flux and sky may be."""
        psf = profile.seen_at(stars.on_chip)
        fitted = self.fit(psf, stars.stack, stars.begin)
        rows = np.flatnonzero(fitted.found & (fitted.flux > 0))
        if not rows.size:
            return
        stack, psf = stars.stack.select(rows), psf.select(rows)
        place = Points(fitted.place.x[rows], fitted.place.y[rows])
        flux = fitted.flux[rows, None, None]
        light = flux * psf.at(place, stack.side).value
        left = stack.pixels - light - fitted.background[rows, None, None]
        near = _distance(place, stack) <= self.reach_fwhm * _FWHM_PER_SIGMA * star_width(
            profile.seen_at(chip_field.middle)
        )
        weight = np.where(near, fitted.weight[rows], 0.0).astype(np.float64)
        counted = (weight > 0).astype(np.float32)
        grown = growth(left.astype(np.float32), weight.astype(np.float32), counted, _OWN)
        weight = weight / np.asarray(grown)[:, None, None]
        odd = flux[:, None] * slopes_of_gaussians(place, stack.side, sigma)
        own = _own_columns(psf, place, stack.side, flux)
        terms = chip_field.terms(Points(stars.on_chip.x[rows], stars.on_chip.y[rows]))
        for k in range(len(rows)):
            ours, its, beside, counts = (
                part[k].reshape(-1, stack.side**2) for part in (odd, own, left, weight)
            )
            yield _Told.of(ours, its, beside, counts, terms[k])

    def _trust(self, told: Sequence[_Told]) -> FloatArray:
        """Return the weights of stars, by Student's law about what all of them say.

        A neighbour that nobody knows leaves on one star what no other star shows.
        """
        trust, count = np.ones(len(told)), len(told[0].data)
        light = np.zeros((len(told[0].terms), count))
        for _ in range(_STUDENT_ROUNDS):
            squares = [one.square_beside(one.terms @ light) for one in told]
            trust = (_STUDENT + count) / (_STUDENT + np.array(squares))
            light = self._likeliest(told, trust).light.reshape(light.shape)
        return np.asarray(trust)

    def _likeliest(self, told: Sequence[_Told], trust: FloatArray) -> _Likeliest:
        """Return the light, and the evidence for it against none."""
        matrix, data = (
            np.sum([weight * part for weight, part in zip(trust, parts, strict=True)], axis=0)
            for parts in (
                [np.kron(np.outer(one.terms, one.terms), one.matrix) for one in told],
                [np.kron(one.terms, one.data) for one in told],
            )
        )
        best = _Likeliest(np.zeros(len(data)), -np.inf, np.zeros_like(matrix))
        for strength in self.strengths:
            inner = strength**2 * matrix + np.eye(len(data))
            light = strength**2 * np.linalg.solve(inner, data)
            evidence = 0.5 * float(data @ light - np.linalg.slogdet(inner)[1])
            if evidence > best.evidence:
                best = _Likeliest(light, evidence, strength**2 * np.linalg.inv(inner))
        return best


@dataclass(frozen=True, slots=True, eq=False)
class _Likeliest:
    light: FloatArray
    evidence: float
    covariance: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """Normal equations of a star for the odd part where it lies, and its terms of the field."""

    matrix: FloatArray
    data: FloatArray
    terms: FloatArray

    @classmethod
    def of(
        cls,
        odd: FloatArray,
        own: FloatArray,
        left: FloatArray,
        weight: FloatArray,
        terms: FloatArray,
    ) -> _Told:
        """Return those of one star: columns (k, pixels), and pixels (1, pixels)."""
        inner = (own * weight) @ own.T
        across = (odd * weight) @ own.T
        solved = across @ np.linalg.pinv(inner, hermitian=True)
        matrix = (odd * weight) @ odd.T - solved @ across.T
        data = ((odd * weight) @ left.T - solved @ ((own * weight) @ left.T))[:, 0]
        return cls(matrix, data, terms)

    def seen_through(self, basis: FloatArray) -> _Told:
        """Return the equations for coefficients of combinations (k, q) of the columns."""
        both = np.kron(np.eye(2), basis)
        return replace(self, matrix=both.T @ self.matrix @ both, data=both.T @ self.data)

    def scattered(self, scatter: float) -> _Told:
        """Return what is left of it where each coefficient scatters from star to star."""
        known = np.linalg.inv(np.eye(len(self.data)) + scatter**2 * self.matrix)
        return replace(self, matrix=self.matrix @ known, data=known.T @ self.data)

    def square_beside(self, light: FloatArray) -> float:
        """Return how far from a common answer the star's own is, in its errors, squared."""
        own = self.data - self.matrix @ light
        return float(own @ np.linalg.pinv(self.matrix, hermitian=True) @ own)

    def first(self, m: int) -> _Told:
        """Return the same with the first m terms of the field."""
        return replace(self, terms=self.terms[:m])


def star_width(psf: Psf) -> float:
    """Return the sigma of the Gaussian with as steep slopes as a star, px."""
    half = 24
    middle = np.array([float(half)])
    surface = psf.at(Points(middle, middle), 2 * half + 1)
    steepness = np.sum(surface.along_x**2 + surface.along_y**2, dtype=np.float64)
    return float(np.sqrt(np.sum(surface.value**2, dtype=np.float64) / steepness))


def _basis(symmetric: Psf, sigma_px: FloatArray) -> FloatArray:
    """Return combinations of the Gaussians' slopes that move no star, each as bright as it: (k, q).

    Orthogonal to the star's own slope and to each other: what is along the slope is the star at
    another place, and no pixel tells them apart.
    """
    half = reach_px(float(sigma_px.max()))
    middle = Points(np.array([float(half)]), np.array([float(half)]))
    surface = symmetric.at(middle, 2 * half + 1)
    k = len(sigma_px)
    columns = slopes_of_gaussians(middle, 2 * half + 1, sigma_px)[0, :k].reshape(k, -1)
    slope = surface.along_x[0].astype(np.float64).ravel()
    still = np.linalg.svd((columns @ slope)[None])[2][1:].T
    values, vectors = np.linalg.eigh(still.T @ (columns @ columns.T) @ still)
    kept = values > _DEPENDENT * values[-1]
    norm = np.sqrt(np.sum(surface.value**2, dtype=np.float64))
    basis: FloatArray = norm * (still @ vectors[:, kept]) / np.sqrt(values[kept])
    return basis


def _moved_by(star: SmoothedStar, sigma_px: FloatArray) -> FloatArray:
    """Return how far unit light along x, then y, of each width moves a star: (2 k, 2)."""
    return star.moved_by(slopes_of_gaussians(star.middle, star.side, sigma_px)[0])


def slopes_of_gaussians(place: Points, side: int, sigma_px: FloatArray) -> FloatArray:
    """Return what unit light along x, then y, of each width gives: (n, 2 k, side, side)."""
    step = np.arange(side)
    x = pixel_gaussians(step - place.x[:, None], sigma_px) * sigma_px
    y = pixel_gaussians(step - place.y[:, None], sigma_px)
    along_x = np.einsum("nyk,nxk->nkyx", y[0], x[1])
    along_y = np.einsum("nyk,nxk->nkyx", y[1], x[0])
    return np.concatenate([along_x, along_y], axis=1)


def _own_columns(psf: Psf, place: Points, side: int, flux: FloatArray) -> FloatArray:
    surface = psf.at(place, side)
    planes = (surface.along_x, surface.along_y, surface.value)
    own = np.stack([*planes, np.ones_like(surface.value)], axis=1).astype(np.float64)
    own[:, :3] *= flux[:, None]
    return own


def _distance(place: Points, stack: StarStack) -> FloatArray:
    step = np.arange(stack.side)
    found: FloatArray = np.hypot(
        (step - place.x[:, None])[:, None, :], (step - place.y[:, None])[:, :, None]
    )
    return found
