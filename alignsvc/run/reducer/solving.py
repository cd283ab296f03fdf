"""From measurements to corrections: the reducer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from alignsvc.domain.chip_shifts import ChipShifts
from alignsvc.domain.colour_term import ColourTerm
from alignsvc.domain.correction import N_PARAMETERS, Correction, Geometry
from alignsvc.domain.made_when_asked import column_of
from alignsvc.domain.outcome import Status
from alignsvc.domain.result import ChipApart, FitQuality
from alignsvc.errors import NothingToMeasure
from alignsvc.io.journal import ExposureEnded
from alignsvc.numerics.solve.colour_terms import ColourTerms
from alignsvc.numerics.solve.freedom import GeometryChoice
from alignsvc.numerics.solve.gauge import footprint_of, hold_mean
from alignsvc.numerics.solve.joint_fit import JointFit
from alignsvc.numerics.solve.linear_fit import LinearFitter
from alignsvc.numerics.solve.movement import Moved, movement_px
from alignsvc.numerics.solve.steps import stepped
from alignsvc.reasons import SkipReason
from alignsvc.run.planning.plan import PlannedExposure
from alignsvc.run.records import events
from alignsvc.run.reducer.chips import notes_on_chips, totals_of
from alignsvc.run.reducer.joint_solving import error_floor, inflation_of, jointly_fitted
from alignsvc.run.reducer.rejections import with_rejections
from alignsvc.run.reducer.solve_group import Measured, SolveGroup, group_of, samples_of
from alignsvc.run.reducer.steps_taken import (
    LEAST_SIGNIFICANT,
    steps_worth_taking,
    without_common_motion,
)
from alignsvc.run.stages.reference import GridReference
from alignsvc.run.stages.running import Tools


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """What a solve says of the exposures that took part.

    Parameters
    ----------
    corrections : mapping of exposure id to Correction
        The new totals.
    quality : mapping of exposure id to FitQuality
    moves_px : mapping of exposure id to float
        Largest movement anywhere in the footprint, whatever the gauge did.
    component : mapping of exposure id to int
        By the sources really shared.
    ended : tuple of ExposureEnded
        Exposures that could not be solved.
    moving : tuple of int
        Ids of sources that move, and were left out for it.
    chips : mapping of exposure id to ChipShifts
        Where chips have offsets.
    chip_notes : tuple of str
        What was found of single chips.
    colour_terms : mapping of exposure id to ColourTerm
        Of all exposures that took part, where colours are known.
    chips_apart : mapping of exposure id to tuple of ChipApart
        Where chips stand elsewhere, and have no offsets.
    floors_arcsec : mapping of exposure id to float
        What its sources, or those of all, disagree by on top of their errors.
    """

    corrections: Mapping[str, Correction]
    quality: Mapping[str, FitQuality]
    moves_px: Mapping[str, float]
    component: Mapping[str, int]
    ended: tuple[ExposureEnded, ...]
    moving: tuple[int, ...] = ()
    chips: Mapping[str, ChipShifts] = field(default_factory=dict)
    chip_notes: tuple[str, ...] = ()
    colour_terms: Mapping[str, ColourTerm] = field(default_factory=dict)
    chips_apart: Mapping[str, tuple[ChipApart, ...]] = field(default_factory=dict)
    floors_arcsec: Mapping[str, float] = field(default_factory=dict)

    def joined(self, other: Solution) -> Solution:
        """Return both; of exposures in both, what `other` says."""
        return Solution(
            {**self.corrections, **other.corrections},
            {**self.quality, **other.quality},
            {**self.moves_px, **other.moves_px},
            {**self.component, **other.component},
            (*self.ended, *other.ended),
            (*self.moving, *other.moving),
            {**self.chips, **other.chips},
            (*self.chip_notes, *other.chip_notes),
            {**self.colour_terms, **other.colour_terms},
            {**self.chips_apart, **other.chips_apart},
            {**self.floors_arcsec, **other.floors_arcsec},
        )


NOTHING_SOLVED = Solution({}, {}, {}, {}, ())


def solve(
    tools: Tools,
    measured: Sequence[Measured],
    corrections: Mapping[str, Correction],
    references: Mapping[int, GridReference],
    choice: GeometryChoice | None,
) -> Solution:
    """Return the new corrections of all measured exposures, grid by grid.

    Parameters
    ----------
    tools : Tools
    measured : sequence of Measured
        In order of exposure id.
    corrections : mapping of exposure id to Correction
        The totals so far.
    references : mapping of component to GridReference
        What a reference catalogue says of the mosaic's sources; empty without one.
    choice : GeometryChoice or None
        None: every correction stays as free as it is.
    """
    one_by_one = tools.plan.config.alignment.solver == "independent"
    solution = NOTHING_SOLVED
    for grid in tools.plan.grids:
        group = group_of(tools, grid, measured, corrections)
        if not group.members:
            continue
        found = (
            _solved_independently(tools, group)
            if one_by_one
            else _solved_jointly(tools, group, references.get(grid.component), choice)
        )
        found = replace(found, ended=with_rejections(tools, measured, found.ended))
        n_known = len(set(solution.component.values()))
        renumbered = {name: n_known + k for name, k in found.component.items()}
        solution = solution.joined(replace(found, component=renumbered))
    return solution


def _solved_jointly(
    tools: Tools, group: SolveGroup, reference: GridReference | None, choice: GeometryChoice | None
) -> Solution:
    fitted = jointly_fitted(tools, group, reference, choice)
    fit = fitted.fit
    group = group.as_free_as(fit.geometries)
    if choice is not None:
        tools.listener(events.Note(f"geometries chosen: {_counted(group, fit.geometries)}"))
    inflation = inflation_of(fit)
    failed = {end.exposure: end for end in fit.not_solved if end.exposure < len(group.members)}
    solved = [i for i in range(len(group.members)) if i not in failed]
    steps = steps_worth_taking(tools, group, fit)
    has_offsets, chips = tools.plan.config.images.chip_offsets, fitted.chips
    chips = chips.worth_taking(LEAST_SIGNIFICANT) if chips is not None and has_offsets else None
    moving = without_common_motion(tools, group, replace(fit, steps=steps))
    corrections, quality, moves, component = {}, {}, {}, {}
    shifts: dict[str, ChipShifts] = {}
    apart: dict[str, tuple[ChipApart, ...]] = {}
    for i in solved:
        one = group.members[i]
        component[one.id] = int(fit.component[i])
        if one.is_frozen:
            continue
        covariance = inflation * fit.covariances[i] + fit.common_covariances[i]
        if fitted.chips is not None and not has_offsets:
            doubt = fitted.chips.doubt_px2(i) * group.scales_arcsec[i] ** 2
            covariance[[0, 1], [0, 1]] += doubt
            if found := fitted.chips.apart(i):
                apart[one.id] = found
        corrections[one.id] = group.stepped(i, steps[i], covariance)
        quality[one.id] = _quality(group, fit, i)
        if chips is not None and chips.cameras.first_column[i] >= 0:
            shifts[one.id] = chips.shifts_of(i, group.chips[i], corrections[one.id])
        old, new = group.chips[i], shifts.get(one.id)
        moves[one.id] = _movement(
            one,
            totals_of(one, group.totals[i], old),
            totals_of(one, group.stepped(i, moving[i], covariance), new),
        )
    ended = tuple(
        _ended(group.members[i].id, end.reason, end.message)
        for i, end in sorted(failed.items())
        if not group.members[i].is_frozen
    )
    notes = (
        ()
        if fitted.chips is None
        else notes_on_chips(fitted.chips, shifts if has_offsets else None)
    )
    solution = Solution(corrections, quality, moves, component, ended, fitted.moving, shifts, notes)
    terms = _terms_of(group, fitted.colours)
    floors = dict.fromkeys(corrections, fit.floor_arcsec)
    return replace(solution, colour_terms=terms, chips_apart=apart, floors_arcsec=floors)


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


def _solved_independently(tools: Tools, group: SolveGroup) -> Solution:
    """Fit each exposure by itself; nobody holds the frame yet (see `frame_held`)."""
    algorithms = tools.plan.algorithms
    corrections, quality, floors, ended = {}, {}, {}, []
    for one, factors, total, before in zip(
        group.members, group.factors, group.totals, group.floors_arcsec, strict=True
    ):
        floor = error_floor(tools, before)
        fitter = LinearFitter(algorithms.geometry, algorithms.clipping, floor)
        try:
            fit = fitter(factors)
        except NothingToMeasure as nothing:
            ended.append(_ended(one.id, nothing.reason, str(nothing)))
            continue
        step = np.zeros(6) if one.id == tools.plan.reference else fit.step
        inflation = max(1.0, fit.chi2 / fit.dof) if fit.dof > 0 else 1.0
        covariance = inflation * fit.covariance
        corrections[one.id] = stepped(total, step, covariance, total.geometry)
        floors[one.id] = fit.floor
        scale = one.header.wcs[0].pixel_scale_arcsec
        n_held_out = int(factors.held_out.sum())
        quality[one.id] = FitQuality(
            len(factors), fit.n_used, fit.rmse / scale, fit.mae / scale, n_held_out
        )
    solution = Solution(corrections, quality, {}, dict.fromkeys(corrections, 0), tuple(ended))
    return replace(solution, floors_arcsec=floors)


def frame_held(
    tools: Tools,
    exposures: Sequence[PlannedExposure],
    before: Mapping[str, Correction],
    solution: Solution,
) -> Solution:
    """Return an independent solution in the mean's frame, with its movements since `before`.

    Without it the whole set drifts, a little every pass, for as long as one lets it. A
    reference image holds the frame by not moving.
    """
    corrections, held = dict(solution.corrections), tools.plan.held
    solved = [one for one in exposures if one.id in corrections]
    for grid in tools.plan.grids:
        members = [one for one in solved if one.component == grid.component]
        still_there = [one for one in exposures if one.component == grid.component]
        if not members or any(one.id in held for one in still_there):
            continue
        footprints = [
            footprint_of(samples_of(one), one.since_start(corrections[one.id]), grid.plane)
            for one in members
        ]
        still = np.zeros((len(members), N_PARAMETERS))
        back = hold_mean(still, footprints)
        for one, step in zip(members, back, strict=True):
            total = corrections[one.id]
            corrections[one.id] = stepped(total, step, total.covariance, total.geometry)
    moves = {
        one.id: _movement(
            one, *(totals_of(one, total[one.id], None) for total in (before, corrections))
        )
        for one in solved
    }
    return replace(solution, corrections=corrections, moves_px=moves)


def _movement(
    exposure: PlannedExposure, old: Sequence[Correction], new: Sequence[Correction]
) -> float:
    """Return the largest movement over all chips, each with its correction, in their pixels."""
    return max(
        movement_px(Moved(wcs, before), Moved(wcs, after), wcs.shape)
        for wcs, before, after in zip(exposure.header.wcs, old, new, strict=True)
    )


def _ended(exposure: str, reason: SkipReason, message: str) -> ExposureEnded:
    return ExposureEnded(exposure, Status.SKIPPED, reason.value, f"exposure {exposure}: {message}")
