"""What a driver does itself in a pass, by the number of exposures: workers answer at once.

``python scale_driver.py SIDE SOURCES`` measures a raster of SIDE x SIDE exposures in this process,
each with so many sources (0: no solve), and prints what it found as JSON.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

from alignsvc.domain.digest import digest_of
from alignsvc.domain.outcome import TaskOutcome, TaskStatus
from alignsvc.domain.task import Task
from alignsvc.engine.base import Executor
from alignsvc.io import headers_read, journal
from alignsvc.io.codec import json_from, sealed
from alignsvc.io.journal_store import Journal
from alignsvc.io.mosaic_arrays import SUMS, array_of
from alignsvc.io.objects import LocalObjects
from alignsvc.io.receipts import Receipt, find_receipt, write_receipt
from alignsvc.io.stored_contribution import StoredContribution
from alignsvc.run.loop import passes
from alignsvc.run.loop.passes import begin_pass
from alignsvc.run.planning import making
from alignsvc.run.planning.plan import Plan
from alignsvc.run.records import events
from alignsvc.run.records.state import fold
from alignsvc.run.reducer.solving import solve
from alignsvc.run.stages.cataloguing import tile_views
from alignsvc.run.stages.loop_state import LoopState, PassSettings
from alignsvc.run.stages.measuring import measure_tasks
from alignsvc.run.stages.mosaicking import Turn, make_mosaic
from alignsvc.run.stages.running import ReuseCount, Tools
from alignsvc.run.stages.solved_table import pass_name, write_solved
from alignsvc.tasks.measure import MeasureTask
from alignsvc.tasks.merge import MergeTask, mosaic_store
from alignsvc.tasks.resample import ResampleTask, contribution_store

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bench_driver_memory import name_of, planned, stored
from scale_survey import begun, contribution

HERE = Path(__file__).resolve().parent
T = TypeVar("T")
#: Names of steps: the solve, whose cost is no multiple of the number; and what workers do.
SOLVE = "solve"
OF_WORKERS = ("worker: receipts written", "worker: receipts found")
#: Side of each raster, and the sources of an exposure that are solved; 0 = none is.
SIZES = ((17, 50), (32, 50), (55, 50), (100, 0))
N_RECEIPTS = 500
SETTINGS = PassSettings(1, False)


@dataclass(frozen=True)
class Driver:
    """What was measured of one raster.

    Parameters
    ----------
    n, tiles : int
        Exposures, and tiles of the mosaic.
    cpu_s : mapping of step to float
        Of all exposures.
    bytes : mapping of what to int
        Of all exposures.
    plan_mb, peak_mb : float
        Highest memory of the process with the plan made, and at the end; imports included.
    """

    n: int
    tiles: int
    cpu_s: Mapping[str, float]
    bytes: Mapping[str, int]
    plan_mb: float
    peak_mb: float


class Answered:
    """An executor whose tasks are done when they are handed over: what is left is the driver's.

    `own_s` is the CPU time that it took itself.
    """

    workers = 1

    def __init__(self, run: Path, plan: Plan) -> None:
        self._store, self._mosaics = contribution_store(run), mosaic_store(run)
        self._gives = {one.id: contribution(plan, one) for one in plan.exposures}
        self._tables = {one.id: name_of(one) for one in plan.exposures}
        self.own_s = 0.0

    def run(self, tasks: Iterable[Task]) -> Iterator[TaskOutcome]:
        """Yield the outcome of each, in order."""
        for task in tasks:
            start = time.process_time()
            outcome = self._outcome(task)
            self.own_s += time.process_time() - start
            yield outcome

    def _outcome(self, task: Task) -> TaskOutcome:
        key, product, checksum = task.key, "", digest_of(task.key.digest)
        if isinstance(task, ResampleTask):
            record = replace(self._gives[key.subject], name=key.digest)
            data = json_from(record, StoredContribution)
            self._store.objects.put(
                f"{key.digest}/contribution.json", sealed({"contribution": data})
            )
        elif isinstance(task, MergeTask):
            for plane in SUMS:
                objects = self._mosaics.objects
                array = array_of(objects, task.generation, task.tile.component, plane)
                objects.put(array.chunk_name(task.tile.row, task.tile.column), b"-")
        elif isinstance(task, MeasureTask):
            product, checksum = self._tables[key.subject], ""
        return TaskOutcome(key, TaskStatus.OK, product=product, checksum=checksum)


class Watch:
    """CPU seconds of the driver's steps, by name."""

    def __init__(self, answered: Answered) -> None:
        self._answered = answered
        self.cpu_s: dict[str, float] = {}

    def __call__(self, step: str, work: Callable[[], T]) -> T:
        """Do the work, and note what it took without the executor's own part."""
        start = time.process_time() - self._answered.own_s
        found = work()
        self.cpu_s[step] = time.process_time() - self._answered.own_s - start
        return found


