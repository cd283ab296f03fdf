"""``method: both``: after the loop each exposure is measured once more, by the model.

The corrections are those of the correlation, bit for bit those of a run without the comparison.
When the loop has ended, the mosaic, the sources and the exposures' states of the last pass are
measured by both methods: by the correlation once more only if the pass measured otherwise (the
first one does), as a task that has a receipt is not done again. Nothing else is stored: whoever
resumes finds the receipts of both, and solves the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.agreement import Agreement, MethodAgreement, NotCompared
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.measurement import Factors
from alignsvc.domain.outcome import Status, TaskOutcome
from alignsvc.domain.result import ExposureResult
from alignsvc.domain.task import TableRef
from alignsvc.io.locations import RunLocations
from alignsvc.numerics.displacement.measure import CorrelationMeasurement
from alignsvc.numerics.solve.agreement import MethodComparison, MethodDifference
from alignsvc.numerics.solve.gauge import FixedGauge, MeanGauge
from alignsvc.numerics.solve.selection import NotSolved
from alignsvc.run.planning.plan import PlannedExposure
from alignsvc.run.reducer.joint_solving import jointly_fitted
from alignsvc.run.reducer.solve_group import (
    Measured,
    SolveGroup,
    equally_weighted,
    footprint_in,
    scale_of,
)
from alignsvc.run.stages.loop_state import LoopState, PassSettings
from alignsvc.run.stages.measuring import measure_tasks, seen_exposures
from alignsvc.run.stages.reference import grid_references
from alignsvc.run.stages.running import Tools, run_stage
from alignsvc.run.stages.solved_table import load_solved, pass_name
from alignsvc.run.stages.telling import told_sources
from alignsvc.tasks.measure import MeasureTask


@dataclass(frozen=True, slots=True, eq=False)
class ExposureCompared:
    """What is known of an exposure that was measured by both methods.

    Parameters
    ----------
    difference : MethodDifference
        Of the measurements, with the same sources and weights.
    alone_arcsec : float
        Farthest in the footprint that its corrections are apart if each method's measurements are
        solved by themselves, with their own weights and clipping; NaN where one is not solved.
    """

    difference: MethodDifference
    alone_arcsec: float


@dataclass(frozen=True, slots=True)
class ComparisonFailed:
    """A measurement by one of the methods failed; what of it, in a sentence."""

    message: str


#: What is known of exposures, or why there is nothing.
Compared = Mapping[str, ExposureCompared | NotCompared | ComparisonFailed]


def compared_methods(tools: Tools, last: PassSettings | None, state: LoopState) -> Compared:
    """Return how the corrections by the model differ from those of the run.

    Parameters
    ----------
    tools : Tools
    last : PassSettings or None
        Of the last pass; None: there was none.
    state : LoopState
        After it.

    Returns
    -------
    mapping of exposure id to ExposureCompared, or why not
        Empty unless the configuration asks for it. Exposures that were not measured are not in it.
    """
    model = tools.plan.algorithms.comparison
    if model is None or last is None or state.mosaic is None or state.sources is None:
        return {}
    exposures = seen_exposures(tools, state)
    by_run, by_model = _measured(tools, last, state, model)
    found: dict[str, ExposureCompared | NotCompared | ComparisonFailed] = {}
    pairs = []
    for one, *both in zip(exposures, by_run, by_model, strict=True):
        failures = [outcome.message for outcome in both if not outcome.is_ok]
        if failures:
            found[one.id] = ComparisonFailed(failures[0])
        else:
            pairs.append(_Pair.read(tools, one, *both))
    for grid in tools.plan.grids:
        own = [one for one in pairs if one.exposure.component == grid.component]
        found |= _on_grid(tools, grid, state, own)
    return found


def agreement_rows(
    tools: Tools, results: Sequence[ExposureResult], found: Compared
) -> tuple[MethodAgreement, ...]:
    """Return a row for every exposure of the run, in order of id; none if nobody asked."""
    if tools.plan.algorithms.comparison is None:
        return ()
    n_compared = sum(isinstance(one, ExposureCompared) for one in found.values())
    scale = {one.id: one.header.wcs[0].pixel_scale_arcsec for one in tools.plan.exposures}
    rows = []
    for result in results:
        one = found.get(result.id, NotCompared.HOLDS_FRAME)
        if result.status is not Status.ALIGNED or result.correction is None:
            one = NotCompared.NOT_ALIGNED
        if isinstance(one, ComparisonFailed):
            failed = NotCompared.FAILED
            rows.append(
                MethodAgreement(result.id, Agreement.NOT_COMPARED, failed, message=one.message)
            )
            continue
        if isinstance(one, NotCompared):
            rows.append(MethodAgreement(result.id, Agreement.NOT_COMPARED, one))
            continue
        row = _row(result, one, scale[result.id])
        # What moves less than this is at rest, says the user.
        rows.append(row.judged(n_compared, tools.plan.config.alignment.eps_shift))
    return tuple(rows)


def _row(
    result: ExposureResult, compared: ExposureCompared, scale_arcsec: float
) -> MethodAgreement:
    assert result.correction is not None
    one = compared.difference
    dx, dy = (one.centre_arcsec / scale_arcsec).tolist()
    stated = float(np.sqrt(one.response @ result.correction.covariance @ one.response))
    return MethodAgreement(
        id=result.id,
        verdict=Agreement.AGREE,
        dx_px=dx,
        dy_px=dy,
        largest_px=one.largest_arcsec / scale_arcsec,
        error_px=one.error_arcsec / scale_arcsec,
        stated_px=stated / scale_arcsec,
        alone_px=compared.alone_arcsec / scale_arcsec,
        sigma=one.significance,
        n_sources=one.n_sources,
        n_apart=one.n_apart,
        scatter_px=one.scatter_arcsec / scale_arcsec,
    )


def _measured(
    tools: Tools, last: PassSettings, state: LoopState, model: CorrelationMeasurement
) -> tuple[tuple[TaskOutcome, ...], tuple[TaskOutcome, ...]]:
    """Measure the last pass's exposures by both methods; return how the tasks of each ended."""
    there = _before(tools, last, state)
    assert state.mosaic is not None
    assert state.sources is not None
    told = told_sources(tools, last.number, state.mosaic, state.sources)
    tasks, to_model = (
        measure_tasks(tools, last, replace(there, sources=sources), seen_exposures(tools, state))
        for sources in (state.sources, told)
    )
    both = [_as_by(tools.plan.algorithms.measurement, task) for task in tasks]
    both += [_as_by(model, task) for task in to_model]
    outcomes = run_stage(tools, "compare", last.number, both)
    return outcomes[: len(tasks)], outcomes[len(tasks) :]


