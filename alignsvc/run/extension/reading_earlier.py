"""Reading a finished run that is to be extended: what it found, and of which files."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from alignsvc.config.build import image_settings, margin_px
from alignsvc.config.load import parse_config
from alignsvc.config.resolved import resolved
from alignsvc.config.schema import Config
from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.correction import Correction
from alignsvc.domain.digest import digest_of
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.domain.outcome import Convergence, Status
from alignsvc.domain.result import ExposureResult
from alignsvc.domain.task import TableRef
from alignsvc.errors import ConfigError, DataError, RunStoreError
from alignsvc.io.corrections_table import read_corrections
from alignsvc.io.exposure_files import ExposureCandidate, find_exposures
from alignsvc.io.exposure_headers import ExposureHeader, inspect_exposure
from alignsvc.io.image_settings import ImageSettings
from alignsvc.io.journal_store import Journal
from alignsvc.io.locations import CONFIG, CORRECTIONS, MOSAIC_STORE, RunLocations
from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.io.places import Place
from alignsvc.io.tables import read_table
from alignsvc.numerics.matching.neighbours import find_neighbours
from alignsvc.numerics.sky.footprints import footprint
from alignsvc.reasons import FailureKind
from alignsvc.run.loop.start_table import StartTable
from alignsvc.run.planning.earlier_run import (
    EarlierRun,
    KeptMosaic,
    KnownChip,
    KnownExposure,
    LostExposure,
    science_files,
    stored_earlier,
)
from alignsvc.run.planning.kept_tiles import is_part_of, tile_there
from alignsvc.run.planning.named_files import given_grid
from alignsvc.run.records.identity import fingerprints_among, setting_parts
from alignsvc.run.records.state import RunState, fold
from alignsvc.run.stages.mosaicking import mosaic_record
from alignsvc.run.stages.solved_table import SolvedTable

#: Settings by which pixels are read and put on the grid: to both runs they must mean the same.
_SAME_IN_BOTH = ("images.", "mosaic.")
_MAY_DIFFER = frozenset(
    {"images.paths", "images.sky", "mosaic.reject_cosmic_rays", "mosaic.include_skipped"}
)


class _Aligned(NamedTuple):
    """Exposures that a run aligned: whose files are there, and whose are gone or have changed."""

    known: list[KnownExposure]
    lost: list[LostExposure]


@dataclass(frozen=True, slots=True, eq=False)
class FinishedRun:
    """A run that is to be extended, as it is found.

    Parameters
    ----------
    run : Place
    config : Config
    state : RunState
    before : Mapping of exposure id to KnownExposure
        What the run that it extends itself knew, by its own ids.
    earlier : EarlierRun or None
        That one.
    prints : mapping of exposure id to (str, str)
        Fingerprint of each input as it was given, and with its header written in place.
    """

    run: Place
    config: Config
    state: RunState
    before: Mapping[str, KnownExposure]
    earlier: EarlierRun | None
    prints: Mapping[str, tuple[str, str]]

    @classmethod
    def of(cls, run: Place) -> FinishedRun:
        """Return the run in a directory.

        Raises
        ------
        ConfigError
            There is none.
        RunStoreError
            It is of another format, or damaged.
        """
        objects = RunLocations(run).objects
        content = objects.find(CONFIG)
        if content is None:
            raise ConfigError(
                f"run.extend: {run} is not a run directory (no {CONFIG} in it); give the directory "
                "of a finished run"
            )
        try:
            state = fold(Journal(objects, time.time).events())
            config = parse_config(content.decode(), str(run / CONFIG))
        except (RunStoreError, ConfigError) as error:
            raise type(error)(f"run.extend: {run}: {error}") from error
        prints = _fingerprints(state)
        earlier = stored_earlier(objects)
        by_print = {one.fingerprint: one for one in (earlier.exposures if earlier else ())}
        before = {
            name: known
            for name, (given, _) in prints.items()
            if (known := by_print.get(given)) is not None
        }
        return cls(run, config, state, before, earlier, prints)

    def read(self, config: Config) -> EarlierRun:
        """Return what a run with a configuration needs to know of this one."""
        self._require_ended()
        self._require_same_pixels(config)
        rows = {
            row.id: row
            for row in read_corrections(RunLocations(self.run).path(CORRECTIONS))
            if row.status is Status.ALIGNED and row.correction is not None
        }
        if not rows:
            raise ConfigError(
                f"run.extend: {self.run} has no aligned exposure; run {config.images.paths[0]} "
                "and its inputs together, without --extend"
            )
        headers = self._headers(config)
        tiles, mosaic = self._mosaic()
        aligned = self._told_apart(rows, headers, tiles)
        taken = {file for one in aligned.known for file in one.files}
        free = [header for header in headers if not taken & set(science_files(header))]
        inputs = {given for given, _ in self.prints.values()}
        others = [header for header in free if header.ref.fingerprint in inputs]
        joining = others
        if config.run.freeze:
            new = [header for header in free if header.ref.fingerprint not in inputs]
            joining = _near(others, new, margin_px(config))
        return EarlierRun(
            directory=str(self.run),
            identity=self.state.identity,
            is_frozen=config.run.freeze,
            exposures=tuple(aligned.known),
            lost=tuple(aligned.lost),
            others=tuple(file for header in joining for file in science_files(header)),
            n_left_out=len(others) - len(joining),
            mosaic=mosaic,
        )

    def _told_apart(
        self,
        rows: Mapping[str, ExposureResult],
        headers: Sequence[ExposureHeader],
        tiles: Mapping[str, tuple[TileId, ...]],
    ) -> _Aligned:
        """Return the aligned exposures: those whose files are there, and the others."""
        zeros, rays = self._zeros(), self._rays()
        found = self._found(sorted(rows), headers)
        known, lost = [], []
        for name, row in sorted(rows.items()):
            if name not in found:
                lost.append(self._lost(name, headers, tiles.get(name, ())))
                continue
            is_written = found[name].ref.fingerprint != self.prints[name][0]
            one = _known(row, found[name], zeros.get(name), is_written)
            known.append(replace(one, rays=rays.get(name), tiles=tiles.get(name, ())))
        return _Aligned(known, lost)

    def _require_ended(self) -> None:
        state = self.state
        if not state.is_finished:
            raise ConfigError(
                f"run.extend: {self.run} has not ended; `alignsvc resume {self.run}` first"
            )
        if state.loop_end is None or state.loop_end.verdict is not Convergence.CONVERGED:
            how = "failed" if state.loop_end is None else state.loop_end.verdict.value
            raise ConfigError(
                f"run.extend: {self.run} ended {how}, so that its corrections are no alignment; "
                "extend a run that converged"
            )

    def _require_same_pixels(self, config: Config) -> None:
        grid = given_grid(config)
        here = dict(setting_parts(resolved(config)))
        here["mosaic.grid"] = digest_of(grid) if grid is not None else ""
        there = dict(self.state.parts)
        for name in sorted(here.keys() & there.keys()):
            if not name.startswith(_SAME_IN_BOTH) or name in _MAY_DIFFER:
                continue
            if here[name] != there[name]:
                raise ConfigError(
                    f"run.extend: {name} differs from that of {self.run}, whose corrections and "
                    f"mosaic would then mean something else; set it as in {self.run / CONFIG}, or "
                    "run all exposures together without --extend"
                )

    def _headers(self, config: Config) -> list[ExposureHeader]:
        """Return all sound exposures among the inputs of both runs, as they are now."""
        settings = image_settings(config.images)
        also = self.earlier.files if self.earlier is not None else ()
        # Each run by itself: both may name the same files.
        there = _candidates(self.config.images.paths, settings, also)
        here = _candidates(config.images.paths, settings, ())
        candidates = {one.files: one for one in (*here, *there)}
        return list(_inspected(candidates.values(), settings))

    def _found(
        self, names: Sequence[str], headers: Sequence[ExposureHeader]
    ) -> dict[str, ExposureHeader]:
        """Return exposures as they are now: of several with its headers that of the same name."""
        by_print: dict[str, list[ExposureHeader]] = {}
        for header in headers:
            by_print.setdefault(header.ref.fingerprint, []).append(header)
        found: dict[str, ExposureHeader] = {}
        for by_name in (True, False):
            for name in names:
                same = [one for digest in self.prints[name] for one in by_print.get(digest, [])]
                same = [one for one in same if not by_name or _is_named(one, name)]
                if name not in found and same:
                    found[name] = same[0]
                    by_print[same[0].ref.fingerprint].remove(same[0])
        return found

    def _lost(
        self, name: str, headers: Sequence[ExposureHeader], tiles: tuple[TileId, ...]
    ) -> LostExposure:
        changed = [one for one in headers if _is_named(one, name)]
        if changed:
            text = f"{science_files(changed[0])[0]} changed since {self.run} aligned it"
            return LostExposure(
                name,
                FailureKind.CHANGED,
                f"exposure {name}: {text}; restore it, or name it in images.paths to have it "
                "aligned anew",
                tiles,
            )
        return LostExposure(
            name,
            FailureKind.MISSING,
            f"exposure {name}: {self.run} aligned it, and no file is that one any more; restore "
            "it, or name its new place in images.paths",
            tiles,
        )

    def _zeros(self) -> dict[str, FloatArray]:
        """Return from where this run's gauge counted, where that was not the header."""
        found = {
            name: np.array(one.zero) for name, one in self.before.items() if one.zero is not None
        }
        if self.state.start is not None:
            objects, table = RunLocations(self.run).objects, self.state.start
            rows = read_table(objects, table.name, StartTable, table.checksum)
            begun = zip(rows.id, rows.parameters, rows.reason, strict=True)
            found |= {str(name): numbers for name, numbers, reason in begun if not reason}
        return found

    def _rays(self) -> dict[str, TableRef]:
        """Return the cosmic rays of exposures in which somebody looked for them."""
        found = {name: one.rays for name, one in self.before.items() if one.rays is not None}
        solution = self.state.settled.solution
        if solution is not None:
            objects = RunLocations(self.run).objects
            table = read_table(objects, solution.table, SolvedTable, solution.digest)
            rows = zip(table.id, table.rays, table.rays_checksum, strict=True)
            found |= {
                str(name): TableRef(str(rays), str(sum_)) for name, rays, sum_ in rows if rays
            }
        return found

    def _mosaic(self) -> tuple[Mapping[str, tuple[TileId, ...]], KeptMosaic | None]:
        """Return the tiles of each exposure, and the mosaic; none if it was not kept."""
        store = MosaicStore(RunLocations(self.run).path(MOSAIC_STORE))
        generation = store.current()
        if generation is None:
            return {}, None
        grids = store.grids(generation)
        record = mosaic_record(RunLocations(self.run).objects, generation)
        tiles = {name: one.tiles for name, one in record.contributions}
        if self.earlier is not None and self.earlier.mosaic is not None:
            there = self.earlier.mosaic.grids
            for name in self.before.keys() - tiles.keys():  # frozen, and not read by this run
                tiles[name] = _moved(self.before[name].tiles, there, grids)
        return tiles, KeptMosaic(grids, generation, record.checksums)