def measured(folder: Path, side: int, n_sources: int) -> Driver:
    """Return CPU seconds and bytes of all steps of a raster."""
    plan = planned(folder, side)
    run = folder / "run"
    answered = Answered(run, plan)
    watch = Watch(answered)
    # Nothing waits for the disk: what counts is the processor.
    objects = LocalObjects(run, is_scratch=True)
    sizes = {"kept headers": _headers(objects, plan, watch)}
    plan_mb = _peak_mb()
    book = Journal(objects, time.time)
    nobody = cast(Executor, answered)
    tools = Tools(run, plan, nobody, book, events.silent, lambda: None, ReuseCount())
    book.append(journal.RunCreated(plan.identity, plan.parts))
    state = LoopState.at_start(
        plan.exposures, begun(plan, run).corrections[plan.exposures[0].id].geometry
    )
    state = watch("pass begun", lambda: begin_pass(tools, SETTINGS, state))
    sizes["journal: states of a pass"] = len(objects.get("journal/00000003.json"))
    sizes["journal: identity"] = len(objects.get("journal/00000001.json"))
    state = _pass(
        tools, replace(begun(plan, run), pass_start=state.corrections), watch, n_sources, folder
    )
    watch("journal read and folded", lambda: fold(Journal(objects, time.time).events()))
    tasks = measure_tasks(tools, SETTINGS, state, plan.exposures[:N_RECEIPTS])
    sizes["a task that measures, handed over"] = _pickled(tasks) * len(plan.exposures)
    _receipts(objects, tasks, watch, len(plan.exposures))
    n_tiles = sum(len(plan.tiles_made(grid)) for grid in plan.grids)
    return Driver(len(plan.exposures), n_tiles, watch.cpu_s, sizes, plan_mb, _peak_mb())


def _headers(objects: LocalObjects, plan: Plan, watch: Watch) -> int:
    settings = plan.algorithms.images
    headers_read.keep_headers(objects, plan.headers, settings)

    def arranged() -> object:
        kept = headers_read.find_headers(objects, settings)
        headers = [headers_read._header(entry) for entry in kept.entries.values()]
        return making._arranged(plan.config, headers, None, {})

    watch("plan, from kept headers", arranged)
    return len(objects.get(headers_read.HEADERS_READ))


def _pass(tools: Tools, state: LoopState, watch: Watch, n_sources: int, folder: Path) -> LoopState:
    """Return the state after a pass whose sources are known: all but detection and levels."""
    exposures = tools.plan.exposures
    views = watch("views", lambda: {one.id: passes._view(tools, state, one) for one in exposures})
    made = watch(
        "resample and merge: tasks, outcomes, what is in the mosaic, published",
        lambda: make_mosaic(tools, Turn(1, 1, is_detected=True), exposures, views, None),
    )
    state = replace(state, mosaic=made.mosaic)
    mesh = tools.plan.algorithms.mesh
    watch("detect: tiles, and what lies near each", lambda: tile_views(tools, made.mosaic, mesh))
    measured, state = watch(
        "measure: tasks, outcomes", lambda: passes._measured(tools, SETTINGS, state, exposures)
    )
    if not n_sources:
        return state
    stored(folder, tools.plan, round(len(exposures) ** 0.5), n_sources)
    solution = watch(SOLVE, lambda: solve(tools, measured, state.corrections, {}, None))
    state = passes._taken_up(tools, state, solution)
    checksum = watch("table of the pass", lambda: write_solved(tools, state, pass_name(1)))
    tools.journal.append(journal.Solved(1, pass_name(1), checksum, 0.1, len(exposures)))
    return state


def _receipts(objects: LocalObjects, tasks: Sequence[Task], watch: Watch, n: int) -> None:
    """Write and read receipts, as workers do; noted as for all exposures."""
    receipts = [Receipt(TaskOutcome(task.key, TaskStatus.OK)) for task in tasks]
    watch(OF_WORKERS[0], lambda: [write_receipt(objects, one) for one in receipts])
    watch(
        OF_WORKERS[1],
        lambda: [find_receipt(objects, task.key, lambda _: True) for task in tasks],
    )
    for step in OF_WORKERS:
        watch.cpu_s[step] *= n / len(tasks)


def _pickled(tasks: Sequence[Task]) -> int:
    return round(sum(len(pickle.dumps(task, protocol=5)) for task in tasks) / len(tasks))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main() -> list[Driver]:
    """Return what was found of each size, each in processes of its own."""
    found = []
    for side, n_sources in SIZES:
        command = [sys.executable, __file__, str(side), str(n_sources)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(done.stdout, file=sys.stderr, flush=True)
        found.append(Driver(**json.loads(done.stdout)))
    return found


if __name__ == "__main__":
    os.nice(5)
    with tempfile.TemporaryDirectory() as name:
        # What is simulated is not in the process whose memory is told.
        subprocess.run(
            [sys.executable, str(HERE / "bench_driver_memory.py"), "simulate", name, "0", "0"],
            check=True,
        )
        found = measured(Path(name), int(sys.argv[1]), int(sys.argv[2]))
        print(json.dumps(asdict(found)))
