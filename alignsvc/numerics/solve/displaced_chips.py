"""Chips that do not stand where the others of their exposure say, and chips without sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray, read_only
from alignsvc.domain.correction import Geometry
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.chip_offsets import ChipDesign
from alignsvc.numerics.solve.clipping import MEDIAN_LENGTH, weighted_median_by
from alignsvc.numerics.solve.sums import apply_each

#: A chip is empty if the others of its exposure have so many sources, and it so small a part.
_MANY, _NEXT_TO_NONE = 10, 0.02
#: Chips of one exposure that are left out in turn.
_MOST_SUSPECTS = 8
#: Solutions in which outliers are trusted less and less.
_N_REWEIGHTED = 6
#: Longest residual that counts, in errors: farther out a source is no worse.
_FARTHEST = 6.0


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
    What is left of a source is taken from the weighted median of all exposures that see it, and
    the offset of a chip is the weighted median of what is left of its sources: neither a few
    wrong sources nor one wrong exposure moves it. Where chips of an exposure differ, the exposure's
    own correction has been bent by the wrong one, and a linear map takes up most of it: so each
    suspect is left out in turn, the correction is found from the others, and the one is named
    without which the rest fits best. Of two chips that disagree neither is known to be right.
    """

    sigma: float = 5.0
    limit_px: float = 0.05
    least_sources: int = 5

    def __call__(
        self,
        factors: Sequence[Factors],
        steps: FloatArray,
        chips: ChipDesign,
        geometries: Sequence[Geometry],
    ) -> tuple[DisplacedChip, ...]:
        """Return at most one chip of each exposure, the one that stands out most.

        Parameters
        ----------
        factors : sequence of Factors, length n
            Offsets that chips have in all exposures being taken off.
        steps : array, shape (n, 6)
            Of a fit of these.
        chips : ChipDesign
        geometries : sequence of Geometry, length n
            How free each exposure is.
        """
        found = []
        rows = _rows(factors, steps, chips, factors)
        for exposure in np.unique(rows.exposure).tolist():
            own = rows.select(rows.exposure == exposure)
            tried = [
                self._left_out(own, suspect, geometries[exposure].basis)
                for suspect in self._suspects(own, exposure)
            ]
            best = min(tried, key=lambda one: one.misfit, default=None)
            if best is not None and self._stands_out(best.chip):
                found.append(best.chip)
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

    def _stands_out(self, one: DisplacedChip) -> bool:
        return one.length_px > max(self.limit_px, self.sigma * one.error_px)

    def _suspects(self, rows: _Rows, exposure: int) -> list[DisplacedChip]:
        """Return the chips of an exposure that differ most from its others, if any does."""
        offsets = [
            one
            for chip in np.unique(rows.chip).tolist()
            if (one := self._offset(rows, exposure, chip)).n_sources >= self.least_sources
        ]
        if len(offsets) < 2:
            return []
        apart = [_apart(one, offsets) for one in offsets]
        order = np.argsort(-np.array(apart), kind="stable")[:_MOST_SUSPECTS]
        return [offsets[k] for k in order] if max(apart) > self.sigma else []

    def _left_out(self, rows: _Rows, suspect: DisplacedChip, basis: FloatArray) -> _LeftOut:
        """Return a chip's offset from where the others say, and how well they then agree."""
        out = rows.chip == suspect.chip
        others = rows.select(~out)
        step, covariance = _robust_step(others, basis)
        rest = replace(rows, left_px=rows.left_px - rows.design_px @ step)
        one = self._offset(rest, suspect.exposure, suspect.chip)
        middle = rows.design_px[out].mean(axis=0)
        told = 0.5 * float(np.trace(middle @ covariance @ middle.T))
        offset = np.where(out[:, None], one.offset_px, 0.0)
        lengths = np.hypot(*(rest.left_px - offset).T) * rows.weight
        misfit = float(np.minimum(lengths, _FARTHEST).sum())
        return _LeftOut(replace(one, error_px=float(np.hypot(one.error_px, told**0.5))), misfit)

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
class _LeftOut:
    """A chip's offset by the others of its exposure, and the sum of lengths that it leaves."""

    chip: DisplacedChip
    misfit: float


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Measurements of sources that several exposures see: what is left, from the source's middle.

    `weight` is one over the standard deviation per axis, px; `design_px` (n, 2, 6) what a further
    step of the exposure does.
    """

    exposure: IntArray
    chip: IntArray
    left_px: FloatArray
    weight: FloatArray
    design_px: FloatArray

    def select(self, which: BoolArray) -> _Rows:
        return _Rows(
            self.exposure[which],
            self.chip[which],
            self.left_px[which],
            self.weight[which],
            self.design_px[which],
        )


def _apart(one: DisplacedChip, every: Sequence[DisplacedChip]) -> float:
    """Return how far a chip is from the middle of the others, in errors."""
    others = [each for each in every if each is not one]
    x, y = np.median([each.offset_px for each in others], axis=0)
    length = float(np.hypot(one.offset_px[0] - x, one.offset_px[1] - y))
    # The middle of several is known better than one of them: this errs towards silence.
    return length / float(np.hypot(one.error_px, np.median([e.error_px for e in others])))


def _robust_step(rows: _Rows, basis: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the step (6,) that fits rows best, outliers trusted little, and its covariance."""
    design = rows.design_px @ basis
    size = np.maximum(np.abs(design).max(axis=(0, 1)), 1e-300)
    design = design / size
    trust = np.ones(len(rows.weight))
    for _ in range(_N_REWEIGHTED):
        weight = trust * rows.weight**2
        normal = np.einsum("n,nap,naq->pq", weight, design, design)
        inverse = np.linalg.pinv(normal, rcond=1e-10, hermitian=True)
        step = inverse @ np.einsum("n,nap,na->p", weight, design, rows.left_px)
        lengths = np.hypot(*(rows.left_px - design @ step).T) * rows.weight
        scale = max(1.0, float(np.median(lengths)) / MEDIAN_LENGTH)
        trust = 1.0 / (1.0 + (lengths / (1.5 * scale)) ** 2)
    to_parameters = basis / size
    return to_parameters @ step, scale**2 * to_parameters @ inverse @ to_parameters.T


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
        design_px=to_px @ np.concatenate([one.jacobian for one in factors])[chosen],
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
