"""Several runs on one scheduler: each gets on, none gets what is another's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from alignsvc.domain.digest import digest_of
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.engine.base import Executor, RunContext
from alignsvc.engine.clusters.local import LocalBackend
from alignsvc.engine.clusters.scheduler import SchedulerBackend
from alignsvc.engine.distributed import DaskExecutor
from alignsvc.io.objects import LocalObjects


@dataclass(frozen=True)
class Short:
    """Writes a word into its run's directory; its key knows of no directory."""

    number: int
    root: Path

    @property
    def key(self) -> TaskKey:
        return TaskKey("short", f"{self.number}", digest_of("short", self.number))

    def __call__(self) -> TaskOutcome:
        time.sleep(0.02)
        name = f"products/{self.number}"
        LocalObjects(self.root).put(name, b"done")
        return TaskOutcome(self.key, TaskStatus.OK, product=name)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with one worker."""
    objects = LocalObjects(tmp_path_factory.mktemp("owner"))
    with LocalBackend(workers=1, dashboard=False)(RunContext(objects)) as executor:
        assert isinstance(executor, DaskExecutor)
        yield str(executor._client.scheduler.address)


def run_in(folder: Path, scheduler: str) -> Executor:
    # The same configuration, so the same id, in another directory.
    return SchedulerBackend(scheduler)(RunContext(LocalObjects(folder), "same"))


def shorts(folder: Path, count: int) -> list[Short]:
    return [Short(number, folder) for number in range(count)]


def test_one_configuration_in_two_directories_is_two_runs(scheduler: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with run_in(first, scheduler) as one, run_in(second, scheduler) as other:
        outcomes = one.run(shorts(first, 9))
        next(outcomes)  # its window is handed over
        assert len(list(other.run(shorts(second, 9)))) == 9
        assert len(list(outcomes)) == 8
    for folder in (first, second):
        assert len(list((folder / "products").iterdir())) == 9


def test_a_run_that_comes_later_takes_turns_with_the_one_before(
    scheduler: str, tmp_path: Path
) -> None:
    ended: list[str] = []

    def carry_out(name: str, count: int) -> None:
        with run_in(tmp_path / name, scheduler) as executor:
            ended.extend(name for _ in executor.run(shorts(tmp_path / name, count)))

    with ThreadPoolExecutor(2) as threads:
        long = threads.submit(carry_out, "long", 120)
        while not ended:
            assert not long.done(), long.exception()
            time.sleep(0.01)
        threads.submit(carry_out, "short", 15).result(timeout=60)
        long.result(timeout=60)
    first, last = ended.index("short"), len(ended) - ended[::-1].index("short")
    assert last < len(ended), "it had to wait until all others were done"
    assert ended[first:last].count("long") >= 5, "the others had to wait for it"


def test_a_run_that_is_given_up_leaves_the_other(scheduler: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with run_in(second, scheduler) as stays:
        outcomes = stays.run(shorts(second, 9))
        next(outcomes)
        with run_in(first, scheduler) as goes:
            given_up = goes.run(shorts(first, 9))
            next(given_up)
        assert len(list(outcomes)) == 8
