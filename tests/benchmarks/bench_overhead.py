"""What the framework costs: tasks of half a second, and the books of ten thousand exposures."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import psutil
import yaml
from astropy.io import fits

from alignsvc import api
from alignsvc.config.load import parse_config
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.digest import digest_of
from alignsvc.domain.outcome import Status, TaskKey, TaskOutcome, TaskStatus, Verdict
from alignsvc.domain.task import TableRef
from alignsvc.engine.base import RunContext
from alignsvc.engine.clusters import cluster_backend
from alignsvc.io import journal
from alignsvc.io.exposure_files import find_exposures
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.headers_read import find_headers, keep_headers
from alignsvc.io.journal_store import Journal
from alignsvc.io.objects import LocalObjects
from alignsvc.run.planning import making
from alignsvc.run.planning.plan import Plan
from alignsvc.run.planning.reading_headers import cores, read_headers
from alignsvc.run.records import events
from alignsvc.run.records.state import fold
from alignsvc.run.stages.running import ReuseCount, Tools, run_stage
from alignsvc.tasks.memory import forget_peak, peak_bytes

GRAIN_S = 0.5
N_TASKS = 60
N_EXPOSURES, N_PASSES = 10_000, 10


@dataclass(frozen=True)
class HalfASecond:
    """A task that waits: what the processors do meanwhile is the framework's."""

    number: int

    @property
    def key(self) -> TaskKey:
        """Its identity."""
        return TaskKey("wait", str(self.number), digest_of("wait", self.number))

    def __call__(self) -> TaskOutcome:
        """Wait."""
        time.sleep(GRAIN_S)
        return TaskOutcome(self.key, TaskStatus.OK)


def wait_for(n: int) -> None:
    """Do the work of so many tasks, bare."""
    for _ in range(n):
        time.sleep(GRAIN_S)


