"""Chips that do not stand where the others of their exposure say, and chips without sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray, read_only
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.chip_offsets import ChipDesign
from alignsvc.numerics.solve.clipping import MEDIAN_LENGTH, weighted_median_by
from alignsvc.numerics.solve.sums import apply_each

#: A chip is empty if the others of its exposure have so many sources, and it so small a part.
_MANY, _NEXT_TO_NONE = 10, 0.02


@dataclass(frozen=True, slots=True)
class DisplacedChip:
    """A chip that lies elsewhere than the other chips of its exposure say.

    Parameters
    ----------
    exposure, chip : int
        Indices.
    offset_px : tuple of float
        (x, y) to be added, pixels of the chip.
    error_px : float
        Of each of the two.
    n_sources : int
    """

    exposure: int
    chip: int
    offset_px: tuple[float, float]
    error_px: float
    n_sources: int

    @property
    def length_px(self) -> float:
        """Length of the offset."""
        return float(np.hypot(*self.offset_px))


@dataclass(frozen=True, slots=True)
class DisplacementTest:
    """Find chips that stand apart from the others of their exposure.

    Parameters
    ----------
    sigma : float
        Offsets longer than so many errors ...
    limit_px : float
        ... and than this stand out.
    least_sources : int
        Fewer say nothing of a chip.

    Notes
    -----
    The offset of a chip is the weighted median of what a fit leaves of its sources, from the
    weighted median of all exposures at each source: neither a few wrong sources nor one wrong
    exposure moves it. It is compared with the median of the exposure's other chips, since the
    fit lies between a chip that is displaced and the rest. Of an exposure of two chips that
    disagree, the one with the larger offset is named.
    """

    sigma: float = 5.0
    limit_px: float = 0.05
    least_sources: int = 5

    def __call__(
        self, factors: Sequence[Factors], steps: FloatArray, chips: ChipDesign
    ) -> tuple[DisplacedChip, ...]:
        """Return at most one chip of each exposure, the one that stands out most.

        Parameters
        ----------
        factors : sequence of Factors, length n
            Offsets that chips have in all exposures being taken off.
        steps : array, shape (n, 6)
            Of a fit of these.
        chips : ChipDesign
        """
        found = []
        rows = _rows(factors, steps, chips, factors)
        for exposure in np.unique(rows.exposure).tolist():
            offsets = [
                one
                for chip in np.unique(rows.chip[rows.exposure == exposure]).tolist()
                if (one := self._offset(rows, exposure, chip)).n_sources >= self.least_sources
            ]
            apart = [self._apart(one, offsets) for one in offsets]
            if len(offsets) > 1 and max(apart) > self.sigma:
                found.append(offsets[int(np.argmax(apart))])
        return tuple(found)

    def offsets_of(
        self,
        factors: Sequence[Factors],
        steps: FloatArray,
        chips: ChipDesign,
        displaced: Sequence[DisplacedChip],
    ) -> tuple[DisplacedChip, ...]:
        """Return displaced chips with their offsets from what all chips but these see.

        Arguments as of a call; a chip whose sources no other sees stays as it was found.
        """
        rows = _rows(factors, steps, chips, without_chips(factors, displaced))
        again = [self._offset(rows, one.exposure, one.chip) for one in displaced]
        return tuple(
            new if new.n_sources else old for old, new in zip(displaced, again, strict=True)
        )

    def _apart(self, one: DisplacedChip, every: Sequence[DisplacedChip]) -> float:
        """Return how far a chip is from the others, in errors; 0 if not as far as the limit."""
        others = [each for each in every if each is not one]
        if not others:
            return 0.0
        x, y = np.median([each.offset_px for each in others], axis=0)
        length = float(np.hypot(one.offset_px[0] - x, one.offset_px[1] - y))
        # The middle of several is known better than one of them: this errs towards silence.
        error = float(np.hypot(one.error_px, np.median([each.error_px for each in others])))
        return length / error if length > self.limit_px else 0.0

    def _offset(self, rows: _Rows, exposure: int, chip: int) -> DisplacedChip:
        own = np.flatnonzero((rows.exposure == exposure) & (rows.chip == chip))
        left, weight = rows.left_px[own], rows.weight[own]
        one = np.zeros(len(own), np.int64)
        x, y = (float(weighted_median_by(one, axis, weight, 1)[0]) for axis in left.T)
        lengths = np.hypot(left[:, 0] - x, left[:, 1] - y) * weight
        scatter = float(np.median(lengths)) / MEDIAN_LENGTH if len(own) else 0.0
        # The variance of a median is pi/2 times that of the mean.
        error = max(1.0, scatter) * np.sqrt(0.5 * np.pi / max(float((weight**2).sum()), 1e-300))
        return DisplacedChip(exposure, chip, (x, y), float(error), len(own))


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Measurements of sources that several exposures see: what is left, from the source's middle.

    `weight` is one over the standard deviation per axis, px.
    """

    exposure: IntArray
    chip: IntArray
    left_px: FloatArray
    weight: FloatArray


