"""What each source of a chip looks like, as the mosaic has told: star, galaxy, and companions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.domain.source_kinds import SHAPE_NUMBERS, SourceKinds
from alignsvc.numerics.displacement.splines.spline import Surface
from alignsvc.numerics.displacement.stars.star_fit import Psf
from alignsvc.numerics.displacement.windows.chip_view import Targets
from alignsvc.numerics.models.galaxies.sersic import Sersic
from alignsvc.numerics.models.light.ellipticity import mapped_shapes
from alignsvc.numerics.models.light.mixtures import GaussianMixture, mixture_of
from alignsvc.numerics.models.light.profile import Places
from alignsvc.numerics.models.on_chip.chip_profile import ChipProfile, surface
from alignsvc.numerics.models.profiles.convolved import Convolved
from alignsvc.numerics.sky.pixel_map import PixelMap

#: Gaussians of a PSF and of a galaxy behind it.
_PSF_COMPONENTS, _COMPONENTS = 3, 8
#: A Gaussian of a PSF keeps at least this part of its variance.
_LEAST_KEPT = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class SourceProfiles:
    """What each of n sources looks like on a chip.

    Parameters
    ----------
    star : Psf
        Of the n.
    galaxy : Convolved or None
        A Sersic profile behind the chip's PSF; None where there are no galaxies.
    is_galaxy : bool array, shape (n,)
    shape : float64 array, shape (n, 4)
        Of galaxies, in pixels of the chip; any numbers for stars.
    """

    star: Psf
    galaxy: Convolved | None
    is_galaxy: BoolArray
    shape: FloatArray

    @classmethod
    def stars(cls, star: Psf, n: int) -> SourceProfiles:
        """Return n stars without companions."""
        nan = np.full((n, SHAPE_NUMBERS), np.nan)
        return cls(star, None, np.zeros(n, bool), nan)

    def at(self, centre: Points, side: int) -> Surface:
        """Return all n sources of unit flux at places in windows; see `ChipProfile.at`."""
        planes = np.empty((len(centre.x), 4, side, side), np.float32)
        for which, is_star in ((~self.is_galaxy, True), (self.is_galaxy, False)):
            if which.any():
                some = Points(centre.x[which], centre.y[which])
                planes[which] = (
                    self.star.select(which).at(some, side)
                    if is_star
                    else self._galaxies(some, side)
                ).planes
        return Surface(planes)

    def select(self, which: BoolArray | IntArray) -> SourceProfiles:
        """Return those of sources named by a mask or by indices."""
        star = self.star.select(which)
        return replace(self, star=star, is_galaxy=self.is_galaxy[which], shape=self.shape[which])

    def widths(self, fwhm_px: float) -> FloatArray:
        """Return how wide sources are where stars have a FWHM, pixels."""
        diameter = np.where(self.is_galaxy, 2 * np.exp(self.shape[:, 0]), 0.0)
        return np.asarray(np.hypot(fwhm_px, diameter))

    def _galaxies(self, centre: Points, side: int) -> Surface:
        assert self.galaxy is not None
        places = Places(centre.x, centre.y, side)
        return surface(self.galaxy(places, self.shape[self.is_galaxy]))


@dataclass(frozen=True, slots=True, eq=False)
class Companions:
    """Stars beside sources that the catalogue lacks, in pixels.

    Parameters
    ----------
    source : int64 array, shape (m,)
        Ids of the sources that they stand beside, ascending.
    x, y : float64 arrays, shape (m,)
        From the source, pixels.
    flux : float64 array, shape (m,)
        Over the source's.
    significance : float64 array, shape (m,)
        Standard deviations.
    """

    source: IntArray
    x: FloatArray
    y: FloatArray
    flux: FloatArray
    significance: FloatArray

    @classmethod
    def none(cls) -> Companions:
        """Return no companions."""
        return cls(np.zeros(0, np.int64), *(np.zeros(0) for _ in range(4)))

    @classmethod
    def joined(cls, parts: Sequence[Companions]) -> Companions:
        """Return the companions of all parts, in order of their sources' ids."""
        parts = [cls.none(), *parts]
        order = np.argsort(np.concatenate([one.source for one in parts]), kind="stable")
        names = ("source", "x", "y", "flux", "significance")
        return cls(*(np.concatenate([getattr(p, name) for p in parts])[order] for name in names))

    def __len__(self) -> int:
        return len(self.source)

    def select(self, which: BoolArray) -> Companions:
        """Return the companions that a mask names."""
        return Companions(
            self.source[which],
            self.x[which],
            self.y[which],
            self.flux[which],
            self.significance[which],
        )


