"""Corrections that are known, put on files: a run's own, or others of the same exposures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from alignsvc.domain.outcome import Status
from alignsvc.domain.result import ExposureResult
from alignsvc.errors import ConfigError, DataError, HeaderError, NotAllWritten
from alignsvc.io.corrections_table import read_corrections
from alignsvc.io.exposure_files import ExposureCandidate, exposure_ids
from alignsvc.io.exposure_headers import ExposureHeader, inspect_exposure
from alignsvc.io.exposure_planes import PlaneKind
from alignsvc.io.image_settings import ImageSettings
from alignsvc.io.journal_store import Journal
from alignsvc.io.locations import CONFIG, CORRECTIONS, HEADERS, RunLocations
from alignsvc.io.places import Place
from alignsvc.run.driving.plans import stored_plan
from alignsvc.run.finishing.headers import (
    Destination,
    HeaderSettings,
    holds_it,
    journal_edit,
    write_headers,
)
from alignsvc.run.planning.unchanged import require_its_inputs, with_half_written_restored
from alignsvc.run.records.stored import state_of, stored_config

T = TypeVar("T")
P = TypeVar("P", bound=Place)


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
    NotAllWritten
        Headers that cannot be written; all others are.
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
    book = Journal(RunLocations(run).objects, time.time)
    if target.destination is Destination.IN_PLACE:
        plan = with_half_written_restored(plan, state, book)
    headers = {header.ref.id: header for header in plan.headers}
    gone = sorted(rows.keys() - headers.keys())
    if gone:
        raise ConfigError(
            f"exposure {gone[0]}: its files are not there any more, or not usable"
            + (f"; nor are those of {len(gone) - 1} others" if gone[1:] else "")
            + f"; `alignsvc apply --from {run / CORRECTIONS} FILE...` takes files that lie "
            "elsewhere by now"
        )
    require_its_inputs(run, plan, state)

    def write(name: str) -> tuple[Place, ...]:
        files = _written(headers[name], rows[name], settings)
        if target.destination is Destination.IN_PLACE:
            journal_edit(book, headers[name], plan.algorithms.images)
        return files

    return each_written(rows, write)


def each_written(items: Iterable[T], write: Callable[[T], Iterable[P]]) -> tuple[P, ...]:
    """Write the files of each item; return them.

    Raises
    ------
    NotAllWritten
        Some could not be written. What is wrong with one file is no fault of the next.
    """
    files: list[P] = []
    failures: list[str] = []
    for item in items:
        try:
            files += write(item)
        except HeaderError as error:
            failures.append(str(error))
    if failures:
        raise NotAllWritten(tuple(str(file) for file in files), tuple(failures))
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
    NotAllWritten
        Headers that cannot be written; all others are.
    """
    if not files:
        raise ConfigError("apply --from: name the files to correct")
    rows = _aligned(table)
    folder = target.folder or table.parent / HEADERS.removesuffix("/")
    settings = HeaderSettings(
        target.destination,
        folder,
        "ALIGNSVC",
        _run_id(table.absolute()),
        knows_flux_scale=False,  # these are other files, read by default settings
    )
    ids = exposure_ids([str(file.absolute()) for file in files])
    chosen = {path: _row_for(rows, own_id, table) for path, own_id in ids.items()}
    return each_written(
        ids, lambda path: _written(_inspected(path, ids[path]), chosen[path], settings)
    )


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