def _as_by(method: CorrelationMeasurement, task: MeasureTask) -> MeasureTask:
    """Return the task with another method, which looks no farther for sources."""
    radius_px = task.measurement.sizes.search_radius_px
    assert radius_px is not None  # every pass sets one
    return replace(task, measurement=method.searching(radius_px), history="")


def _before(tools: Tools, last: PassSettings, state: LoopState) -> LoopState:
    """Return the state with the exposures as the last pass measured them: that of the mosaic."""
    if last.number == 1:
        was = LoopState.at_start(tools.plan.exposures, tools.plan.algorithms.geometry)
    else:
        was = load_solved(tools, state, pass_name(last.number - 1))
    return replace(state, corrections=was.corrections, chips=was.chips, levels=was.levels)


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """An exposure as both methods see it."""

    exposure: PlannedExposure
    by_run: Factors
    by_model: Factors

    @classmethod
    def read(
        cls, tools: Tools, exposure: PlannedExposure, run: TaskOutcome, model: TaskOutcome
    ) -> _Pair:
        objects = RunLocations(tools.run).objects
        tables = (TableRef(outcome.product, outcome.checksum) for outcome in (run, model))
        return cls(exposure, *(Measured(exposure, table).read(objects, 0) for table in tables))

    @property
    def has_model(self) -> bool:
        """Whether the model placed anything at all."""
        return bool((self.by_model.use | self.by_model.held_out).any())


