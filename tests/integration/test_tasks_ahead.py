"""A worker reads the exposure of the task that waits, of a far place, while it works on another."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "io"))
from distributed import LocalCluster
from exposure_samples import PLAIN, image, write
from object_servers import Site, http_site

from alignsvc.domain.digest import digest_of
from alignsvc.domain.exposure import ExposureRef
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.engine.base import Executor, RunContext
from alignsvc.engine.clusters import cluster_backend
from alignsvc.engine.dask_workers import DaskSettings
from alignsvc.engine.distributed import DaskExecutor
from alignsvc.engine.serial import SerialExecutor
from alignsvc.io import bucket_clients
from alignsvc.io.exposure_files import ExposureCandidate
from alignsvc.io.exposure_headers import inspect_exposure
from alignsvc.io.exposure_pixels import read_exposure
from alignsvc.io.inputs_ahead import inputs_ahead
from alignsvc.io.objects import LocalObjects

N = 4
#: A busy machine decides nothing.
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Sum:
    """Adds up an exposure's pixels, and goes on working until a file is there."""

    exposure_read: ExposureRef
    until: Path

    @property
    def key(self) -> TaskKey:
        return TaskKey("sum", self.exposure_read.id, digest_of("sum", self.exposure_read))

    def __call__(self) -> TaskOutcome:
        (chip,) = read_exposure(self.exposure_read, PLAIN).chips
        end = time.monotonic() + PATIENCE_S
        while not self.until.exists() and time.monotonic() < end:
            time.sleep(0.01)
        return TaskOutcome(self.key, TaskStatus.OK, facts=(("sum", float(chip.pixels.sum())),))


class Deadly(Sum):
    """Its worker dies once the next exposure is on its way, as often as it is tried."""

    def __call__(self) -> TaskOutcome:
        super().__call__()
        os._exit(13)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    bucket_clients._made.cache_clear()
    with http_site() as site:
        for k in range(N):
            pixels = np.random.default_rng(k).normal(100.0, 5.0, (600, 600)).astype(np.float32)
            path = write(tmp_path / f"{k}.fits", image(pixels, "SCI"))
            site.files[f"/{k}.fits"] = path.read_bytes()
        yield site
    inputs_ahead().forget()
    bucket_clients._made.cache_clear()


class Watched(dict[str, bytes]):
    """Files of a site; whoever was asked for nearly all of one lets the task before it end."""

    def __init__(self, site: Site, folder: Path) -> None:
        super().__init__(site.files)
        self.site, self.folder = site, folder

    def get(self, path: str, default: bytes | None = None) -> bytes | None:  # type: ignore[override]
        parts = [
            line.rpartition("bytes=")[2].split("-")
            for line in self.site.asked
            if line.startswith(f"GET {path} ")
        ]
        content = super().get(path, default)
        asked = sum(int(last) - int(first) + 1 for first, last in parts)
        if content is not None and asked >= len(content) - 2880:
            (self.folder / path[1:]).touch()
        return content


def tasks_of(site: Site, folder: Path, first: type[Sum] = Sum) -> list[Sum]:
    """Return a task for each exposure; each ends when the next one's has been asked for."""
    refs = [
        inspect_exposure(ExposureCandidate(str(k), (f"{site.address}/{k}.fits",)), PLAIN).ref
        for k in range(N)
    ]
    site.files = Watched(site, folder)
    site.asked.clear()
    folder.mkdir()
    marks = [folder / f"{k + 1}.fits" for k in range(N - 1)] + [folder]
    kinds = [first, *[Sum] * (N - 1)]
    return [kind(*one) for kind, *one in zip(kinds, refs, marks, strict=True)]


def dask_in_this_process(stack: ExitStack, context: RunContext) -> Executor:
    """Return an executor with one worker of one thread, which is a thread here."""
    cluster = stack.enter_context(
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None)
    )
    client = stack.enter_context(cluster.get_client())
    return stack.enter_context(DaskExecutor(client, context, DaskSettings(), lambda: None))


def serial(stack: ExitStack, context: RunContext) -> Executor:
    return stack.enter_context(SerialExecutor(context))


@pytest.mark.parametrize("executor", [serial, dask_in_this_process])
def test_each_exposure_but_the_first_is_there_when_its_task_begins(
    site: Site, tmp_path: Path, executor: object
) -> None:
    tasks = tasks_of(site, tmp_path / "marks")
    with ExitStack() as stack:
        assert callable(executor)
        runs = executor(stack, RunContext(LocalObjects(tmp_path / "run")))
        outcomes = {one.key.subject: one for one in runs.run(tasks)}
    sums = [dict(outcomes[str(k)].facts)["sum"] for k in range(N)]
    assert sums == [float(read_near(tmp_path, k).sum()) for k in range(N)]
    for k in range(N):
        heads = site.asked.count(f"HEAD /{k}.fits")
        assert heads == (1 if k == 0 else 2)  # ahead, and by the task itself
        asked = [line for line in site.asked if line.startswith(f"GET /{k}.fits")]
        own = max(i for i, line in enumerate(site.asked) if line == f"HEAD /{k}.fits")
        assert k == 0 or all(site.asked.index(line) < own for line in asked)
        parts = [line.rpartition("bytes=")[2].split("-") for line in asked]
        assert sum(int(last) - int(first) + 1 for first, last in parts) <= len(
            site.files[f"/{k}.fits"]
        )


def test_a_worker_that_dies_with_what_it_read_ahead_costs_no_other_task_anything(
    site: Site, tmp_path: Path
) -> None:
    deadly, *others = tasks_of(site, tmp_path / "marks", Deadly)
    # Which of them come next once a worker has died is dask's business.
    tasks = [deadly, *(replace(one, until=tmp_path) for one in others)]
    context = RunContext(LocalObjects(tmp_path / "run"))
    with cluster_backend("local", {"workers": 1})(context) as executor:
        outcomes = {one.key.subject: one for one in executor.run(tasks)}
    assert not outcomes.pop("0").is_ok
    for k in range(1, N):
        assert dict(outcomes[str(k)].facts)["sum"] == float(read_near(tmp_path, k).sum())


def read_near(folder: Path, k: int) -> np.ndarray:
    candidate = ExposureCandidate(str(k), (str(folder / f"{k}.fits"),))
    return read_exposure(inspect_exposure(candidate, PLAIN).ref, PLAIN).chips[0].pixels