def _fingerprints(state: RunState) -> dict[str, tuple[str, str]]:
    given = fingerprints_among(state.parts)
    found = {name: (digest, digest) for name, digest in given.items()}
    for applied in state.headers:
        # The run may have been given a file that it had written before.
        other = {applied.before, applied.after} - {given.get(applied.exposure)}
        if applied.exposure in given and len(other) == 1:
            found[applied.exposure] = (given[applied.exposure], other.pop())
    return found


def _known(
    row: ExposureResult, header: ExposureHeader, zero: FloatArray | None, is_written: bool
) -> KnownExposure:
    """Return what a row of corrections says of an exposure as its files are now."""
    total = row.correction
    assert total is not None
    parameters = total.parameters
    if is_written:
        # The header holds the correction by now: it is not taken twice.
        start = Correction.identity(total.plane, total.geometry)
        if zero is not None:
            start = Correction.from_parameters(total.plane, zero, total.geometry)
        zero = start.after(total.inverse()).parameters
        parameters = Correction.identity(total.plane, total.geometry).parameters
    return KnownExposure(
        id=row.id,
        files=science_files(header),
        fingerprint=header.ref.fingerprint,
        plane=total.plane,
        parameters=tuple(parameters.tolist()),
        zero=None if zero is None else tuple(zero.tolist()),
        geometry=total.geometry,
        covariance=tuple(total.covariance.ravel().tolist()),
        quality=row.quality,
        verdict=row.verdict,
        level=row.level,
        chips=tuple(
            KnownChip(
                (0.0, 0.0) if is_written else chip.shift,
                tuple(chip.correction.covariance.ravel().tolist()),
            )
            for chip in row.chips
        ),
        rays=None,
        tiles=(),
    )


