"""The table that each solve leaves: with the journal, all that the loop needs to go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.colour_term import ColourTerm
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.exposure import ExposureLevel
from alignsvc.domain.result import FitQuality
from alignsvc.domain.task import TableRef
from alignsvc.errors import DamagedProduct, RunStoreError
from alignsvc.io.locations import TABLES, RunLocations
from alignsvc.io.tables import read_table, write_table
from alignsvc.run.records.state import Settled
from alignsvc.run.stages.cataloguing import SourceTables
from alignsvc.run.stages.chip_table import ApartColumns, chip_columns, chips_of
from alignsvc.run.stages.loop_state import KnownRays, LoopState
from alignsvc.run.stages.mosaicking import load_mosaic
from alignsvc.run.stages.running import Tools


@dataclass(frozen=True, slots=True, eq=False)
class SolvedTable:
    """A row for each exposure of the loop, in order of id.

    Parameters
    ----------
    id : array of str, shape (n,)
    geometry : array of str, shape (n,)
        How free the correction is.
    parameters : float64, shape (n, 6)
        Of the total correction.
    covariance : float64, shape (n, 6, 6)
    pass_start : float64, shape (n, 6)
        Parameters of the total with which the pass began.
    n_sources, n_used, n_held_out, component, passes : int64, shape (n,)
        `component` is -1 for an exposure that was never solved.
    rmse_px, mae_px, move_px : float64, shape (n,)
        NaN where not solved; `move_px` NaN where not solved in this pass.
    last_movement_px : float64, shape (1,)
        Of the pass before.
    displacements, factors : array of str, shape (n,)
        Names of the tables of the last measurement, empty if none.
    moving : int64, shape (m,)
        Ids of the sources that were left out because they move.
    rays, rays_checksum : array of str, shape (n,)
        Table of its cosmic rays, and the checksum of that; empty if nobody looked for any.
    rays_pass : int64, shape (n,)
        The pass in which they were found, 0 if nobody looked.
    chip_owner : int64, shape (k,)
        Row of the exposure of each chip that has an offset, chip after chip.
    chip_shift, chip_start : float64, shape (k, 2)
        `ChipShifts.shift`, now and when the pass began.
    chip_covariance : float64, shape (k, 6, 6)
    chip_notes : array of str, shape (l,)
    flux_scale, sky_offset : float64, shape (n,)
        Of its `ExposureLevel`.
    colour_shift_mas, colour_error_mas : float64, shape (n, 2)
        Of its `ColourTerm`; NaN where none was fitted.
    apart_owner : int64, shape (j,)
        Row of the exposure of each of its `ChipApart`.
    apart_name : array of str, shape (j,)
    apart_offset_px : float64, shape (j, 2)
    apart_error_px : float64, shape (j,)
    floor_arcsec : float64, shape (n,)
        What its sources disagree by on top of their errors; 0 where not solved.
    """

    id: NDArray[Any]
    geometry: NDArray[Any]
    parameters: FloatArray
    covariance: FloatArray
    pass_start: FloatArray
    n_sources: IntArray
    n_used: IntArray
    n_held_out: IntArray
    component: IntArray
    passes: IntArray
    rmse_px: FloatArray
    mae_px: FloatArray
    move_px: FloatArray
    last_movement_px: FloatArray
    displacements: NDArray[Any]
    factors: NDArray[Any]
    moving: IntArray
    rays: NDArray[Any]
    rays_checksum: NDArray[Any]
    rays_pass: IntArray
    chip_owner: IntArray
    chip_shift: FloatArray
    chip_start: FloatArray
    chip_covariance: FloatArray
    chip_notes: NDArray[Any]
    flux_scale: FloatArray
    sky_offset: FloatArray
    colour_shift_mas: FloatArray
    colour_error_mas: FloatArray
    apart_owner: IntArray
    apart_name: NDArray[Any]
    apart_offset_px: FloatArray
    apart_error_px: FloatArray
    floor_arcsec: FloatArray

    def quality_of(self, row: int) -> FitQuality:
        """Return how good the fit of an exposure was."""
        return FitQuality(
            int(self.n_sources[row]),
            int(self.n_used[row]),
            float(self.rmse_px[row]),
            float(self.mae_px[row]),
            int(self.n_held_out[row]),
        )


#: Rows of a table, with the exposure of each.
Rows: TypeAlias = Sequence[tuple[int, str]]
#: How an exposure stands in the table that nobody looked at for rays.
_NO_RAYS = KnownRays(TableRef("", ""), 0)
#: How an exposure stands in the table for which no colour term was fitted.
_NO_TERM = ColourTerm((np.nan, np.nan), (np.nan, np.nan))


def pass_name(pass_number: int) -> str:
    """Return the name of the table of a pass."""
    return f"{TABLES}solved/pass-{pass_number:04d}.npz"


def step_name(pass_number: int, generation: int) -> str:
    """Return the name of the table of one turn of a pass, solved from one mosaic."""
    return f"{TABLES}solved/pass-{pass_number:04d}-generation-{generation:04d}.npz"


def rays_name(pass_number: int) -> str:
    """Return the name of the table of a pass when its cosmic rays were found."""
    return f"{TABLES}solved/pass-{pass_number:04d}-rays.npz"


def write_solved(tools: Tools, state: LoopState, name: str) -> str:
    """Write a state's table; return its checksum."""
    tools.journal.require_ours()
    names = sorted(state.corrections)
    quality = [state.quality.get(name, FitQuality()) for name in names]
    totals = [state.corrections[name] for name in names]
    rays = [state.rays.get(name, _NO_RAYS) for name in names]
    levels = [state.level_of(name) for name in names]
    terms = [state.colour_terms.get(name, _NO_TERM) for name in names]
    nan = float("nan")
    chips = chip_columns(names, state.chips, state.chips_at_start)
    apart = ApartColumns.of(names, state.chips_apart)
    table = SolvedTable(
        id=np.array(names),
        geometry=np.array([total.geometry.value for total in totals]),
        parameters=np.array([total.parameters for total in totals]),
        covariance=np.array([total.covariance for total in totals]),
        pass_start=np.array([state.pass_start[name].parameters for name in names]),
        n_sources=np.array([q.n_sources for q in quality]),
        n_used=np.array([q.n_used for q in quality]),
        n_held_out=np.array([q.n_held_out for q in quality]),
        component=np.array([state.component.get(name, -1) for name in names]),
        passes=np.array([state.passes.get(name, 0) for name in names]),
        rmse_px=np.array([q.rmse_px for q in quality]),
        mae_px=np.array([q.mae_px for q in quality]),
        move_px=np.array([state.moves_px.get(name, nan) for name in names]),
        last_movement_px=np.array([state.last_movement_px]),
        displacements=np.array([state.displacements.get(name, "") for name in names]),
        factors=np.array([state.factors.get(name, "") for name in names]),
        moving=np.array(state.moving, np.int64),
        rays=np.array([found.table.name for found in rays]),
        rays_checksum=np.array([found.table.checksum for found in rays]),
        rays_pass=np.array([found.pass_number for found in rays]),
        chip_owner=chips.owner,
        chip_shift=chips.shift,
        chip_start=chips.start,
        chip_covariance=chips.covariance,
        chip_notes=np.array(state.chip_notes, str),
        flux_scale=np.array([level.flux_scale for level in levels]),
        sky_offset=np.array([level.sky_offset for level in levels]),
        colour_shift_mas=np.array([term.shift_mas for term in terms]),
        colour_error_mas=np.array([term.error_mas for term in terms]),
        apart_owner=apart.owner,
        apart_name=apart.name,
        apart_offset_px=apart.offset_px,
        apart_error_px=apart.error_px,
        floor_arcsec=np.array([state.floors_arcsec.get(name, 0.0) for name in names]),
    )
    return write_table(RunLocations(tools.run).objects, name, table)


