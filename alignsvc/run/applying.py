"""Corrections that are known, put on files: a run's own, or others of the same exposures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alignsvc.config.schema import Config
from alignsvc.domain.outcome import Status
from alignsvc.domain.result import ExposureResult
from alignsvc.errors import ConfigError, DataError, HeaderError
from alignsvc.io.corrections_table import read_corrections
from alignsvc.io.exposure_files import ExposureCandidate, exposure_ids
from alignsvc.io.exposure_headers import ExposureHeader, inspect_exposure
from alignsvc.io.image_settings import ImageSettings
from alignsvc.io.locations import CORRECTIONS, HEADERS, RunLocations
from alignsvc.run.headers import Destination, HeaderSettings, write_headers
from alignsvc.run.plan import make_plan
from alignsvc.run.service import state_of, stored_config


@dataclass(frozen=True, slots=True)
class Target:
    """Where corrected headers go; a folder of None is the run's own ``wcs/``."""

    destination: Destination
    folder: Path | None = None


def destination(*, in_place: bool, to: Path | None, head: bool) -> Target:
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


def apply_run(run: Path, target: Target) -> tuple[Path, ...]:
    """Write the headers of a finished run's aligned exposures.

    Raises
    ------
    ConfigError
        The run has not ended.
    HeaderError
        A header cannot be written; those before it are.
    """
    run = run.absolute()
    config = stored_config(run)
    if not state_of(run).is_finished:
        raise ConfigError(f"{run}: the run has not ended; `alignsvc resume {run}` first")
    rows = _aligned(RunLocations(run).path(CORRECTIONS))
    settings = _settings(config, target, RunLocations(run).path(HEADERS), run.name)
    files: list[Path] = []
    for one in make_plan(config).exposures:
        if one.id in rows:
            files += write_headers(one.header, rows[one.id], settings).files
    return tuple(files)


def apply_from(table: Path, files: tuple[Path, ...], target: Target) -> tuple[Path, ...]:
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
    settings = HeaderSettings(target.destination, folder, "ALIGNSVC", table.parent.name)
    written: list[Path] = []
    ids = exposure_ids([str(file.absolute()) for file in files])
    for path, own_id in ids.items():
        row = _row_for(rows, own_id, table)
        written += write_headers(_inspected(path, own_id), row, settings).files
    return tuple(written)


def _aligned(table: Path) -> dict[str, ExposureResult]:
    return {row.id: row for row in read_corrections(table) if row.status is Status.ALIGNED}


def _settings(config: Config, target: Target, folder: Path, run_id: str) -> HeaderSettings:
    return HeaderSettings(
        target.destination, target.folder or folder, config.output.wcs_name, run_id
    )


def _row_for(rows: dict[str, ExposureResult], own_id: str, table: Path) -> ExposureResult:
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
