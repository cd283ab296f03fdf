"""The end of a run: the final mosaic, corrected headers, tables and the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from alignsvc.domain.outcome import Convergence, Status, Verdict
from alignsvc.domain.result import ExposureResult, FitQuality
from alignsvc.io import journal
from alignsvc.io.agreement_table import agreement_to_ecsv
from alignsvc.io.catalogs import write_catalog
from alignsvc.io.control import remove_control
from alignsvc.io.corrections_table import corrections_to_ecsv
from alignsvc.io.exposure_planes import PlaneKind
from alignsvc.io.locations import (
    CONTRIBUTIONS,
    CORRECTIONS,
    HEADERS,
    METHOD_AGREEMENT,
    MOSAIC_FITS,
    MOSAIC_STORE,
    SOURCES,
    RunLocations,
)
from alignsvc.io.mosaic_fits import MosaicSource, export_mosaic
from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.io.places import Place
from alignsvc.run.finishing.headers import Destination, HeaderSettings
from alignsvc.run.finishing.mosaic_facts import final_standing, mosaic_facts
from alignsvc.run.finishing.sharpness import mosaic_sharpening, sharpness_notes
from alignsvc.run.finishing.unmodelled import unmodelled_notes
from alignsvc.run.finishing.unsettled import unsettled_notes
from alignsvc.run.finishing.writing_headers import Written, each_written
from alignsvc.run.loop.driver import LoopEnd, is_worth_writing, solved_passes
from alignsvc.run.loop.method_agreement import agreement_rows
from alignsvc.run.pictures.previewing import find_preview, keep_after, remove_thumbnails
from alignsvc.run.planning.failed_fraction import TooManyFailed
from alignsvc.run.planning.plan import PlannedExposure
from alignsvc.run.records import events
from alignsvc.run.records.result import PassSummary, RunResult
from alignsvc.run.records.state import RunState, fold
from alignsvc.run.reducer.levelling import level_notes
from alignsvc.run.report.pages import write_reports
from alignsvc.run.stages.exposure_results import exposure_results
from alignsvc.run.stages.loop_state import LoopState
from alignsvc.run.stages.mosaicking import EARLIER_GENERATION, Mosaic, Turn, make_mosaic, view_of
from alignsvc.run.stages.reference import flagged_sources, reference_notes
from alignsvc.run.stages.running import Tools
from alignsvc.tasks.merge import mosaic_store


def finish(tools: Tools, end: LoopEnd) -> RunResult:
    """Write everything that a run leaves for people, remove the rest; return its result."""
    mosaic = _final_mosaic(tools, end.state)
    mosaics = _exported(tools, mosaic, end) if mosaic is not None else ()
    results = exposure_results(tools.plan, end.state, end.verdicts)
    written = _headers(tools, end, results)
    locations = RunLocations(tools.run)
    tools.journal.require_ours()
    locations.objects.put(CORRECTIONS, corrections_to_ecsv(written.results))
    agreement = agreement_rows(tools, written.results, end.compared)
    if agreement:
        locations.objects.put(METHOD_AGREEMENT, agreement_to_ecsv(agreement))
    if end.state.sources is not None:
        write_catalog(flagged_sources(tools, end.state), locations.path(SOURCES))
    for note in (*end.state.chip_notes, *written.notes):
        tools.listener(events.Note(note))
    known = fold(tools.journal.events())
    sharper = mosaic_sharpening(tools.run, known)
    unseen = keep_after(tools, mosaic, sharper)
    result = RunResult(
        directory=tools.run,
        verdict=end.verdict,
        corrections=written.results,
        history=summaries(end.history),
        mosaic=mosaics,
        headers=written.files,
        notes=(
            *tools.plan.notes,
            *reference_notes(tools, end.state),
            *sharpness_notes(sharper),
            *unmodelled_notes(tools, end.state),
            *end.state.chip_notes,
            *level_notes(end.state),
            *unsettled_notes(end.verdict, written.results, tools.plan.config.alignment.eps_shift),
            *written.notes,
            *unseen,
        ),
        sharpening=sharper,
        preview=find_preview(tools.run),
        agreement=agreement,
        planned=known.planned,
        copies=tools.plan.copies,
    )
    tools.journal.require_ours()
    write_reports(tools, result)
    tools.journal.append(journal.Finished(int(result.exit_code)))
    tidy(tools.run, tools.plan.config.run.keep_mosaics)
    return result


def end_early(tools: Tools, error: TooManyFailed, known: RunState) -> RunResult:
    """Return, and report, a run that ends since too many exposures failed; it can go on later."""
    geometry = tools.plan.algorithms.geometry
    rows = tuple(
        ExposureResult(
            id=end.exposure,
            status=end.status,
            reason=end.reason,
            message=end.message,
            verdict=Verdict.UNTESTED,
            geometry=geometry,
            component=-1,
            is_reference=end.exposure == tools.plan.reference,
            correction=None,
            quality=FitQuality(),
            last_move_px=math.nan,
            passes=0,
        )
        for end in error.ended
    )
    result = RunResult(
        directory=tools.run,
        verdict=Convergence.RUNNING,
        corrections=rows,
        history=summaries(solved_passes(known)),
        mosaic=(),
        headers=(),
        notes=tools.plan.notes,
        ended_early=str(error),
        planned=known.planned,
    )
    write_reports(tools, result)
    return result


def summaries(passes: Sequence[events.PassSolved]) -> tuple[PassSummary, ...]:
    """Return the passes as a result tells of them."""
    return tuple(
        PassSummary(one.pass_number, one.is_full, one.movement_px, one.n_solved, one.n_sources)
        for one in passes
    )


def tidy(run: Place, keep_mosaics: str) -> None:
    """Remove what only a run that goes on needs: contributions, and what killed writers left."""
    locations = RunLocations(run)
    objects = locations.objects
    mosaics = MosaicStore(locations.path(MOSAIC_STORE))
    mosaics.remove_partial()
    if keep_mosaics != "all":
        mosaics.remove(EARLIER_GENERATION)
    if keep_mosaics == "none":
        objects.delete_below(f"{MOSAIC_STORE}/")
    remove_thumbnails(objects)
    remove_control(objects)
    objects.remove_partial()
    objects.delete_below(CONTRIBUTIONS)  # last: while they are there, the rest may be too


def is_tidy(run: Place) -> bool:
    """Return whether nothing is left to `tidy` of a run that has ended."""
    return CONTRIBUTIONS.removesuffix("/") not in RunLocations(run).objects.folders("")


def _final_mosaic(tools: Tools, state: LoopState) -> Mosaic | None:
    """Make the mosaic with the final corrections; return it.

    None if nobody asked for it, or nobody is in it.
    """
    members = _members(tools, state)
    if not members or not tools.plan.leaves_mosaic:
        return None
    views = {one.id: view_of(tools, one, final_standing(one.id, state)) for one in members}
    turn = Turn(0, state.next_generation, is_detected=False)
    return make_mosaic(tools, turn, members, views, state.mosaic).mosaic


def _members(tools: Tools, state: LoopState) -> tuple[PlannedExposure, ...]:
    """Return the exposures of the final mosaic: the aligned ones, and skipped ones if asked."""
    skipped = tools.plan.config.mosaic.include_skipped
    return tuple(
        one
        for one in tools.plan.exposures
        if one.id not in state.ended or (skipped and state.ended[one.id].status is Status.SKIPPED)
    )


def _exported(tools: Tools, mosaic: Mosaic, end: LoopEnd) -> tuple[Place, ...]:
    """Write one FITS file a component, if asked for: mosaic.fits, mosaic_1.fits, ..."""
    if tools.plan.config.output.mosaic == "none":
        return ()
    locations, paths = RunLocations(tools.run), []
    for grid in tools.plan.grids:
        suffix = f"_{grid.component}.fits" if grid.component else ".fits"
        path = locations.path(MOSAIC_FITS.removesuffix(".fits") + suffix)
        tools.journal.require_ours()
        source = MosaicSource(mosaic_store(tools.run), mosaic.generation, grid.component)
        export_mosaic(source, mosaic_facts(tools.plan, end, mosaic, grid.component), path)
        paths.append(path)
    return tuple(paths)


def _headers(tools: Tools, end: LoopEnd, results: Sequence[ExposureResult]) -> Written:
    """Write corrected headers of the aligned exposures, unless the loop did not converge."""
    output = tools.plan.config.output
    if output.wcs == "none":
        return Written(tuple(results), (), ())
    if not is_worth_writing(end, write_unconverged=output.write_unconverged):
        note = (
            f"the loop ended {end.verdict.value}: no headers were written; "
            "set output.write_unconverged: true to have them"
        )
        return Written(tuple(results), (), (note,))
    settings = HeaderSettings(
        Destination(output.wcs),
        RunLocations(tools.run).path(HEADERS),
        output.wcs_name,
        tools.plan.run_id,
        tuple(PlaneKind(kind) for kind in output.also),
    )
    headers = {one.id: one.header for one in tools.plan.moving}
    written = each_written(tools, results, headers, settings)
    if tools.plan.earlier is None or not tools.plan.earlier.is_frozen:
        return written
    note = (
        f"headers of frozen exposures are as {tools.plan.earlier.directory} left them; "
        f"`alignsvc apply {tools.run}` writes those of all"
    )
    return replace(written, notes=(*written.notes, note))