def load_solved(tools: Tools, state: LoopState, name: str, checksum: str = "") -> LoopState:
    """Return `state` with corrections and qualities as in a table.

    What else it says stays: sources, mosaic, and who ended.

    Parameters
    ----------
    tools : Tools
    state : LoopState
    name, checksum : str
        Of the table; an empty checksum is not compared.
    """
    table = _read(tools, name, checksum)
    rows = list(enumerate(str(exposure) for exposure in table.id))
    solved = [(row, exposure) for row, exposure in rows if table.passes[row]]
    return replace(
        state,
        corrections=_totals(tools, table, table.parameters, table.covariance),
        pass_start=_totals(tools, table, table.pass_start, np.zeros_like(table.covariance)),
        quality={exposure: table.quality_of(row) for row, exposure in solved},
        moves_px={
            exposure: float(table.move_px[row])
            for row, exposure in rows
            if np.isfinite(table.move_px[row])
        },
        last_movement_px=float(table.last_movement_px[0]),
        component={
            exposure: int(table.component[row])
            for row, exposure in rows
            if table.component[row] >= 0  # a frozen one has it though it is never solved
        },
        passes={exposure: int(table.passes[row]) for row, exposure in solved},
        displacements=_names(rows, table.displacements),
        factors=_names(rows, table.factors),
        moving=tuple(table.moving.tolist()),
        rays=_rays(rows, table),
        chips=chips_of(table.id, table.chip_owner, table.chip_shift, table.chip_covariance),
        chips_at_start=chips_of(
            table.id, table.chip_owner, table.chip_start, np.zeros_like(table.chip_covariance)
        ),
        chip_notes=tuple(str(note) for note in table.chip_notes),
        levels=_levels(rows, table),
        colour_terms=_colour_terms(rows, table),
        chips_apart=ApartColumns(
            table.apart_owner, table.apart_name, table.apart_offset_px, table.apart_error_px
        ).by_exposure(table.id),
        floors_arcsec={exposure: float(table.floor_arcsec[row]) for row, exposure in solved},
    )


