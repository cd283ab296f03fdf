"""See how runs stand, what they found, and what became of each exposure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from alignsvc.errors import ConfigError, DamagedProduct
from alignsvc.io.locations import REPORT_JSON, RunLocations
from alignsvc.io.places import Place, run_place
from alignsvc.run.records import stored
from alignsvc.run.report.pulls import Pulls, find_pulls
from alignsvc.run.seeing.exposure_detail import (
    ExposureDetail,
    SourceResiduals,
    find_exposure_detail,
)
from alignsvc.run.seeing.mosaic_image import MosaicImage, SkySquare, find_mosaic_image
from alignsvc.run.seeing.picture import RunPicture, RunViewer
from alignsvc.run.status.explaining import Explanation, explain_exposure
from alignsvc.run.status.listing import ListedRun
from alignsvc.run.status.listing import list_runs as runs_below
from alignsvc.run.status.run_status import RunStatus
from alignsvc.run.status.watching import Looking, Seen, run_status, watched

if TYPE_CHECKING:  # an extra
    from alignsvc.dashboard.monitor import RunMonitor


def status(run: Place | str) -> RunStatus:
    """Return where a run stands: its passes, how exposures ended, and who drives it.

    Raises
    ------
    RunStoreError
        There is no run, or its journal cannot be trusted.
    """
    return run_status(run_place(str(run)))


def watch(run: Place | str, interval_s: float = 2.0) -> Iterator[Seen]:
    """Yield how a run stands, every few seconds, until it goes on no more."""
    return watched(run_place(str(run)), Looking(interval_s), follows_queue=True)


def explain(run: Place | str, exposure: str) -> Explanation:
    """Return all that happened to an exposure of a run, and what to do about it."""
    return explain_exposure(run_place(str(run)), exposure)


def list_runs(root: Place | str) -> tuple[ListedRun, ...]:
    """Return the runs below a directory or a prefix of a bucket, whatever state they are in."""
    return runs_below(run_place(str(root)))


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
    return RunMonitor(run_place(str(run)), interval_s)


def look(run: Place | str) -> RunPicture:
    """Return all that is shown of a run as it is now, live or ended, for `alignsvc.plots`.

    Raises
    ------
    RunStoreError
        There is no run, one of another format, or its journal cannot be trusted.
    """
    return RunViewer(run_place(str(run))).look()


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
    run = run_place(str(run))
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
    run = run_place(str(run))
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
    return find_mosaic_image(run_place(str(run)), within, component)


def report(run: Place | str) -> Any:
    """Return the report of a finished run, as in its ``report.json``.

    Raises
    ------
    RunStoreError
        There is no run.
    ConfigError
        The run has not ended.
    """
    run = run_place(str(run))
    stored.require_run(run)
    content = RunLocations(run).objects.find(REPORT_JSON)
    if content is None:
        raise ConfigError(
            f"{run}: no report yet, since the run has not ended; "
            f"`alignsvc resume {run}` goes on with it"
        )
    return {**json.loads(content), "directory": str(run)}
