"""What the joint fit of a grid's exposures has each of them do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.chip_shifts import ChipShifts
from alignsvc.domain.colour_term import ColourTerm
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.made_when_asked import column_of
from alignsvc.domain.result import ChipApart, FitQuality
from alignsvc.numerics.solve.colour_terms import ColourTerms
from alignsvc.numerics.solve.freedom import GeometryChoice
from alignsvc.numerics.solve.joint_fit import JointFit
from alignsvc.run.records import events
from alignsvc.run.reducer.chips import ChipsSolved, notes_on_chips, totals_of
from alignsvc.run.reducer.joint_solving import Fitted, jointly_fitted
from alignsvc.run.reducer.solution import Solution, largest_move_px, skipped
from alignsvc.run.reducer.solve_group import SolveGroup
from alignsvc.run.reducer.steps_taken import (
    LEAST_SIGNIFICANT,
    steps_worth_taking,
    without_common_motion,
)
from alignsvc.run.stages.reference import GridReference
from alignsvc.run.stages.running import Tools


def solved_jointly(
    tools: Tools, group: SolveGroup, reference: GridReference | None, choice: GeometryChoice | None
) -> Solution:
    """Return the new corrections of a group's exposures, all fitted together; see `solve`."""
    fitted = jointly_fitted(tools, group, reference, choice)
    fit = fitted.fit
    group = group.as_free_as(fit.geometries)
    if choice is not None:
        tools.listener(events.Note(f"geometries chosen: {_counted(group, fit.geometries)}"))
    steps = _Steps.of(tools, group, fitted)
    failed = {end.exposure: end for end in fit.not_solved if end.exposure < len(group.members)}
    solved = [(i, one) for i, one in enumerate(group.members) if i not in failed]
    each = {one.id: steps.of_exposure(i) for i, one in solved if not one.is_frozen}
    shifts = {name: found.shifts for name, found in each.items() if found.shifts is not None}
    return Solution(
        corrections={name: found.correction for name, found in each.items()},
        quality={name: found.quality for name, found in each.items()},
        moves_px={name: found.move_px for name, found in each.items()},
        component={one.id: int(fit.component[i]) for i, one in solved},
        ended=tuple(
            skipped(group.members[i].id, end.reason, end.message)
            for i, end in sorted(failed.items())
            if not group.members[i].is_frozen
        ),
        moving=fitted.moving,
        chips=shifts,
        chip_notes=_chip_notes(fitted.chips, shifts if steps.have_offsets else None),
        colour_terms=_terms_of(group, fitted.colours),
        chips_apart={name: found.apart for name, found in each.items() if found.apart},
        floors_arcsec=dict.fromkeys(each, fit.floor_arcsec),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _SolvedExposure:
    """What the fit says of an exposure that may move; `apart` of chips that nobody moves back."""

    correction: Correction
    quality: FitQuality
    move_px: float
    shifts: ChipShifts | None
    apart: tuple[ChipApart, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """The steps of a joint fit as they are taken.

    Parameters
    ----------
    group : SolveGroup
        As free as the fit has them.
    fitted : Fitted
    taken : float64 array, shape (n, 6)
    moving : float64 array, shape (n, 6)
        The same as far as they count as movement.
    have_offsets : bool
        Whether chips have offsets of their own.
    chips : ChipsSolved or None
        With the offsets that are taken; None: no chip has one.
    """

    group: SolveGroup
    fitted: Fitted
    taken: FloatArray
    moving: FloatArray
    have_offsets: bool
    chips: ChipsSolved | None

    @classmethod
    def of(cls, tools: Tools, group: SolveGroup, fitted: Fitted) -> _Steps:
        """Return the steps that are worth taking."""
        taken = steps_worth_taking(tools, group, fitted.fit)
        have_offsets, chips = tools.plan.config.images.chip_offsets, None
        if fitted.chips is not None and have_offsets:
            chips = fitted.chips.worth_taking(LEAST_SIGNIFICANT)
        moving = without_common_motion(tools, group, replace(fitted.fit, steps=taken))
        return cls(group, fitted, taken, moving, have_offsets, chips)

    def of_exposure(self, i: int) -> _SolvedExposure:
        """Return what exposure `i` does."""
        group, one, apart = self.group, self.group.members[i], self._apart(i)
        covariance = self._covariance(i)
        correction = group.stepped(i, self.taken[i], covariance)
        old, new = group.chips[i], self._shifts(i, correction)
        move_px = largest_move_px(
            one,
            totals_of(one, group.totals[i], old),
            totals_of(one, group.stepped(i, self.moving[i], covariance), new),
        )
        quality = _quality(group, self.fitted.fit, i)
        return _SolvedExposure(correction, quality, move_px, new, apart)

    def _apart(self, i: int) -> tuple[ChipApart, ...]:
        chips = self.fitted.chips
        return () if chips is None or self.have_offsets else chips.apart(i)

    def _covariance(self, i: int) -> FloatArray:
        """Return the covariance of an exposure's correction, its chips' disagreement in it."""
        fit, chips = self.fitted.fit, self.fitted.chips
        covariance = fit.stated_covariance(i)
        if chips is not None and not self.have_offsets:
            covariance[[0, 1], [0, 1]] += chips.doubt_px2(i) * self.group.scales_arcsec[i] ** 2
        return covariance

    def _shifts(self, i: int, correction: Correction) -> ChipShifts | None:
        if self.chips is None or self.chips.cameras.first_column[i] < 0:
            return None
        return self.chips.shifts_of(i, self.group.chips[i], correction)


def _chip_notes(chips: ChipsSolved | None, shifts: dict[str, ChipShifts] | None) -> tuple[str, ...]:
    return () if chips is None else notes_on_chips(chips, shifts)


def _terms_of(group: SolveGroup, found: ColourTerms | None) -> dict[str, ColourTerm]:
    if found is None:
        return {}
    return {one.id: found.of_exposure(i) for i, one in enumerate(group.members)}


def _quality(group: SolveGroup, fit: JointFit, i: int) -> FitQuality:
    """Return how good the joint fit of an exposure is."""
    held_out = column_of(group.factors, i, "held_out")
    scale_arcsec = group.scales_arcsec[i]
    return FitQuality(
        len(held_out),
        int(fit.n_used[i]),
        float(fit.rmse_arcsec[i] / scale_arcsec),
        float(fit.mae_arcsec[i] / scale_arcsec),
        int(held_out.sum()),
    )


def _counted(group: SolveGroup, geometries: Sequence[Geometry]) -> str:
    """Return how many exposures that may move have each geometry, as in '3 shift, 1 rscale'."""
    both = zip(group.members, geometries, strict=True)
    counts = Counter(geometry for one, geometry in both if not one.is_frozen)
    return ", ".join(f"{counts[one]} {one}" for one in Geometry if counts[one])