def _near(
    headers: Sequence[ExposureHeader], new: Sequence[ExposureHeader], margin_px: int
) -> list[ExposureHeader]:
    """Return the exposures that one of some others may overlap."""
    if not headers or not new:
        return []
    areas = [footprint(header.wcs) for header in (*headers, *new)]
    near = find_neighbours(areas, margin_px)
    met = {a for a, b in (*near.first, *near.more) if a < len(headers) <= b}
    return [headers[k] for k in sorted(met)]


def _candidates(
    paths: tuple[str, ...], settings: ImageSettings, also: tuple[str, ...]
) -> tuple[ExposureCandidate, ...]:
    """Return what paths stand for now; nothing where there is nothing any more."""
    there = []
    for path in paths:
        with suppress(ConfigError):
            find_exposures((path,), settings)
            there.append(path)
    try:
        return find_exposures(tuple(there), settings, also).candidates
    except ConfigError:
        return ()  # the plan says what is wrong with them


def _inspected(
    candidates: Iterable[ExposureCandidate], settings: ImageSettings
) -> Iterable[ExposureHeader]:
    for candidate in candidates:
        try:
            yield inspect_exposure(candidate, settings)
        except DataError:
            continue  # whatever it is, it is not what was aligned


def _is_named(header: ExposureHeader, name: str) -> bool:
    """Return whether an exposure's files lie under the path that an id is the end of."""
    below = f"/{science_files(header)[0].lstrip('/')}"
    return f"/{name}." in below


def _moved(
    tiles: Sequence[TileId], before: Sequence[MosaicGrid], grids: Sequence[MosaicGrid]
) -> tuple[TileId, ...]:
    """Return tiles of earlier grids as tiles of grids that hold them."""
    found = []
    for grid in grids:
        for there in before:
            if is_part_of(there, grid):
                own = {tile for tile in tiles if tile.component == there.component}
                found += [tile for tile in grid.tiles() if tile_there(grid, tile, there) in own]
    return tuple(found)
