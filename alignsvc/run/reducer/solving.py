"""From measurements to corrections: the reducer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from alignsvc.domain.correction import N_PARAMETERS, Correction
from alignsvc.domain.result import FitQuality
from alignsvc.errors import NothingToMeasure
from alignsvc.numerics.solve.freedom import GeometryChoice
from alignsvc.numerics.solve.gauge import footprint_of, hold_mean
from alignsvc.numerics.solve.linear_fit import LinearFitter
from alignsvc.numerics.solve.steps import stepped
from alignsvc.run.planning.plan import PlannedExposure
from alignsvc.run.reducer.chips import totals_of
from alignsvc.run.reducer.joint_solution import solved_jointly
from alignsvc.run.reducer.joint_solving import error_floor
from alignsvc.run.reducer.rejections import with_rejections
from alignsvc.run.reducer.solution import NOTHING_SOLVED, Solution, largest_move_px, skipped
from alignsvc.run.reducer.solve_group import Measured, SolveGroup, group_of, samples_of
from alignsvc.run.stages.reference import GridReference
from alignsvc.run.stages.running import Tools


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
            else solved_jointly(tools, group, references.get(grid.component), choice)
        )
        found = replace(found, ended=with_rejections(tools, measured, found.ended))
        n_known = len(set(solution.component.values()))
        renumbered = {name: n_known + k for name, k in found.component.items()}
        solution = solution.joined(replace(found, component=renumbered))
    return solution


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
            ended.append(skipped(one.id, nothing.reason, str(nothing)))
            continue
        step = np.zeros(6) if one.id == tools.plan.reference else fit.step
        covariance = fit.inflation * fit.covariance
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
        one.id: largest_move_px(
            one, *(totals_of(one, total[one.id], None) for total in (before, corrections))
        )
        for one in solved
    }
    return replace(solution, corrections=corrections, moves_px=moves)