def _rows(
    factors: Sequence[Factors],
    steps: FloatArray,
    chips: ChipDesign,
    witnesses: Sequence[Factors],
) -> _Rows:
    """Return usable rows, their sources' middles being those of rows that `witnesses` use."""
    use = np.concatenate([one.use for one in factors])
    told = np.concatenate([one.use for one in witnesses])
    source = np.concatenate([one.source for one in factors])
    number = np.concatenate([np.full(len(one), i) for i, one in enumerate(factors)])
    left = np.concatenate(
        [one.residual - one.jacobian @ step for one, step in zip(factors, steps, strict=True)]
    )
    information = np.concatenate([one.information for one in factors])
    use &= _seen_by_another(source, number, use, told)
    told &= np.isin(source, source[use])
    ids = np.unique(source[told])
    weight = np.linalg.det(np.where((use | told)[:, None, None], information, 0.0)) ** 0.25
    place = np.searchsorted(ids, source[told])
    middle = [weighted_median_by(place, axis, weight[told], len(ids)) for axis in left[told].T]
    chosen = np.flatnonzero(use & (np.concatenate(chips.column) >= 0))
    away = left[chosen] - np.stack(middle, axis=1)[np.searchsorted(ids, source[chosen])]
    to_px = np.asarray(np.linalg.inv(np.concatenate(chips.design)[chosen]), float)
    pixel = np.sqrt(np.abs(np.linalg.det(to_px)))
    return _Rows(
        exposure=number[chosen],
        chip=np.concatenate([one.chip for one in factors])[chosen],
        left_px=apply_each(to_px, away),
        weight=weight[chosen] / pixel,
    )


def _seen_by_another(
    source: IntArray, exposure: IntArray, use: BoolArray, told: BoolArray
) -> BoolArray:
    """Rows whose source some `told` row of another exposure sees."""
    ids, which = np.unique(source, return_inverse=True)
    n = int(exposure.max(initial=-1)) + 1
    seen = np.unique(which[told] * n + exposure[told])
    count = np.bincount(seen // n, minlength=len(ids))
    return use & (count[which] > np.isin(which * n + exposure, seen))


def without_chips(
    factors: Sequence[Factors], displaced: Sequence[DisplacedChip]
) -> tuple[Factors, ...]:
    """Return factors of which those of some chips are not used."""
    out = {(one.exposure, one.chip) for one in displaced}
    return tuple(
        replace(
            one,
            use=read_only(
                one.use & ~np.isin(one.chip, [chip for which, chip in out if which == i])
            ),
        )
        for i, one in enumerate(factors)
    )


def empty_chips(factors: Factors, n_chips: int) -> tuple[int, ...]:
    """Return the chips of an exposure that have no usable sources, where the others have many."""
    count = np.bincount(factors.chip[factors.use], minlength=n_chips)
    if n_chips < 2:
        return ()
    found = []
    for chip in range(n_chips):
        others = float(np.median(np.delete(count, chip)))
        if others >= _MANY and count[chip] <= _NEXT_TO_NONE * others:
            found.append(chip)
    return tuple(found)
