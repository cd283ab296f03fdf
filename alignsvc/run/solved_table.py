"""The table that each solved pass leaves: all that the loop needs to go on from there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.correction import Correction
from alignsvc.domain.result import FitQuality
from alignsvc.io import journal
from alignsvc.io.locations import TABLES, RunLocations
from alignsvc.io.tables import read_table, write_table
from alignsvc.run import events
from alignsvc.run.passes import LoopState
from alignsvc.run.stages import Tools


@dataclass(frozen=True, slots=True, eq=False)
class SolvedTable:
    """A row for each exposure of the loop, in order of id.

    Parameters
    ----------
    id : array of str, shape (n,)
    parameters : float64, shape (n, 6)
        Of the total correction.
    covariance : float64, shape (n, 6, 6)
    n_sources, n_used, component, passes : int64, shape (n,)
        `component` is -1 for an exposure that was never solved.
    rmse_px, mae_px, move_px : float64, shape (n,)
        NaN where not solved; `move_px` NaN where not solved in this pass.
    displacements : array of str, shape (n,)
        Name of the table of the last measurement, empty if none.
    """

    id: NDArray[Any]
    parameters: FloatArray
    covariance: FloatArray
    n_sources: IntArray
    n_used: IntArray
    component: IntArray
    passes: IntArray
    rmse_px: FloatArray
    mae_px: FloatArray
    move_px: FloatArray
    displacements: NDArray[Any]


def _name(pass_number: int) -> str:
    return f"{TABLES}solved/pass-{pass_number:04d}.npz"


def save_solved(tools: Tools, state: LoopState, solved: events.PassSolved) -> None:
    """Write the table of a pass, then say so in the journal."""
    names = sorted(state.corrections)
    quality = [state.quality.get(name, FitQuality()) for name in names]
    totals = [state.corrections[name] for name in names]
    nan = float("nan")
    table = SolvedTable(
        id=np.array(names),
        parameters=np.array([total.parameters for total in totals]),
        covariance=np.array([total.covariance for total in totals]),
        n_sources=np.array([q.n_sources for q in quality]),
        n_used=np.array([q.n_used for q in quality]),
        component=np.array([state.component.get(name, -1) for name in names]),
        passes=np.array([state.passes.get(name, 0) for name in names]),
        rmse_px=np.array([q.rmse_px for q in quality]),
        mae_px=np.array([q.mae_px for q in quality]),
        move_px=np.array([state.moves_px.get(name, nan) for name in names]),
        displacements=np.array([state.displacements.get(name, "") for name in names]),
    )
    name = _name(solved.pass_number)
    checksum = write_table(RunLocations(tools.run).objects, name, table)
    tools.journal.append(
        journal.Solved(solved.pass_number, name, checksum, solved.movement_px, solved.n_solved)
    )


def load_solved(tools: Tools, state: LoopState, pass_number: int) -> LoopState:
    """Return `state` with corrections and qualities as they were after a pass."""
    table = read_table(RunLocations(tools.run).objects, _name(pass_number), SolvedTable)
    names = [str(name) for name in table.id]
    geometry = tools.plan.algorithms.geometry
    corrections = {
        name: Correction.from_parameters(
            state.corrections[name].plane, table.parameters[row], geometry, table.covariance[row]
        )
        for row, name in enumerate(names)
    }
    rows = list(enumerate(names))
    return replace(
        state,
        corrections=corrections,
        quality={
            name: FitQuality(
                int(table.n_sources[row]),
                int(table.n_used[row]),
                float(table.rmse_px[row]),
                float(table.mae_px[row]),
            )
            for row, name in rows
            if table.passes[row]
        },
        moves_px={
            name: float(table.move_px[row]) for row, name in rows if np.isfinite(table.move_px[row])
        },
        component={name: int(table.component[row]) for row, name in rows if table.passes[row]},
        passes={name: int(table.passes[row]) for row, name in rows if table.passes[row]},
        displacements={
            name: str(table.displacements[row]) for row, name in rows if table.displacements[row]
        },
    )
