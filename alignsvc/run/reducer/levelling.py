"""Flux scales and skies of all exposures, from what each measured against the mosaic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.exposure import AS_RECORDED, ExposureLevel
from alignsvc.domain.grid import MosaicGrid
from alignsvc.io.locations import RunLocations
from alignsvc.io.tables import read_table
from alignsvc.numerics.solve.relative_levels import LevelRows
from alignsvc.numerics.sources.level_measurement import MeasuredLevels
from alignsvc.run.planning.plan import PlannedExposure
from alignsvc.run.records import events
from alignsvc.run.reducer.solve_group import Measured
from alignsvc.run.stages.loop_state import LoopState
from alignsvc.run.stages.running import Tools
from alignsvc.wording import counted

#: Change of a flux scale that is worth making an exposure's part of the mosaic again. Less moves
#: no source, and is what seeing does to an aperture.
LEAST_FLUX_CHANGE = 0.01
#: The same for a sky, in units of the noise of a pixel.
LEAST_SKY_CHANGE = 0.05
#: And so many of its errors.
_SIGNIFICANT = 3.0


def levelled(tools: Tools, measured: Sequence[Measured], state: LoopState) -> LoopState:
    """Return the state with flux scales and skies as the last measurement wants them.

    Those that would hardly change stay as they are, to the bit, so that nothing is made anew for
    them. The median exposure of each component keeps its own.
    """
    found: dict[str, ExposureLevel] = {}
    for grid in tools.plan.grids:
        own = [one for one in measured if one.exposure.component == grid.component]
        if len(own) > 1:
            found |= _of_grid(tools, grid, own, state)
    changed = [
        level.flux_scale / state.level_of(name).flux_scale
        for name, level in found.items()
        if level.flux_scale != state.level_of(name).flux_scale
    ]
    if changed:
        tools.listener(
            events.Note(
                f"flux scales changed so that exposures agree, of {len(changed)} by "
                f"{_factors(changed)}"
            )
        )
    levels = {**state.levels, **found}
    return replace(
        state, levels={name: level for name, level in levels.items() if level != AS_RECORDED}
    )


def level_notes(state: LoopState) -> tuple[str, ...]:
    """Return what the user should know of flux scales that headers have wrong."""
    scales = [level.flux_scale for level in state.levels.values() if level.flux_scale != 1.0]
    if not scales:
        return ()
    return (
        f"{counted(len(scales), 'exposure was', 'exposures were')} put on the others' flux scale "
        f"by {_factors(scales)} (column flux_scale): what exposure times and zero points say, "
        "other filters or clouds",
    )


def _factors(scales: Sequence[float]) -> str:
    least, most = (f"{scale:.3g}" for scale in (min(scales), max(scales)))
    return f"a factor of {least}" if least == most else f"factors of {least} to {most}"


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """New totals and their errors, each exposure's in its component's gauge."""

    total: FloatArray
    error: FloatArray

    def taken(self, before: FloatArray, least: FloatArray) -> FloatArray:
        """Return the totals where they are news, else those of before."""
        step = np.abs(self.total - before)
        news = (step > least) & (step > _SIGNIFICANT * self.error)
        return np.where(news, self.total, before)


def _of_grid(
    tools: Tools, grid: MosaicGrid, own: Sequence[Measured], state: LoopState
) -> dict[str, ExposureLevel]:
    objects = RunLocations(tools.run).objects
    tables = [read_table(objects, one.levels, MeasuredLevels) for one in own]
    before = [state.level_of(one.exposure.id) for one in own]
    solver = tools.plan.algorithms.level_solver
    n = len(own)
    fluxes = solver(_rows([(t.source, t.log_ratio, t.log_variance) for t in tables]), n)
    skies = solver(_rows([(t.patch, t.sky, t.sky_variance) for t in tables]), n)
    log_scale = np.log([level.flux_scale for level in before])
    before_scale = log_scale
    frozen = np.array([one.exposure.is_frozen for one in own])
    total = fluxes.in_gauge(log_scale - fluxes.value, before_scale, frozen)
    found = _Steps(total, fluxes.error)
    log_scale = found.taken(before_scale, np.full(n, LEAST_FLUX_CHANGE))
    # Skies are compared per grid pixel, as they were when they were measured.
    unit = np.array([_grid_unit(grid, one.exposure, state) for one in own])
    offset = np.array([level.sky_offset for level in before])
    total = skies.in_gauge(offset * unit + skies.value, offset * unit, frozen)
    found = _Steps(total, skies.error)
    noise = np.array([float(np.median(t.noise)) if len(t.noise) else np.inf for t in tables])
    # One that is about to become brighter compares with the others by its noise then.
    noise *= np.maximum(1.0, np.exp(log_scale - before_scale))
    offset = found.taken(offset * unit, LEAST_SKY_CHANGE * noise) / unit
    return {
        one.exposure.id: ExposureLevel(float(scale), float(sky))
        for one, scale, sky in zip(own, np.exp(log_scale), offset, strict=True)
        if not one.exposure.is_frozen
    }


def _rows(columns: Sequence[tuple[IntArray, FloatArray, FloatArray]]) -> LevelRows:
    """Return the rows of all exposures: where, value, variance of each."""
    return LevelRows(
        np.concatenate([np.full(len(place), index) for index, (place, _, _) in enumerate(columns)]),
        *(np.concatenate([column[k] for column in columns]) for k in range(3)),
    )


def _grid_unit(grid: MosaicGrid, exposure: PlannedExposure, state: LoopState) -> float:
    """Return what one unit of a pixel is in a grid pixel, on the run's flux scale."""
    area = (exposure.header.wcs[0].pixel_scale_arcsec / grid.scale_arcsec) ** 2
    scale = exposure.header.flux_scale * state.level_of(exposure.id).flux_scale
    return scale / area
