"""``method: both``: after the loop each exposure is measured once more, by the model.

The corrections are those of the correlation, bit for bit those of a run without the comparison.
When the loop has ended, the mosaic, the sources and the exposures' states of the last pass are
measured by both methods: by the correlation once more only if the pass measured otherwise (the
first one does), as a task that has a receipt is not done again. Nothing else is stored: whoever
resumes finds the receipts of both, and solves the same numbers.
"""

from __future__ import annotations

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
from alignsvc.run.loop_state import LoopState
from alignsvc.run.passes import PassSettings, measure_tasks, seen_exposures
from alignsvc.run.plan import PlannedExposure
from alignsvc.run.reducer.solve_group import Measured, footprint_in
from alignsvc.run.solved_table import load_solved, pass_name
from alignsvc.run.stages import Tools, run_stage
from alignsvc.tasks.measure import MeasureTask

#: What is known of an exposure that was measured by both methods, or why there is nothing.
Compared = Mapping[str, MethodDifference | NotCompared]


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
    mapping of exposure id to MethodDifference or NotCompared
        Empty unless the configuration asks for it. Exposures that were not measured are not in it.
    """
    model = tools.plan.algorithms.comparison
    if model is None or last is None or state.mosaic is None or state.sources is None:
        return {}
    exposures = seen_exposures(tools, state)
    by_run, by_model = _measured(tools, last, state, model)
    found: dict[str, MethodDifference | NotCompared] = {
        one.id: NotCompared.FAILED for one in exposures
    }
    pairs = [
        _Pair.read(tools, one, *both)
        for one, *both in zip(exposures, by_run, by_model, strict=True)
        if all(outcome.is_ok for outcome in both)
    ]
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
    n_compared = sum(isinstance(one, MethodDifference) for one in found.values())
    scale = {one.id: one.header.wcs[0].pixel_scale_arcsec for one in tools.plan.exposures}
    rows = []
    for result in results:
        one = found.get(result.id, NotCompared.HOLDS_FRAME)
        if result.status is not Status.ALIGNED or result.correction is None:
            one = NotCompared.NOT_ALIGNED
        if isinstance(one, NotCompared):
            rows.append(MethodAgreement(result.id, Agreement.NOT_COMPARED, one))
            continue
        row = _row(result, one, scale[result.id])
        # What moves less than this is at rest, says the user.
        rows.append(row.judged(n_compared, tools.plan.config.alignment.eps_shift))
    return tuple(rows)


def _row(result: ExposureResult, one: MethodDifference, scale_arcsec: float) -> MethodAgreement:
    assert result.correction is not None
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
    tasks = measure_tasks(tools, last, there, seen_exposures(tools, state))
    methods = (tools.plan.algorithms.measurement, model)
    both = [_as_by(method, task) for method in methods for task in tasks]
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
) -> dict[str, MethodDifference | NotCompared]:
    """Return what is known of the exposures of one grid, frozen and fixed ones left out."""
    held = tools.plan.held
    without = [one for one in pairs if not one.has_model]
    pairs = [one for one in pairs if one.has_model]
    known: dict[str, MethodDifference | NotCompared] = {
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
        for one, found in zip(pairs, differences, strict=True):
            known[one.exposure.id] = (
                NotCompared(found.reason.value) if isinstance(found, NotSolved) else found
            )
    return {name: found for name, found in known.items() if name not in held}