def _on_grid(
    tools: Tools, grid: MosaicGrid, state: LoopState, pairs: Sequence[_Pair]
) -> dict[str, ExposureCompared | NotCompared]:
    """Return what is known of the exposures of one grid, frozen and fixed ones left out."""
    held = tools.plan.held
    without = [one for one in pairs if not one.has_model]
    pairs = [one for one in pairs if one.has_model]
    known: dict[str, ExposureCompared | NotCompared] = {
        one.exposure.id: NotCompared.NO_MODEL for one in without
    }
    if pairs:
        fixed = tuple(i for i, one in enumerate(pairs) if one.exposure.id in held)
        algorithms = tools.plan.algorithms
        compare = MethodComparison(
            algorithms.clipping,
            FixedGauge(fixed) if fixed else MeanGauge(),
            algorithms.shared.start(algorithms.prior),
            tools.plan.config.run.seed,
        )
        differences = compare(
            [replace(one.by_run, exposure=i) for i, one in enumerate(pairs)],
            [replace(one.by_model, exposure=i) for i, one in enumerate(pairs)],
            [footprint_in(one.exposure, state.corrections[one.exposure.id], grid) for one in pairs],
        )
        alone = _apart_alone(tools, grid, state, pairs)
        for one, found, apart in zip(pairs, differences, alone, strict=True):
            known[one.exposure.id] = (
                NotCompared(found.reason.value)
                if isinstance(found, NotSolved)
                else ExposureCompared(found, apart)
            )
    return {name: found for name, found in known.items() if name not in held}


def _apart_alone(
    tools: Tools, grid: MosaicGrid, state: LoopState, pairs: Sequence[_Pair]
) -> list[float]:
    """Return how far corrections are apart that come of two solves, arcsec: as those of two runs.

    Which sources a solve trusts follows from their residuals: with few sources that do not agree
    among themselves, that moves corrections more than the measurements differ.
    """
    reference = grid_references(tools, state).get(grid.component)
    # As free as the last pass has left them: nothing is chosen any more.
    totals = [
        replace(state.pass_start[name], geometry=state.corrections[name].geometry)
        for name in (one.exposure.id for one in pairs)
    ]
    footprints = [
        footprint_in(one.exposure, total, grid) for one, total in zip(pairs, totals, strict=True)
    ]
    by_run, by_model = (
        SolveGroup(
            grid,
            tuple(one.exposure for one in pairs),
            tuple(_weighted(tools, factors, index) for index, factors in enumerate(method)),
            tuple(footprints),
            tuple(totals),
            tuple(state.chips_at_start.get(one.exposure.id) for one in pairs),
            tuple(scale_of(one.exposure) for one in pairs),
            tuple(state.floors_arcsec.get(one.exposure.id, 0.0) for one in pairs),
        )
        for method in ([one.by_run for one in pairs], [one.by_model for one in pairs])
    )
    fits = [jointly_fitted(tools, group, reference, None).fit for group in (by_run, by_model)]
    moved = [
        footprint.jacobian @ (fits[1].steps[i] - fits[0].steps[i])
        for i, footprint in enumerate(footprints)
    ]
    return [
        float(np.hypot(*one.T).max()) if all(fit.component[i] >= 0 for fit in fits) else math.nan
        for i, one in enumerate(moved)
    ]


def _weighted(tools: Tools, factors: Factors, index: int) -> Factors:
    factors = replace(factors, exposure=index).with_held_out()
    return factors if tools.plan.config.alignment.use_weights else equally_weighted(factors)
