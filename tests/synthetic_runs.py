"""Stores of runs that nobody ran, by the writers of real ones: for what looks at runs of any size.

Journal, tables, outlines and log have the formats of a run; numbers are drawn, and converge. There
are no pixels, so that a driver could not go on with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from worked import task_ends, worker_samples

from alignsvc.config.load import dump_config, parse_config
from alignsvc.domain.digest import digest_of
from alignsvc.domain.outcome import Convergence, Status, Verdict
from alignsvc.domain.task import TableRef
from alignsvc.io import journal
from alignsvc.io.journal_store import Entry, bytes_from_entry
from alignsvc.io.locations import CONFIG, JOURNAL, REPORT_JSON
from alignsvc.io.objects import LocalObjects
from alignsvc.io.record_pieces import PieceSizes, PieceWriter
from alignsvc.io.run_logs import LogKind, LogLine, LogWriter
from alignsvc.io.tables import write_table
from alignsvc.io.task_ends import TASK_ENDS
from alignsvc.io.worker_samples import SAMPLE_PIECES, WORKER_SAMPLES
from alignsvc.reasons import FailureKind, SkipReason
from alignsvc.run.planning.outlines import OUTLINES, Outlines
from alignsvc.run.records.identity import input_part, setting_parts
from alignsvc.run.stages.solved_table import SolvedTable, pass_name

#: When such runs began, seconds since 1970.
BEGUN_S = 1.7e9
_STAGES = ("resample", "merge", "detect", "measure")
_FAILED_EVERY, _SKIPPED_EVERY = 50, 70


@dataclass(frozen=True)
class SyntheticRun:
    """What a store is made of.

    Parameters
    ----------
    folder : Path
        Of the run.
    count, passes : int
        Exposures, and passes that are solved.
    is_finished : bool
        Whether it has come to its end, or its driver is gone in the pass that follows.
    n_workers : int
        Who did a task for each exposure, stage and pass: all are on record, and so are the
        workers. 0 = nothing is on record.
    """

    folder: Path
    count: int = 40
    passes: int = 5
    is_finished: bool = True
    n_workers: int = 0

    @property
    def ids(self) -> list[str]:
        """Names of the exposures, in order."""
        return sorted(f"night{k % 7}/exp{k:05d}" for k in range(self.count))

    def status(self, row: int) -> Status:
        """Return how an exposure ends: one in fifty fails, one in seventy is skipped."""
        if row % _FAILED_EVERY == 7:
            return Status.FAILED
        return Status.SKIPPED if row % _SKIPPED_EVERY == 9 else Status.ALIGNED

    def moves_px(self, number: int) -> np.ndarray:
        """Return how far each exposure moved in a pass; NaN where it has no part in it."""
        moved = (
            2.0
            * 0.05 ** (number - 1)
            * (0.2 + 0.8 * np.random.default_rng(number).random(self.count))
        )
        return np.where(self._good, moved, np.nan)

    @property
    def _good(self) -> np.ndarray:
        return np.array([self.status(row) is Status.ALIGNED for row in range(self.count)])

    def make(self) -> Path:
        """Write it all; return its folder."""
        self.folder.mkdir(parents=True)
        objects = LocalObjects(self.folder)
        config = parse_config(
            yaml.safe_dump(
                {"images": {"paths": ["/data/*.fits"]}, "run": {"directory": str(self.folder)}}
            ),
            "synthetic run",
        )
        objects.put(CONFIG, dump_config(config).encode())
        write_table(objects, OUTLINES, self._outlines())
        parts = (*setting_parts(config), *((input_part(one), digest_of(one)) for one in self.ids))
        (self.folder / JOURNAL).mkdir()
        for number, event in enumerate(self._events(objects, parts), start=1):
            # As a journal writes it, less the flushing of ten thousand files.
            content = bytes_from_entry(Entry(number, BEGUN_S + number, event))
            (self.folder / f"{JOURNAL}{number:08d}.json").write_bytes(content)
        self._write_log(objects)
        if self.n_workers:
            self._write_work()
        if self.is_finished:
            counts = {
                one.value: sum(self.status(k) is one for k in range(self.count)) for one in Status
            }
            objects.put(REPORT_JSON, json.dumps({"counts": counts}).encode())
        return self.folder

    def _events(
        self, objects: LocalObjects, parts: tuple[tuple[str, str], ...]
    ) -> Iterator[journal.Event]:
        ids = self.ids
        yield journal.RunCreated(digest_of(parts), parts)
        yield journal.Planned(self.count, 0, 60.0, 12.0)
        yield journal.DriverStarted(1, "process 4711 on node17")
        nowhere = TableRef("", "")
        for number in range(1, self.passes + 1):
            yield journal.PassStarted(number, number <= 2)
            yield journal.States(
                number, tuple(journal.ExposureState(one, (0, 0, 1, 0, 0, 1)) for one in ids)
            )
            for stage in _STAGES:
                failed = (
                    sum(self.status(k) is Status.FAILED for k in range(self.count))
                    if number == 1 and stage == "resample"
                    else 0
                )
                yield journal.StageStarted(stage, number, self.count)
                yield journal.StageFinished(
                    stage, number, self.count - failed, 0, failed, 0, 400_000_000, 0.8 * self.count
                )
                if failed:
                    yield from self._ended(Status.FAILED)
            if number == 1:
                yield from self._ended(Status.SKIPPED)
            yield journal.SourcesFound(number, nowhere, nowhere, 2000, 1800)
            checksum = write_table(objects, pass_name(number), self._solved(number))
            yield journal.Solved(
                number,
                pass_name(number),
                checksum,
                float(np.nanmax(self.moves_px(number))),
                int(self._good.sum()),
            )
        if self.is_finished:
            yield journal.LoopEnded(Convergence.CONVERGED, self.passes)
            for row in np.flatnonzero(self._good):
                yield journal.VerdictGiven(ids[row], Verdict.IMPROVED, 1.2, 0.012)
            yield journal.Finished(1)
        else:
            yield journal.PassStarted(self.passes + 1, False)
            yield journal.StageStarted("resample", self.passes + 1, self.count)

    def _ended(self, status: Status) -> Iterator[journal.ExposureEnded]:
        reason, why = {
            Status.FAILED: (FailureKind.UNREADABLE, "the file ends in the middle of its pixels"),
            Status.SKIPPED: (SkipReason.TOO_FEW_SOURCES, "2 sources, and 3 are needed"),
        }[status]
        for row, name in enumerate(self.ids):
            if self.status(row) is status:
                yield journal.ExposureEnded(name, status, reason.value, f"{name}.fits: {why}")

    def _outlines(self) -> Outlines:
        random, n = np.random.default_rng(5), self.count
        side = 0.05 * np.sqrt(n / 20)
        ra, dec = (random.random(n) - 0.5) * side % 360, 20 + (random.random(n) - 0.5) * side
        corner = 0.02 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        zero = np.zeros(n)
        return Outlines(
            np.array(self.ids),
            ra,
            dec,
            zero,
            zero,
            np.full(n, 0.2),
            np.arange(n),
            4 * np.arange(n + 1),
            np.ravel(ra[:, None] + corner[:, 0]) % 360,
            np.ravel(dec[:, None] + corner[:, 1]),
        )

    def _solved(self, number: int) -> SolvedTable:
        n, random = self.count, np.random.default_rng(100 + number)
        good = self._good
        nan, none = np.where(good, 0.0, np.nan), np.full(n, "")
        count = np.where(good, 170, 0)
        matrix = np.tile(np.eye(2).ravel(), (n, 1)) + 1e-6 * random.normal(size=(n, 4))
        shift = np.random.default_rng(1).normal(scale=0.3, size=(n, 2))
        totals = np.column_stack([shift, matrix])
        empty, rows = np.empty((0, 2)), np.empty(0, np.int64)
        return SolvedTable(
            id=np.array(self.ids),
            geometry=np.full(n, "general"),
            parameters=totals,
            covariance=np.tile(np.diag([3e-4**2, 4e-4**2, *[1e-12] * 4]), (n, 1, 1)),
            pass_start=totals,
            n_sources=np.where(good, 200, 0),
            n_used=count,
            n_held_out=count // 5,
            component=np.where(good, 0, -1),
            passes=np.where(good, number, 0),
            rmse_px=nan + 0.02 * random.random(n),
            mae_px=nan + 0.01,
            move_px=self.moves_px(number),
            last_movement_px=np.zeros(1),
            displacements=none,
            factors=none,
            moving=rows,
            rays=none,
            rays_checksum=none,
            rays_pass=np.zeros(n, np.int64),
            chip_owner=rows,
            chip_shift=empty,
            chip_start=empty,
            chip_covariance=np.empty((0, 6, 6)),
            chip_notes=np.empty(0, "U1"),
            flux_scale=np.ones(n),
            sky_offset=np.zeros(n),
            colour_shift_mas=np.full((n, 2), np.nan),
            colour_error_mas=np.full((n, 2), np.nan),
            apart_owner=rows,
            apart_name=np.empty(0, "U1"),
            apart_offset_px=empty,
            apart_error_px=np.empty(0),
            floor_arcsec=np.zeros(n),
        )

    def _write_log(self, objects: LocalObjects) -> None:
        """Write as many lines as a run of this size may, two for each failure and pass."""
        log = LogWriter(objects, 1)
        log.add(LogLine(BEGUN_S, LogKind.DRIVER_STARTED, text="process 4711 on node17"))
        for number in range(1, self.passes + 1):
            for row, name in enumerate(self.ids):
                if self.status(row) is not Status.ALIGNED:
                    log.add(
                        LogLine(
                            BEGUN_S + number,
                            LogKind.TASK_RETRIED,
                            "measure",
                            name,
                            "try 2: its worker went away",
                        )
                    )
                    log.add(
                        LogLine(
                            BEGUN_S + number,
                            LogKind.TASK_FAILED,
                            "measure",
                            name,
                            "unreadable: the file ends in the middle of its pixels",
                        )
                    )
        log.flush()

    def _write_work(self) -> None:
        """Write tasks and workers piece by piece, as a driver does while they end."""
        objects = LocalObjects(self.folder, is_scratch=True)
        ends = task_ends(self.n_workers, self.ids, self.passes, BEGUN_S)
        tasks = PieceWriter(objects, TASK_ENDS, 1)
        for k, end in enumerate(ends, start=1):
            tasks.add(end)
            if k % PieceSizes().rows == 0:
                tasks.flush()
        tasks.flush()
        samples = PieceWriter(objects, WORKER_SAMPLES, 1, SAMPLE_PIECES)
        for sample in worker_samples(ends, self.n_workers):
            samples.add(sample)
            samples.flush()