def _read(tools: Tools, name: str, checksum: str) -> SolvedTable:
    try:
        return read_table(RunLocations(tools.run).objects, name, SolvedTable, checksum)
    except DamagedProduct as error:  # which no task has made
        raise RunStoreError(
            f"what a pass solved cannot be read ({error}): restore {name}, or start a new run"
        ) from error


def restored(tools: Tools, settled: Settled) -> LoopState:
    """Return the state that the last solve left, as the driver that solved it had it.

    Raises
    ------
    RunStoreError
        Something of it is missing or damaged.
    """
    geometry = tools.plan.algorithms.geometry
    state = LoopState.at_start(tools.plan.exposures, geometry)
    if settled.solution is None:
        return state
    state = load_solved(tools, state, settled.solution.table, settled.solution.digest)
    return replace(
        state,
        ended=dict(settled.ended),
        sources=None if settled.sources is None else SourceTables.from_event(settled.sources),
        mosaic=None if settled.generation is None else load_mosaic(tools, settled.generation),
    )


def _rays(rows: Rows, table: SolvedTable) -> dict[str, KnownRays]:
    return {
        exposure: KnownRays(
            TableRef(str(table.rays[row]), str(table.rays_checksum[row])),
            int(table.rays_pass[row]),
        )
        for row, exposure in rows
        if table.rays[row]
    }


def _levels(rows: Rows, table: SolvedTable) -> dict[str, ExposureLevel]:
    return {
        exposure: ExposureLevel(float(table.flux_scale[row]), float(table.sky_offset[row]))
        for row, exposure in rows
        if table.flux_scale[row] != 1.0 or table.sky_offset[row] != 0.0
    }


def _colour_terms(rows: Rows, table: SolvedTable) -> dict[str, ColourTerm]:
    return {
        exposure: ColourTerm(_two(table.colour_shift_mas[row]), _two(table.colour_error_mas[row]))
        for row, exposure in rows
        if np.isfinite(table.colour_shift_mas[row]).all()
    }


def _two(numbers: FloatArray) -> tuple[float, float]:
    east, north = numbers.tolist()
    return (east, north)


def _names(rows: Rows, column: NDArray[Any]) -> dict[str, str]:
    return {exposure: str(column[row]) for row, exposure in rows if column[row]}


def _totals(
    tools: Tools, table: SolvedTable, parameters: FloatArray, covariance: FloatArray
) -> dict[str, Correction]:
    planes = {one.id: one.plane for one in tools.plan.exposures}
    return {
        str(name): Correction.from_parameters(
            planes[str(name)], parameters[row], Geometry(str(table.geometry[row])), covariance[row]
        )
        for row, name in enumerate(table.id)
    }
