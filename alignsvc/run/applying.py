"""Corrections that are known, put on files: a run's own, or others of the same exposures."""

from __future__ import annotations

import time
from dataclasses import dataclass

from alignsvc.domain.outcome import Status
from alignsvc.domain.result import ExposureResult
from alignsvc.errors import ConfigError, DataError, HeaderError
from alignsvc.io.corrections_table import read_corrections
from alignsvc.io.exposure_files import ExposureCandidate, exposure_ids
from alignsvc.io.exposure_headers import ExposureHeader, inspect_exposure
from alignsvc.io.exposure_planes import PlaneKind
from alignsvc.io.image_settings import ImageSettings
from alignsvc.io.journal_store import Journal
from alignsvc.io.locations import CONFIG, CORRECTIONS, HEADERS, RunLocations
from alignsvc.io.places import Place
from alignsvc.run.headers import (
    Destination,
    HeaderSettings,
    holds_it,
    journal_edit,
    write_headers,
)
from alignsvc.run.service import state_of, stored_config, stored_plan
from alignsvc.run.unchanged import require_same


@dataclass(frozen=True, slots=True)
class Target:
    """Where corrected headers go; a folder of None is the run's own ``wcs/``."""

    destination: Destination
    folder: Place | None = None


def destination(*, in_place: bool, to: Place | None, head: bool) -> Target:
    """Return the target that the command's options mean; copies by default.

    Raises
    ------
    ConfigError
        More than one was asked for.
    """
    if in_place and (to is not None or head):
        raise ConfigError("apply: --in-place goes with neither --to nor --head")
    if in_place:
        return Target(Destination.IN_PLACE)
    return Target(Destination.HEAD if head else Destination.COPY, to)


def apply_run(run: Place, target: Target) -> tuple[Place, ...]:
    """Write the headers of a finished run's aligned exposures.

    Raises
    ------
    ConfigError
        The run has not ended.
    HeaderError
        A header cannot be written; those before it are.
    """
    run = run.absolute()
    state, config = state_of(run), stored_config(run)
    if not state.is_finished:
        raise ConfigError(f"{run}: the run has not ended; `alignsvc resume {run}` first")
    rows = _aligned(RunLocations(run).path(CORRECTIONS))
    folder = target.folder or RunLocations(run).path(HEADERS)
    settings = HeaderSettings(
        target.destination,
        folder,
        config.output.wcs_name,
        state.run_id,
        tuple(PlaneKind(kind) for kind in config.output.also),
    )
    plan = stored_plan(run, config)
    headers = {header.ref.id: header for header in plan.headers}
    for name in sorted(rows.keys() - headers.keys()):
        raise ConfigError(f"exposure {name}: its files are not there any more, or not usable")
    require_same(run, plan, state)
    book = Journal(RunLocations(run).objects, time.time)
    files: list[Place] = []
    for name, row in rows.items():
        files += _written(headers[name], row, settings)
        if target.destination is Destination.IN_PLACE:
            journal_edit(book, headers[name], plan.algorithms.images)
    return tuple(files)


def _written(
    header: ExposureHeader, row: ExposureResult, settings: HeaderSettings
) -> tuple[Place, ...]:
    """Write one exposure's headers; return the files, none if they are as wanted already."""
    assert row.correction is not None
    is_there = holds_it(header, row.correction, settings.run_id)
    if header.corrected_by and not is_there:
        raise HeaderError(
            f"exposure {header.ref.id}: its WCS holds the correction of run {header.corrected_by} "
            "already; a second one on top of it is refused; `alignsvc revert` its files first"
        )
    if is_there and settings.destination is Destination.IN_PLACE:
        return ()
    return write_headers(header, row, settings).files


def apply_from(table: Place, files: tuple[Place, ...], target: Target) -> tuple[Place, ...]:
    """Put stored corrections on other files of the same exposures, matched by their ids.

    The id's last part, the file's name without its suffix, must be that of one row.

    Raises
    ------
    ConfigError
        A file matches no row, or more than one.
    HeaderError
        A header cannot be written; those before it are.
    """
    if not files:
        raise ConfigError("apply --from: name the files to correct")
    rows = _aligned(table)
    folder = target.folder or table.parent / HEADERS.removesuffix("/")
    settings = HeaderSettings(target.destination, folder, "ALIGNSVC", _run_id(table.absolute()))
    ids = exposure_ids([str(file.absolute()) for file in files])
    chosen = {path: _row_for(rows, own_id, table) for path, own_id in ids.items()}
    written: list[Place] = []
    for path, own_id in ids.items():
        written += _written(_inspected(path, own_id), chosen[path], settings)
    return tuple(written)


def _run_id(table: Place) -> str:
    """Return the id of the run that a table lies in; of one that was moved, its folder's name."""
    is_run = RunLocations(table.parent).objects.exists(CONFIG)
    known = state_of(table.parent).run_id if is_run else ""
    return known or table.parent.name or table.name


def _aligned(table: Place) -> dict[str, ExposureResult]:
    return {row.id: row for row in read_corrections(table) if row.status is Status.ALIGNED}


def _row_for(rows: dict[str, ExposureResult], own_id: str, table: Place) -> ExposureResult:
    if own_id in rows:
        return rows[own_id]
    name = own_id.rpartition("/")[2]
    same = [row for row in rows.values() if row.id.rpartition("/")[2] == name]
    if len(same) != 1:
        raise ConfigError(
            f"apply --from {table}: {len(same)} aligned exposures are named {name!r}, one wanted"
        )
    return same[0]


def _inspected(path: str, own_id: str) -> ExposureHeader:
    try:
        return inspect_exposure(ExposureCandidate(own_id, (path,)), ImageSettings())
    except DataError as error:
        raise HeaderError(str(error)) from error
