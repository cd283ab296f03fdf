"""Stars beside bright ones that the catalogue does not know, found on the mosaic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.windows.chip_view import Targets
from alignsvc.numerics.models.on_chip.chip_profile import ChipProfile
from alignsvc.numerics.models.on_chip.close_sources import CloseSources, SkyOfChip, SourcesOnChip
from alignsvc.numerics.models.on_chip.companions import CompanionSearch
from alignsvc.numerics.models.on_chip.group_fit import FittedGroups, StarGroups
from alignsvc.numerics.models.on_chip.source_profiles import (
    Companions,
    KindsOnChip,
    SourceProfiles,
    rows_of,
)

#: Apertures of the stars that companions are sought beside, in FWHM.
_APERTURE_FWHM = 3.0


@dataclass(frozen=True, slots=True)
class CompanionStars:
    """How companions of bright stars are found.

    Parameters
    ----------
    most : int
        Beside one star.
    least_snr : float
        Of the stars beside which they are looked for.
    nearest : float
        None is looked for so near to a star, as a part of what overlaps.
    close : CloseSources
        How a star is fitted with the catalogue's others.
    search : CompanionSearch
    """

    most: int = 3
    least_snr: float = 50.0
    nearest: float = 0.35
    close: CloseSources = field(default_factory=CloseSources)
    search: CompanionSearch = field(default_factory=CompanionSearch)

    def __call__(
        self, sky: SkyOfChip, targets: Targets, known: KindsOnChip, profile: ChipProfile
    ) -> Companions:
        """Return the companions of all targets that are bright stars.

        Parameters
        ----------
        sky : SkyOfChip
        targets : Targets
        known : KindsOnChip
            What is known of them; their companions so far are fitted again.
        profile : ChipProfile
        """
        own = sky.own(targets.source)
        flux = sky.neighbours.flux[own]
        sources = SourcesOnChip(
            targets.source,
            flux,
            np.zeros(len(own), bool),
            np.full(len(own), _APERTURE_FWHM * profile.fwhm_px),
            (0.0, 0.0),
        )
        others = sky.others(targets.source, self.close.most_others)
        bright = (flux > 0) & (targets.snr >= self.least_snr) & ~known.is_galaxy
        psf = sky.neighbours.psf
        nearest_px = self.nearest * float(sky.reach_px.min(initial=np.inf))
        ids = rows_of(-1 - np.arange(len(known.companions)), sky.neighbours.source)
        so_far = np.zeros(len(sky.neighbours.source))
        so_far[ids] = known.companions.significance
        parts = []
        for one in self.close.windows(
            sky, sources, others, np.flatnonzero(bright), profile.fwhm_px
        ):
            fitted = self.close.fit(psf, one.groups)
            sound = np.flatnonzero(fitted.first.found)
            groups = one.groups.select(sound)
            beside = sky.star[groups.member] >= 0
            significance = np.where(beside, so_far[groups.member], 0.0)
            going = _Going(one.row[sound], groups, fitted.select(sound), significance)
            rounds = [going, *self._more(profile, psf, going, nearest_px)]
            parts.append(_companions(targets.source, rounds))
        return Companions.joined(parts)

    def _more(
        self, profile: ChipProfile, psf: SourceProfiles, going: _Going, nearest_px: float
    ) -> Iterator[_Going]:
        """Yield those that one companion more is found beside, fitted with it."""
        for _ in range(self.most):
            going = going.select(np.flatnonzero((going.significance > 0).sum(axis=1) < self.most))
            if not going.row.size:
                break
            found = self.search(profile, going.groups, going.fitted, nearest_px)
            there = np.flatnonzero(np.isfinite(found.flux))
            if not there.size:
                break
            going = going.select(there)
            place = Points(*(axis[there] for axis in found.place))
            # It looks like the star beside which it is.
            star = going.groups.member[:, 0]
            groups = going.groups.with_one_more(place, found.flux[there], star)
            significance = np.concatenate(
                [going.significance, found.significance[there, None]], axis=1
            )
            going = _Going(going.row, groups, self.close.fit(psf, groups), significance)
            # A companion with which nothing converges, or that turns out to have no light, is none.
            last = going.fitted.flux[:, -1]
            going = going.select(np.flatnonzero(going.fitted.first.found & (last > 0)))
            yield going


@dataclass(frozen=True, slots=True, eq=False)
class _Going:
    """Sources beside which companions are looked for, as fitted so far."""

    row: IntArray
    groups: StarGroups
    fitted: FittedGroups
    significance: FloatArray  # of the members, (n, m); 0 for those of the catalogue

    def select(self, which: IntArray) -> _Going:
        return _Going(
            self.row[which],
            self.groups.select(which),
            self.fitted.select(which),
            self.significance[which],
        )


def _companions(source: IntArray, rounds: list[_Going]) -> Companions:
    """Return the companions of sources, each as the last of the rounds that have it says."""
    parts, later = [], np.zeros(0, np.int64)
    for going in reversed(rounds):
        row, member = np.nonzero(
            (going.significance > 0) & (going.fitted.flux > 0) & ~np.isin(going.row, later)[:, None]
        )
        later = np.concatenate([later, going.row])
        place, flux = going.fitted.place, going.fitted.flux
        parts.append(
            Companions(
                source[going.row[row]],
                place.x[row, member] - place.x[row, 0],
                place.y[row, member] - place.y[row, 0],
                flux[row, member] / flux[row, 0],
                going.significance[row, member],
            )
        )
    return Companions.joined(parts)
