"""What Python users and the command line call."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsvc.building_blocks import (
    DisplacementSettings,
    LinearFitSettings,
    find_displacement,
    find_linear_fit,
    fit_scene,
)
from alignsvc.config.load import load_config, read_yaml
from alignsvc.config.schema import Config, RunSection
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.outcome import Status
from alignsvc.domain.result import ExposureResult
from alignsvc.errors import ConfigError, DamagedProduct
from alignsvc.io.corrections_table import read_corrections
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.header_files import revert as revert_file
from alignsvc.io.header_files import update_image_wcs
from alignsvc.io.locations import CORRECTIONS, REPORT_JSON, RunLocations
from alignsvc.io.places import Place, place_of, run_place
from alignsvc.io.simulated_files import read_truth
from alignsvc.numerics.models.scene_input import SceneExposure, SceneSources
from alignsvc.numerics.models.scene_settings import SceneSettings
from alignsvc.numerics.sky.corrected import corrected
from alignsvc.numerics.sky.corrected import corrected as correct_wcs
from alignsvc.numerics.solve.linear_fit import LinearFit, LinearFitter
from alignsvc.run import attaching, events, service, stored
from alignsvc.run.applying import Target, apply_run, each_written
from alignsvc.run.applying import apply_from as put_on_files
from alignsvc.run.applying import destination as target_of
from alignsvc.run.cancelling import Cancellation, cancel_run
from alignsvc.run.checking import checked
from alignsvc.run.cleaning import Cleaning, clean_run
from alignsvc.run.describing import describe
from alignsvc.run.explaining import Explanation, explain_exposure
from alignsvc.run.listing import ListedRun
from alignsvc.run.listing import list_runs as runs_below
from alignsvc.run.plan import Plan
from alignsvc.run.report.pulls import Pulls, find_pulls
from alignsvc.run.result import RunResult
from alignsvc.run.retrying import retry_failed
from alignsvc.run.scene_workers import SceneWorkers
from alignsvc.run.seeing.exposure_detail import (
    ExposureDetail,
    SourceResiduals,
    find_exposure_detail,
)
from alignsvc.run.seeing.mosaic_image import MosaicImage, SkySquare, find_mosaic_image
from alignsvc.run.seeing.picture import RunPicture, RunViewer
from alignsvc.run.service import RunOptions
from alignsvc.run.status import RunStatus
from alignsvc.run.submitting import Rehearsal, Submission
from alignsvc.run.submitting import rehearse as rehearse_config
from alignsvc.run.submitting import submit as submit_config
from alignsvc.run.watching import Looking, Seen, run_status, watched
from alignsvc.simulation.evaluate import evaluate as evaluate_against
from alignsvc.simulation.footprint_errors import footprint_errors
from alignsvc.simulation.settings import sky_settings
from alignsvc.simulation.simulate import simulate_to
from alignsvc.simulation.truth import from_json

if TYPE_CHECKING:  # an extra
    from alignsvc.dashboard.monitor import RunMonitor

__all__ = [
    "Cancellation",
    "Cleaning",
    "DisplacementSettings",
    "Explanation",
    "ExposureDetail",
    "LinearFit",
    "LinearFitSettings",
    "LinearFitter",
    "ListedRun",
    "MosaicImage",
    "Plan",
    "Pulls",
    "Rehearsal",
    "RunOptions",
    "RunPicture",
    "RunResult",
    "RunStatus",
    "SceneExposure",
    "SceneSettings",
    "SceneSources",
    "SceneWorkers",
    "Seen",
    "SkySquare",
    "SourceResiduals",
    "Submission",
    "Target",
    "align",
    "apply",
    "apply_from",
    "cancel",
    "check",
    "clean",
    "correct_wcs",
    "describe",
    "destination",
    "detail",
    "evaluate",
    "explain",
    "find_displacement",
    "find_linear_fit",
    "fit_scene",
    "list_runs",
    "look",
    "monitor",
    "pulls",
    "read_mosaic",
    "rehearse",
    "report",
    "residuals",
    "resume",
    "retry",
    "revert",
    "simulate",
    "status",
    "submit",
    "update_image_wcs",
    "watch",
]


def align(
    config: Config | Path | str,
    options: RunOptions | None = None,
    *,
    extend: Place | str | None = None,
    freeze: bool = False,
) -> RunResult:
    """Align the exposures that a configuration names.

    Parameters
    ----------
    config : Config, or path of a YAML file
    options : RunOptions or None
    extend : path, URL or None
        Where a finished run lies: its exposures join, and the loop begins with its corrections.
        It is only read.
    freeze : bool
        Whether its corrections stay as they are and hold the frame.

    Raises
    ------
    ConfigError, RunStoreError
        See `alignsvc.errors` for what to do about each.
    """
    options = options or RunOptions()
    whole = _extending(_loaded(config, options.overrides), extend, freeze=freeze)
    return attaching.begin(whole, options)


def check(
    config: Config | Path | str,
    overrides: tuple[str, ...] = (),
    *,
    extend: Place | str | None = None,
    freeze: bool = False,
    listener: events.Listener = events.silent,
) -> Plan:
    """Return what a run would do; nothing is written. Parameters as of `align`.

    The listener hears how far the reading of headers is.

    Raises
    ------
    ConfigError
        A mistake in the configuration, no usable exposure, or tasks that cannot fit into memory;
        or the directory holds another run, or something else.
    RunStoreError
        The directory cannot be used.
    """
    whole = _extending(_loaded(config, overrides), extend, freeze=freeze)
    return checked(whole, listener)


def submit(config: Config | Path | str, options: RunOptions | None = None) -> Submission:
    """Hand a run in and return at once: its driver goes on where it outlives this process.

    The same configuration again attaches to the run that there is, and gives it a driver if it
    has none. Parameters as of `align`; the number of workers is the configuration's.

    Raises
    ------
    ConfigError, RunStoreError, ResourceError
        As of `align`; or nothing takes the driver.
    """
    options = options or RunOptions()
    return submit_config(_loaded(config, options.overrides), options)


def rehearse(
    config: Config | Path | str,
    overrides: tuple[str, ...] = (),
    *,
    listener: events.Listener = events.silent,
) -> Rehearsal:
    """Return what `submit` would do, scripts of its jobs included; nothing is written.

    The listener hears how far the reading of headers is.

    Raises
    ------
    ConfigError, RunStoreError
        As of `check`.
    """
    return rehearse_config(_loaded(config, overrides), listener)


def resume(run: Place | str, options: RunOptions | None = None) -> RunResult:
    """Go on with a run that was stopped; a finished one is only read, a driven one followed."""
    return attaching.resume(_run(run), options or RunOptions())


def retry(run: Place | str, options: RunOptions | None = None) -> RunResult:
    """Try the failed exposures of a run again; see `alignsvc.run.retrying` for what that means."""
    return retry_failed(_run(run), options or RunOptions())


def status(run: Place | str) -> RunStatus:
    """Return where a run stands: its passes, how exposures ended, and who drives it.

    Raises
    ------
    RunStoreError
        There is no run, or its journal cannot be trusted.
    """
    return run_status(_run(run))


def watch(run: Place | str, interval_s: float = 2.0) -> Iterator[Seen]:
    """Yield how a run stands, every few seconds, until it goes on no more."""
    return watched(_run(run), Looking(interval_s), follows_queue=True)


def cancel(run: Place | str) -> Cancellation:
    """Ask a run to stop, wherever it is driven, and wait for it; what is done is kept."""
    return cancel_run(_run(run))


def explain(run: Place | str, exposure: str) -> Explanation:
    """Return all that happened to an exposure of a run, and what to do about it."""
    return explain_exposure(_run(run), exposure)


def list_runs(root: Place | str) -> tuple[ListedRun, ...]:
    """Return the runs below a directory or a prefix of a bucket, whatever state they are in."""
    return runs_below(_run(root))


def clean(run: Place | str, *, keep_mosaic: bool = False) -> Cleaning:
    """Remove what a run that nobody drives needs no more: pixels, and tables of single tasks."""
    return clean_run(_run(run), keep_mosaic=keep_mosaic)


def monitor(run: Place | str, interval_s: float = 2.0) -> RunMonitor:
    """Return a widget for notebooks that shows a run, live while it goes on.

    Raises
    ------
    ConfigError
        The package that shows widgets is not installed.
    RunStoreError
        There is no run. Of one that cannot be read the widget says why.
    """
    try:
        from alignsvc.dashboard.monitor import RunMonitor
    except ImportError as error:
        raise ConfigError(
            f"monitor: needs a package that is not here ({error}); pip install 'alignsvc[jupyter]'"
        ) from error
    return RunMonitor(_run(run), interval_s)


def look(run: Place | str) -> RunPicture:
    """Return all that is shown of a run as it is now, live or ended, for `alignsvc.plots`.

    Raises
    ------
    RunStoreError
        There is no run, one of another format, or its journal cannot be trusted.
    """
    return RunViewer(_run(run)).look()


def detail(run: Place | str, exposure: str) -> ExposureDetail:
    """Return what a run keeps of an exposure for people: residuals of its sources, cutouts.

    What is not there, and why, is in its `missing`.

    Raises
    ------
    ConfigError
        The run has no exposure of that id.
    RunStoreError
        There is no run, or its journal cannot be trusted.
    """
    run = _run(run)
    stored.require_run(run)
    found = find_exposure_detail(RunLocations(run).objects, exposure)
    if found is None:
        raise ConfigError(
            f"{run}: no exposure {exposure}; `alignsvc report {run} --json` lists their ids"
        )
    return found


def residuals(run: Place | str, exposure: str) -> SourceResiduals:
    """Return how far an exposure's sources are from where the others have them, one by one.

    Raises
    ------
    ConfigError
        The run has no exposure of that id, or keeps no residuals of it: the message says why.
    RunStoreError
        There is no run, or its journal cannot be trusted.
    """
    found = detail(run, exposure)
    if found.residuals is None:
        raise ConfigError(f"{run}: no residuals of exposure {exposure}: {'; '.join(found.missing)}")
    return found.residuals


def pulls(run: Place | str) -> Pulls | None:
    """Return the residuals of held-out sources over their errors, as in the run's report.

    None if no pass is solved, or no source was held out.

    Raises
    ------
    ConfigError
        Tables of the solve are gone: `clean` removes them.
    RunStoreError
        There is no run, or its journal cannot be trusted.
    """
    run = _run(run)
    config = stored.stored_config(run)
    try:
        return find_pulls(RunLocations(run).objects, stored.state_of(run), config.alignment.solver)
    except DamagedProduct as error:
        raise ConfigError(
            f"{run}: pulls cannot be found any more ({error}); `alignsvc clean` removes what they "
            "are made of, the report keeps them"
        ) from error


def read_mosaic(
    run: Place | str, within: SkySquare | None = None, *, component: int = 0
) -> MosaicImage:
    """Return pixels of the mosaic that a run has published last.

    Parameters
    ----------
    run : path or URL
    within : SkySquare or None
        A part of it; None: all, if that is no more than 8 megapixels.
    component : int
        Of exposures that overlap, from 0: each has a mosaic of its own.

    Raises
    ------
    ConfigError
        There is no mosaic, or not there, or it is too large to be read at once.
    RunStoreError
        There is no run, or a tile is damaged.
    """
    return find_mosaic_image(_run(run), within, component)


def report(run: Place | str) -> Any:
    """Return the report of a finished run, as in its ``report.json``.

    Raises
    ------
    RunStoreError
        There is no run.
    ConfigError
        The run has not ended.
    """
    run = _run(run)
    stored.require_run(run)
    content = RunLocations(run).objects.find(REPORT_JSON)
    if content is None:
        raise ConfigError(
            f"{run}: no report yet, since the run has not ended; "
            f"`alignsvc resume {run}` goes on with it"
        )
    return {**json.loads(content), "directory": str(run)}


def destination(
    *, in_place: bool = False, to: Place | str | None = None, head: bool = False
) -> Target:
    """Return where corrected headers go: full copies, in the run's own ``wcs/``, unless told.

    Parameters
    ----------
    in_place : bool
        Edit the inputs.
    to : path, URL or None
        A folder for the copies, or the ``.head`` files.
    head : bool
        Write ``.head`` files (for SWarp) and no copies.

    Raises
    ------
    ConfigError
        `in_place` and another of them.
    """
    folder = None if to is None else place_of(str(to))
    return target_of(in_place=in_place, to=folder, head=head)


def apply(run: Place | str, target: Target | None = None) -> tuple[Place, ...]:
    """Write the corrected headers of a finished run once more; return the files.

    Parameters
    ----------
    run : path or URL
    target : Target or None
        What `destination` returns; None: copies in the run's ``wcs/``.

    Raises
    ------
    ConfigError
        The run has not ended, or its inputs are not what they were.
    NotAllWritten
        Headers that cannot be written; all others are.
    """
    return apply_run(_run(run), target or destination())


def apply_from(
    table: Place | str, files: Sequence[Place | str], target: Target | None = None
) -> tuple[Place, ...]:
    """Put stored corrections on other files of the same exposures; return the files written.

    Parameters
    ----------
    table : path or URL
        A ``corrections.ecsv``.
    files : sequence of paths or URLs
        Each is the exposure of its name.
    target : Target or None
        As of `apply`; None: copies in ``wcs/`` beside the table.

    Raises
    ------
    ConfigError
        A file matches no exposure of the table, or more than one.
    NotAllWritten
        Headers that cannot be written; all others are.
    """
    places = tuple(place_of(str(file)) for file in files)
    return put_on_files(place_of(str(table)), places, target or destination())


def revert(files: Sequence[Path | str]) -> tuple[Path, ...]:
    """Restore the archived WCS of files, bit for bit; return them.

    Raises
    ------
    NotAllWritten
        Some hold no correction of ours, or cannot be restored; all others are.
    """
    return each_written([Path(file) for file in files], _reverted)


def _reverted(file: Path) -> tuple[Path, ...]:
    revert_file(file)
    return (file,)


def simulate(sky: Path | str, directory: Path | str) -> int:
    """Make the exposures that a sky file describes; return their number.

    Raises
    ------
    ConfigError
        The file cannot be read, a key or value is wrong, or the directory cannot be written.
    """
    settings = sky_settings(read_yaml(Path(sky), "sky"))
    folder = place_of(str(directory))
    if not isinstance(folder, Path):
        raise ConfigError(f"simulate: {folder} is a URL; name a directory of this machine")
    try:
        return len(simulate_to(folder, settings).exposures)
    except OSError as error:
        raise ConfigError(
            f"simulate: {directory} cannot be written: {error.strerror}; name a directory where "
            "this user may write"
        ) from error


def evaluate(run: Place | str, directory: Path | str) -> Mapping[str, object]:
    """Return how far a run's corrections are from the truth in `directory`, as JSON values."""
    run = _run(run)
    state, config = stored.state_of(run), stored.stored_config(run)
    plan = service.stored_plan(run, config)
    rows = read_corrections(RunLocations(run).path(CORRECTIONS))
    of_id = {row.id: row for row in rows}
    totals = {
        row.id: row.correction
        for row in rows
        if row.status is Status.ALIGNED and row.correction is not None
    }
    wcs = {
        header.ref.id: _final_wcs(header, of_id[header.ref.id], state.run_id)
        for header in plan.headers
        if header.ref.id in totals
    }
    free = [total.geometry for total in totals.values()] or [plan.algorithms.geometry]
    geometry = max(free, key=lambda one: one.n_parameters)
    truth = from_json(read_truth(Path(directory)))
    offsets = config.images.chip_offsets
    found = evaluate_against(truth, wcs, totals, geometry=geometry, chip_offsets=offsets)
    groups = [
        [row.id for row in rows if row.id in totals and row.component == component]
        for component in sorted({row.component for row in rows if row.id in totals})
    ]
    errors = [error for group in groups for error in footprint_errors(truth, wcs, totals, group)]
    return {
        **found.as_json(),
        "passes": len(state.solved_passes),
        "n_aligned": len(totals),
        "largest_error_px": max((error.error_px for error in errors), default=None),
        "false_success": [error.exposure for error in errors if error.is_false_success],
    }