@dataclass(frozen=True, slots=True, eq=False)
class KindsOnChip:
    """What the mosaic says of n sources of a chip, in its pixels.

    Parameters
    ----------
    position : Points, shape (n,)
        On the chip, of fitted profiles.
    is_galaxy : bool array, shape (n,)
    shape : float64 array, shape (n, 4)
        See `SourceKinds`; NaN for stars.
    narrowing_px2 : float
        Of the galaxies, typically.
    companions : Companions
        Of any of the sources.
    """

    position: Points
    is_galaxy: BoolArray
    shape: FloatArray
    narrowing_px2: float
    companions: Companions

    @classmethod
    def of(cls, kinds: SourceKinds, pixel_map: PixelMap, targets: Targets) -> KindsOnChip:
        """Return what is known of targets; those of which nothing is are stars, and alone."""
        kinds = kinds.among(targets.source)
        n, row = len(targets.source), rows_of(kinds.id, targets.source)
        to_chip = np.asarray(np.linalg.inv(pixel_map.jacobian(targets.position)), np.float64)
        off = np.zeros((n, 2))
        off[row] = np.stack([kinds.off_x, kinds.off_y], axis=1)
        off = np.einsum("nij,nj->ni", to_chip, off)
        is_galaxy, shape = np.zeros(n, bool), np.full((n, SHAPE_NUMBERS), np.nan)
        is_galaxy[row], shape[row] = kinds.is_galaxy, kinds.shape
        galaxy = np.flatnonzero(is_galaxy)
        shape[galaxy, :3] = mapped_shapes(shape[galaxy, :3], to_chip[galaxy]).shape
        narrowing = kinds.narrowing_px2[kinds.is_galaxy]
        area = np.abs(np.linalg.det(to_chip[galaxy]))
        narrowing_px2 = float(np.median(narrowing) * np.median(area)) if galaxy.size else 0.0
        beside = rows_of(kinds.companion_of, targets.source)
        away = np.stack([kinds.companion_x, kinds.companion_y], axis=1)
        x, y = np.einsum("nij,nj->ni", to_chip[beside], away).T
        return cls(
            Points(targets.position.x + off[:, 0], targets.position.y + off[:, 1]),
            is_galaxy,
            shape,
            narrowing_px2,
            Companions(
                kinds.companion_of, x, y, kinds.companion_flux, kinds.companion_significance
            ),
        )

    @classmethod
    def unknown(cls, targets: Targets) -> KindsOnChip:
        """Return targets of which the mosaic says nothing: stars where the catalogue has them."""
        n = len(targets.source)
        shape = np.full((n, SHAPE_NUMBERS), np.nan)
        return cls(targets.position, np.zeros(n, bool), shape, 0.0, Companions.none())

    def behind(self, star: ChipProfile, on_chip: Points) -> SourceProfiles:
        """Return what sources and companions look like where stars do as `star`.

        `on_chip` is where they are, in the order of `placed`.
        """
        galaxy = galaxy_behind(star, self.narrowing_px2) if self.is_galaxy.any() else None
        count = len(self.companions)
        return SourceProfiles(
            star.seen_at(on_chip),
            galaxy,
            np.concatenate([self.is_galaxy, np.zeros(count, bool)]),
            np.concatenate([self.shape, np.full((count, SHAPE_NUMBERS), np.nan)]),
        )

    def placed(self, targets: Targets) -> Targets:
        """Return the sources where they are known to be, then their companions, by negative ids."""
        parent = rows_of(self.companions.source, targets.source)
        all_of_them = targets.select(np.concatenate([np.arange(len(targets.source)), parent]))
        x, y = (
            np.concatenate([axis, axis[parent] + off])
            for axis, off in zip(self.position, (self.companions.x, self.companions.y), strict=True)
        )
        own_ids = -1 - np.arange(len(parent))
        return replace(
            all_of_them,
            source=np.concatenate([targets.source, own_ids]),
            position=Points(x, y),
            snr=np.concatenate([targets.snr, targets.snr[parent] * self.companions.flux]),
        )


def galaxy_behind(star: ChipProfile, narrowing_px2: float) -> Convolved:
    """Return Sersic profiles behind the PSF of stars less a Gaussian of this variance [px^2]."""
    psf = mixture_of(star.profile, star.shape, _PSF_COMPONENTS)
    return Convolved(Sersic(_COMPONENTS), narrowed(psf, narrowing_px2), precision="single")


def narrowed(psf: GaussianMixture, variance: float) -> GaussianMixture:
    """Return a PSF less a Gaussian of this variance [px^2]: what both together give is the PSF.

    Gaussians too narrow for that keep a part of theirs.
    """
    xx, xy, yy = psf.covariance.T
    least = 0.5 * (xx + yy) - np.sqrt(0.25 * (xx - yy) ** 2 + xy**2)
    taken = np.minimum(variance, (1 - _LEAST_KEPT) * least)
    return GaussianMixture(psf.flux, np.stack([xx - taken, xy, yy - taken], axis=1))


def rows_of(wanted: IntArray, source: IntArray) -> IntArray:
    """Return where ids stand in `source`, which holds them all in any order."""
    order = np.argsort(source, kind="stable")
    return np.asarray(order[np.searchsorted(source, wanted, sorter=order)], np.int64)