def _cpu_s() -> float:
    """Return the CPU time of this process and of all its children that live."""
    this = psutil.Process()
    times = [one.cpu_times() for one in (this, *this.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def _took(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall and CPU seconds."""
    wall, cpu = time.perf_counter(), _cpu_s()
    work()
    return time.perf_counter() - wall, _cpu_s() - cpu


def _needed(work: Callable[[], object]) -> tuple[float, float]:
    """Return CPU seconds, and the most that this process occupied meanwhile, MB."""
    forget_peak()
    start = time.process_time()
    work()
    return time.process_time() - start, peak_bytes() / 1e6


def tasks() -> str:
    """Return the overhead of dask, journal and receipts on two workers, next to two processes."""
    with tempfile.TemporaryDirectory() as folder:
        objects, reuse = LocalObjects(Path(folder)), ReuseCount()
        backend = cluster_backend("local", {"workers": 2, "dashboard": False})
        with backend(RunContext(objects, "bench", reuse)) as executor:
            book = Journal(objects, time.time)
            tools = Tools(
                Path(folder), cast(Plan, None), executor, book, events.silent, lambda: None, reuse
            )
            run_stage(tools, "wait", 0, [HalfASecond(-n) for n in (1, 2)])
            wall_s, cpu_s = _took(
                lambda: run_stage(tools, "wait", 1, [HalfASecond(n) for n in range(N_TASKS)])
            )
    spawn = multiprocessing.get_context("fork")
    pair = [spawn.Process(target=wait_for, args=(N_TASKS // 2,)) for _ in range(2)]

    def bare() -> None:
        for one in pair:
            one.start()
        for one in pair:
            one.join()

    bare_s, _ = _took(bare)
    work_s = N_TASKS * GRAIN_S
    return (
        f"{N_TASKS} tasks of {GRAIN_S} s on two workers: {wall_s:.2f} s of wall, {bare_s:.2f} s in "
        f"two bare processes: {100 * (wall_s / bare_s - 1):.1f} %. CPU of driver, scheduler and "
        f"workers: {cpu_s:.2f} s, {100 * cpu_s / work_s:.1f} % of the work, "
        f"{1000 * cpu_s / N_TASKS:.0f} ms a task."
    )


def all_events() -> Iterator[journal.Event]:
    """Yield the journal of a long run of many exposures."""
    names = [f"night{n // 100:03d}/exposure{n:05d}" for n in range(N_EXPOSURES)]
    parts = tuple((f"input {name}", digest_of(name)) for name in names)
    yield journal.RunCreated(digest_of(parts), parts)
    yield journal.DriverStarted(1, "bench")
    numbers = np.random.default_rng(1).normal(size=(N_EXPOSURES, 6)).tolist()
    table = TableRef("tables/some/table.npz", digest_of("table"))
    for number in range(1, N_PASSES + 1):
        yield journal.PassStarted(number, number < 3)
        pairs = zip(names, numbers, strict=True)
        states = [journal.ExposureState(name, tuple(six)) for name, six in pairs]
        yield journal.States(number, tuple(states))
        for stage in ("resample", "merge", "background", "detect", "measure"):
            yield journal.StageStarted(stage, number, N_EXPOSURES)
            yield journal.StageFinished(stage, number, N_EXPOSURES, 0, 0, 0, 10**9, 1e4)
        for name in names[10 * number : 10 * number + 10]:
            yield journal.ExposureEnded(name, Status.FAILED, "unreadable", "it is not FITS")
        yield journal.SourcesFound(number, table, table, 10**6, 10**6)
        yield journal.Published(number)
        yield journal.Solved(number, table.name, table.checksum, 0.01, N_EXPOSURES)
    for name in names:
        yield journal.VerdictGiven(name, Verdict.IMPROVED, 0.1, 0.01)


def books() -> str:
    """Return what writing, reading and folding that journal costs."""
    with tempfile.TemporaryDirectory() as folder:
        book = Journal(LocalObjects(Path(folder), is_scratch=True), time.time)
        write_s, _ = _took(lambda: [book.append(event) for event in all_events()])
        n_events = len(list((Path(folder) / "journal").iterdir()))
        list_s, _ = _took(lambda: LocalObjects(Path(folder)).list("journal/"))
        read_s, peak_mb = _needed(lambda: fold(book.events()))
    return (
        f"The journal of {N_EXPOSURES} exposures and {N_PASSES} passes: {n_events} events; written "
        f"(a scratch disk) in {write_s:.1f} s, listed in {list_s:.2f} s, read and folded in "
        f"{read_s:.1f} s of CPU with {peak_mb:.0f} MB at the peak."
    )


def plans() -> str:
    """Return what a plan of ten thousand exposures costs: first reading, and from headers read."""
    side = 100
    with tempfile.TemporaryDirectory() as folder:
        sky = Path(folder) / "sky.yaml"
        layout = {"name": "stack", "count": 2, "ra": 150.1, "dec": 2.2}
        camera = {"shape": [2048, 2048], "scale_arcsec": 0.2}
        sky.write_text(
            yaml.safe_dump({"layout": layout, "camera": camera, "stars": {"density": 0.1}})
        )
        api.simulate(sky, Path(folder) / "in")
        config = parse_config(
            f"{{images: {{paths: ['{folder}/in/*.fits']}}, cluster: {{backend: serial}}}}", "bench"
        )
        plan = making.make_plan(config)
        header, settings = plan.headers[0], plan.algorithms
        found = find_exposures(config.images.paths, settings.images, ()).candidates
        read_s, _ = _took(lambda: [read_headers(found, settings.images) for _ in range(20)])
        headers = [moved(header, k // side, k % side) for k in range(side * side)]
        arrange_s, peak_mb = _needed(lambda: making._arranged(config, headers, None, {}))
        files = _files_of(headers, Path(found[0].files[0]), Path(folder) / "many")
        many = parse_config(f"{{images: {{paths: ['{files}/*/*.fits']}}}}", "bench")
        first: list[Plan] = []
        first_s, _ = _took(lambda: first.append(making.make_plan(many)))
        objects = LocalObjects(Path(folder) / "run")
        keep_s, _ = _took(lambda: keep_headers(objects, first[0].headers, settings.images))
        del first[:]
        again_wall_s, again_s = _took(
            lambda: making.make_plan(many, None, find_headers(objects, settings.images))
        )
    return (
        f"A plan: a header is read in {1000 * read_s / 20 / len(found):.1f} ms; {side * side} "
        f"headers that are read, a raster with overlaps, are put on a grid in {arrange_s:.1f} s of "
        f"CPU; {peak_mb:.0f} MB at the peak.\n\n{side * side} files, planned for the first time, "
        f"headers read by {cores()} processes: {first_s:.1f} s of wall; headers kept in "
        f"{keep_s:.1f} s; planned again from what is kept, every header block looked at: "
        f"{again_s:.1f} s of CPU, {again_wall_s:.1f} s of wall."
    )


def _files_of(headers: Sequence[ExposureHeader], like: Path, folder: Path) -> Path:
    """Write files with the header of one and the places of many; their data are holes."""
    cards, size = fits.getheader(like), like.stat().st_size
    for header in headers:
        cards["CRVAL1"], cards["CRVAL2"] = header.wcs[0].terms.crval
        path = folder / f"{header.ref.id}.fits"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cards.tostring().encode("ascii"))
        os.truncate(path, size)
    return folder


def moved(
    header: ExposureHeader, row: int, column: int, step_arcsec: float = 1024 * 0.2
) -> ExposureHeader:
    """Return the header of an exposure elsewhere: so many steps on, half a frame each."""
    step_deg = step_arcsec / 3600.0
    name = f"r{row:03d}/c{column:03d}"
    wcs = tuple(_shifted(one, column * step_deg, row * step_deg) for one in header.wcs)
    ref = replace(header.ref, id=name, fingerprint=digest_of(name))
    return replace(header, ref=ref, wcs=wcs)


def _shifted(wcs: CelestialWcs, ra_deg: float, dec_deg: float) -> CelestialWcs:
    copied = wcs.wcs.deepcopy()
    copied.wcs.crval = np.add(copied.wcs.crval, (ra_deg, dec_deg))
    return CelestialWcs(copied, wcs.shape, wcs.surface)


def main() -> str:
    """Return all of it."""
    return "\n\n".join([tasks(), books(), plans()])


if __name__ == "__main__":
    os.nice(5)
    print(main())