def _run(run: Place | str) -> Place:
    """Return where a run lies; a path is made absolute."""
    return run_place(str(run))


def _final_wcs(header: ExposureHeader, row: ExposureResult, run_id: str) -> list[CelestialWcs]:
    """Return the WCS of an exposure's chips with the run's correction, once."""
    if header.corrected_by == run_id:
        return list(header.wcs)
    totals = row.totals(len(header.wcs))
    return [corrected(wcs, total) for wcs, total in zip(header.wcs, totals, strict=True)]


def _loaded(config: Config | Path | str, overrides: tuple[str, ...]) -> Config:
    if isinstance(config, Config):
        if overrides:
            raise ConfigError("overrides go with a configuration file, not with a Config")
        return config
    return load_config(Path(config), overrides)


def _extending(config: Config, extend: Place | str | None, *, freeze: bool) -> Config:
    """Return the configuration of a run that extends another; as it is if it extends none."""
    if extend is None and not freeze:
        return config
    run = {**config.run.model_dump(), "freeze": freeze or config.run.freeze}
    if extend is not None:
        run["extend"] = str(extend)
    try:
        section = RunSection.model_validate(run)
    except ValueError as error:
        raise ConfigError("freeze: name the finished run to extend too") from error
    return config.model_copy(update={"run": section})
