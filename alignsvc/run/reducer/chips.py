"""What a solve says of single chips, what of it is taken up, and what is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.chip_shifts import ChipShifts, totals_of_chips
from alignsvc.domain.correction import N_PARAMETERS, Correction
from alignsvc.domain.measurement import Factors
from alignsvc.domain.result import ChipApart
from alignsvc.numerics.solve.chip_offsets import ChipStep
from alignsvc.numerics.solve.displaced_chips import DisplacedChip, DisplacementTest, empty_chips
from alignsvc.run.planning.plan import PlannedExposure
from alignsvc.run.reducer.cameras import Cameras, chip_jacobians
from alignsvc.wording import counted

#: Chips whose offset in one exposure differs by this (px) from that in others are named.
_OWN_PX = 0.05
#: Chips that a sentence names.
_NAMED = 12


@dataclass(frozen=True, slots=True, eq=False)
class ChipsSolved:
    """What a solve says of the chips of a set's exposures.

    Parameters
    ----------
    cameras : Cameras
    step : ChipStep
    displaced : tuple of DisplacedChip
        Exposures by their indices in the set.
    empty : tuple of (int, int)
        Exposure and chip.
    inflation : float
        By which variances are larger than measurements have them.
    """

    cameras: Cameras
    step: ChipStep
    displaced: tuple[DisplacedChip, ...]
    empty: tuple[tuple[int, int], ...]
    inflation: float

    def shifts_of(self, index: int, before: ChipShifts | None, total: Correction) -> ChipShifts:
        """Return the shifts of an exposure's chips, a step further.

        Parameters
        ----------
        index : int
            Of an exposure with several chips.
        before : ChipShifts or None
        total : Correction
            The exposure's new one, with its covariance.
        """
        one, chips = self.cameras.members[index], self.cameras.of_exposure(index)
        per_px = chip_jacobians(one)
        old = ChipShifts.none(len(per_px)) if before is None else before
        shift = old.shift + (per_px @ self.step.offset[chips][:, :, None])[:, :, 0]
        covariance = np.array(
            [self._covariance(index, column, total) for column in range(chips.start, chips.stop)]
        )
        for each in self.displaced:
            if each.exposure == index:
                shift[each.chip] += per_px[each.chip] @ np.array(each.offset_px)
                own = total.matrix @ per_px[each.chip] * each.error_px
                covariance[each.chip, :2, :2] += own @ own.T
        return ChipShifts(shift, covariance)

    def worth_taking(self, least_significant: float) -> ChipsSolved:
        """Return it without offsets of the camera's chips if those are less than noise makes."""
        if self.step.significance(self.step.offset) >= least_significant:
            return self
        still = np.zeros_like(self.step.offset)
        return replace(self, step=replace(self.step, offset=still))

    def standing_out_px(self, index: int) -> FloatArray:
        """Return how far chips of an exposure's camera stand from its middle, shape (k, 2).

        0 for those of which that is not beyond doubt, in all exposures.
        """
        test, chips = DisplacementTest(), self.cameras.of_exposure(index)
        offset = self.step.offset[chips]
        apart = offset - np.median(offset, axis=0)
        length = np.hypot(apart[:, 0], apart[:, 1])
        out = (length > test.limit_px) & (length > test.sigma * self.errors_px(index))
        return np.where(out[:, None], apart, 0.0)

    def errors_px(self, index: int) -> FloatArray:
        """Return the standard deviations of the offsets of an exposure's chips, the larger axis."""
        variance = np.diag(self.step.covariance).reshape(-1, 2)[self.cameras.of_exposure(index)]
        return np.asarray(np.sqrt(self.inflation * variance.max(axis=1)))

    def apart(self, index: int) -> tuple[ChipApart, ...]:
        """Return the chips of an exposure that stand elsewhere, if nobody moves them back."""
        if self.cameras.first_column[index] < 0:
            return ()
        offset, error = self.standing_out_px(index), self.errors_px(index)
        for each in self.displaced:
            if each.exposure == index:
                offset[each.chip] += each.offset_px
                error[each.chip] = each.error_px
        chips = self.cameras.members[index].header.ref.chips
        return tuple(
            ChipApart(chips[k].name, (float(offset[k, 0]), float(offset[k, 1])), float(error[k]))
            for k in np.flatnonzero(offset.any(axis=1)).tolist()
        )

    def doubt_px2(self, index: int) -> float:
        """Return the variance per axis, over an exposure, of chips that nobody moves back.

        Its correction holds for none of them alone: its error has to say so.
        """
        n_chips = len(self.cameras.members[index].header.ref.chips)
        return sum(each.length_px**2 for each in self.apart(index)) / (2 * n_chips)

    def _covariance(self, index: int, column: int, total: Correction) -> FloatArray:
        """Return the covariance of a chip's total: the exposure's and the chip's go together."""
        chip = column - self.cameras.of_exposure(index).start
        own = np.zeros((N_PARAMETERS, 2 * self.cameras.n_chips))
        per_px = chip_jacobians(self.cameras.members[index])[chip]
        own[:2, 2 * column : 2 * column + 2] = total.matrix @ per_px
        response, offsets = self.step.response[index], self.inflation * self.step.covariance
        mixed = own @ offsets @ response.T
        return np.asarray(total.covariance + own @ offsets @ own.T + mixed + mixed.T, float)


