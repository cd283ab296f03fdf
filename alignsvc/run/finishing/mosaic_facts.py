"""What a run knows of its final mosaic, for the header of ``mosaic.fits``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from alignsvc.domain.correction import Correction
from alignsvc.io.mosaic_header import MosaicFacts, MosaicInputs
from alignsvc.run.loop.driver import LoopEnd
from alignsvc.run.planning.plan import Plan, PlannedExposure
from alignsvc.run.stages.loop_state import LoopState
from alignsvc.run.stages.mosaicking import Mosaic
from alignsvc.run.stages.standing import Standing


def final_standing(exposure: str, state: LoopState) -> Standing:
    """Return where an exposure stands in the end; one that ended keeps its header's WCS."""
    found = state.standing_of(exposure)
    if exposure not in state.ended:
        return found
    total = found.correction
    input_wcs = Correction.identity(total.plane, total.geometry)
    return replace(found, correction=input_wcs, chip_shifts=())


def mosaic_facts(plan: Plan, end: LoopEnd, mosaic: Mosaic, component: int) -> MosaicFacts:
    """Return what is known of one component of the final mosaic.

    Frozen exposures of a run that is extended are in it too, those that nobody read as well.
    """
    made_of = (one for one in plan.exposures if one.id in mosaic.contributions)
    members = sorted(
        (one for one in (*made_of, *plan.idle) if one.component == component),
        key=lambda one: one.id,
    )
    chips = [chip for one in members for chip in one.header.chips]
    return MosaicFacts(
        run_id=plan.run_id,
        verdict=end.verdict.value,
        eps_shift_px=plan.config.alignment.eps_shift,
        n_passes=len(end.history),
        resampler=plan.config.mosaic.resampler.name,
        sky=plan.config.images.sky.name,
        units=_only(chip.units for chip in chips),
        has_zero_points=bool(chips) and all(chip.zero_point is not None for chip in chips),
        telescope=_only(one.header.telescope for one in members),
        instrument=_only(one.header.instrument for one in members),
        inputs=_inputs(members, end.state),
    )


def _inputs(members: list[PlannedExposure], state: LoopState) -> MosaicInputs:
    standing = [_standing(one, state) for one in members]
    scales = [
        one.header.flux_scale * where.level.flux_scale
        for one, where in zip(members, standing, strict=True)
    ]
    gains = [one.header.chips[0].gain for one in members]
    shifts = [where.correction.shift for where in standing]
    return MosaicInputs(
        id=np.array([one.id for one in members], str),
        filter_name=np.array([one.header.filter_name for one in members], str),
        mid_time_mjd=_numbers(one.header.mid_time_mjd for one in members),
        exposure_time_s=_numbers(
            one.header.exposure_time_s if one.header.chips[0].has_exposure_time else None
            for one in members
        ),
        flux_scale=_numbers(scales),
        gain=_numbers(gains) / _numbers(scales),
        east_arcsec=_numbers(shift[0] for shift in shifts),
        north_arcsec=_numbers(shift[1] for shift in shifts),
        rotation_deg=_numbers(where.correction.rotation_deg for where in standing),
    )


def _standing(one: PlannedExposure, state: LoopState) -> Standing:
    """Return where an exposure stands; one that nobody read, as the earlier run left it."""
    if one.id in state.corrections:
        return final_standing(one.id, state)
    assert one.known is not None
    return Standing(one.known.total, (), one.known.level, None)


def _numbers(values: Iterable[float | None]) -> np.ndarray:
    return np.array([math.nan if one is None else one for one in values], np.float64)


def _only(names: Iterable[str]) -> str:
    """Return the one name that all have; empty if they differ."""
    found = set(names)
    return found.pop() if len(found) == 1 else ""