def totals_of(
    exposure: PlannedExposure, total: Correction, chips: ChipShifts | None
) -> tuple[Correction, ...]:
    """Return the total correction of each chip of an exposure; None = no chip is shifted."""
    return totals_of_chips(total, len(exposure.header.wcs), () if chips is None else chips.plain)


def empty_among(cameras: Cameras, factors: Sequence[Factors]) -> tuple[tuple[int, int], ...]:
    """Return (exposure, chip) of chips without sources where the others of the exposure have."""
    return tuple(
        (i, chip)
        for i, (one, own) in enumerate(zip(cameras.members, factors, strict=True))
        for chip in empty_chips(own, len(one.header.wcs))
    )


def notes_on_chips(solved: ChipsSolved, shifts: Mapping[str, ChipShifts] | None) -> tuple[str, ...]:
    """Return what the user should know of single chips, a sentence each.

    Parameters
    ----------
    solved : ChipsSolved
    shifts : mapping of exposure id to ChipShifts, or None
        As they are now; None = chips have no offsets.
    """
    empty = tuple(
        f"{_called(solved.cameras.members[index], chip)} has no usable sources where the "
        "exposure's other chips have many: it is empty, or displaced by more than "
        "alignment.search_radius"
        for index, chip in solved.empty
    )
    if shifts is None:
        return (*_left_out(solved), *empty, *_offsets_asked_for(solved))
    return (*_offsets_of_their_own(solved.cameras, shifts), *empty, *_offsets_held(solved))


def _called(one: PlannedExposure, chip: int) -> str:
    return f"exposure {one.id}: chip {one.header.ref.chips[chip].name}"


def _left_out(solved: ChipsSolved) -> tuple[str, ...]:
    return tuple(
        f"{_called(solved.cameras.members[each.exposure], each.chip)} lies {each.length_px:.3f} +- "
        f"{each.error_px:.3f} px from where the exposure's other chips say; its "
        f"{counted(each.n_sources, 'source has', 'sources have')} no part in the exposure's "
        "correction, which its header gets all the same; leave it out, or set "
        "images.chip_offsets: true"
        for each in solved.displaced
    )


def _offsets_of_their_own(cameras: Cameras, shifts: Mapping[str, ChipShifts]) -> tuple[str, ...]:
    """Name chips that stand elsewhere in one exposure than they do in the others."""
    notes = []
    for model in cameras.models:
        same = np.flatnonzero(cameras.first_column == cameras.first_column[model]).tolist()
        solved = [cameras.members[i] for i in same if cameras.members[i].id in shifts]
        if not solved:
            continue
        offsets = np.array([offsets_px(one, shifts[one.id]) for one in solved])
        apart = offsets - np.median(offsets, axis=0)
        for k, chip in np.argwhere(np.hypot(*np.moveaxis(apart, 2, 0)) > _OWN_PX).tolist():
            x, y = apart[k, chip]
            notes.append(
                f"{_called(solved[k], chip)} lies ({x:+.3f}, {y:+.3f}) px from where it lies in "
                "other exposures: it has an offset of its own"
            )
    return tuple(notes)


def offsets_px(exposure: PlannedExposure, shifts: ChipShifts) -> FloatArray:
    """Return the offsets of an exposure's chips in their own pixels, (x, y), shape (k, 2)."""
    found = np.linalg.solve(chip_jacobians(exposure), shifts.shift[:, :, None])
    return np.asarray(found[:, :, 0], float)


def _offsets_held(solved: ChipsSolved) -> tuple[str, ...]:
    held = [solved.cameras.name(k) for k in np.flatnonzero(~solved.step.is_known).tolist()]
    if not held:
        return ()
    return (
        f"chips {_listed(held)}: no source tells where they stand among the others (seen by one "
        "chip in one exposure, by another in the next); they are held where headers have them",
    )


def _offsets_asked_for(solved: ChipsSolved) -> tuple[str, ...]:
    """Name chips that stand elsewhere in all exposures, apart from the middle of their camera."""
    found = []
    for model in solved.cameras.models:
        first = solved.cameras.of_exposure(model).start
        length = np.hypot(*solved.standing_out_px(model).T)
        error = solved.errors_px(model)
        found += [
            f"{solved.cameras.name(first + k)} by {length[k]:.3f} +- {error[k]:.3f} px"
            for k in np.flatnonzero(length).tolist()
        ]
    if not found:
        return ()
    return (
        f"chips stand elsewhere in the camera than headers say, in all exposures: {_listed(found)};"
        " set images.chip_offsets: true",
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
