"""`fit_scene` in parts, each a task: the same answer, the same bits, whatever befalls tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tutorial_scene import TUTORIAL, exposures

import alignsvc
from alignsvc.domain.geometry import Points
from alignsvc.domain.outcome import TaskKey, TaskOutcome
from alignsvc.domain.task import Task
from alignsvc.engine.base import ClusterBackend, RunContext
from alignsvc.engine.clusters.serial import SerialBackend
from alignsvc.engine.serial import SerialExecutor
from alignsvc.errors import AlignError, ConfigError, RunStoreError, TransientError
from alignsvc.io.arrays import read_array
from alignsvc.io.objects import ObjectStore
from alignsvc.io.tables import read_table
from alignsvc.numerics.models.modelling.fitted_scene import FittedScene
from alignsvc.numerics.models.scene.scene import Scene, SkyModel, Sources
from alignsvc.numerics.models.scene.scene_problem import SceneProblem
from alignsvc.tasks.parts_at_home import PartName, PartsAtHome
from alignsvc.tasks.scene_part import ScenePartTask, forget_parts

TURNED = replace(TUTORIAL, turn=math.pi / 32)


def on(backend: ClusterBackend, folder: Path) -> FittedScene:
    """Return the fit of two images of three stars, each star a part."""
    workers = alignsvc.SceneWorkers(backend, folder, pixels_per_part=1)
    return alignsvc.fit_scene(exposures(TURNED, seed=1, with_variance=True), workers=workers)


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> FittedScene:
    return on(SerialBackend(), tmp_path_factory.mktemp("serial"))


def assert_same_bits(found: FittedScene, wanted: FittedScene) -> None:
    assert found.outcome is wanted.outcome
    assert found.fit is not None
    assert wanted.fit is not None
    for name in ("value", "covariance", "source_covariance", "shape"):
        assert np.array_equal(getattr(found.fit, name), getattr(wanted.fit, name)), name
    assert np.array_equal(found.fit.place, wanted.fit.place)
    assert found.fit.history == wanted.fit.history
    assert found.sources is not None
    assert wanted.sources is not None
    assert np.array_equal(found.sources.flux, wanted.sources.flux)


def test_in_parts_the_answer_is_that_of_one_piece(serial: FittedScene) -> None:
    whole = alignsvc.fit_scene(exposures(TURNED, seed=1, with_variance=True))
    assert whole.fit is not None
    assert serial.fit is not None
    assert whole.fit.covariance is not None
    error = np.sqrt(np.diagonal(whole.fit.covariance))
    assert np.abs((serial.fit.value - whole.fit.value) / error).max() < 1e-6
    assert serial.outcome is whole.outcome
    assert serial.degrees_of_freedom == whole.degrees_of_freedom
    assert serial.chi2 == pytest.approx(whole.chi2, rel=1e-10)
    found, wanted = serial.exposures[1].correction, whole.exposures[1].correction
    assert found is not None
    assert wanted is not None
    np.testing.assert_allclose(found.covariance, wanted.covariance, rtol=1e-6)


def test_errors_that_chi2_makes_larger_are_those_of_one_piece(tmp_path: Path) -> None:
    """A variance given half of what it is: chi2/dof 2, and another look at the pixels."""
    images = tuple(
        replace(one, variance=0.5 * np.asarray(one.variance))
        for one in exposures(TURNED, seed=1, with_variance=True)
    )
    workers = alignsvc.SceneWorkers(SerialBackend(), tmp_path, pixels_per_part=1)
    found, wanted = alignsvc.fit_scene(images, workers=workers), alignsvc.fit_scene(images)
    one, other = found.exposures[1].correction, wanted.exposures[1].correction
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-6)
    given = alignsvc.fit_scene(images, settings=alignsvc.SceneSettings(errors="given"))
    small = given.exposures[1].correction
    assert small is not None
    assert np.trace(one.covariance) > 1.8 * np.trace(small.covariance)


class Reversed(SerialExecutor):
    """Tasks that were handed over last are done and arrive first."""

    def run(self, tasks: Iterable[Task]) -> Iterator[TaskOutcome]:
        yield from super().run(reversed(list(tasks)))


@dataclass(frozen=True)
class Flaky:
    """A task that does its work and then fails once, as if its worker had died with it."""

    task: Task
    failed: list[TaskKey] = field(default_factory=list)

    @property
    def key(self) -> TaskKey:
        return self.task.key

    def __call__(self) -> TaskOutcome:
        outcome = self.task()
        if not self.failed:
            self.failed.append(self.key)
            raise TransientError("its worker is gone")
        return outcome


class EveryThirdFails(SerialExecutor):
    def run(self, tasks: Iterable[Task]) -> Iterator[TaskOutcome]:
        each = enumerate(tasks)
        yield from super().run(Flaky(task) if n % 3 == 0 else task for n, task in each)


class Elsewhere(SerialExecutor):
    """Runs tasks on a machine where the folder is another."""

    def run(self, tasks: Iterable[Task]) -> Iterator[TaskOutcome]:
        for task in tasks:
            assert isinstance(task, ScenePartTask)
            yield from super().run([replace(task, folder=task.folder / "elsewhere")])


class Forgetful(SerialExecutor):
    """Does each task on another worker than the one before."""

    def run(self, tasks: Iterable[Task]) -> Iterator[TaskOutcome]:
        for task in tasks:
            forget_parts()
            yield from super().run([task])


class Tidied(Forgetful):
    """Loses where a part stood, as a full disk or a tidy administrator would."""

    def run(self, tasks: Iterable[Task]) -> Iterator[TaskOutcome]:
        for task in tasks:
            assert isinstance(task, ScenePartTask)
            if task.base:
                self._context.objects.delete(task.base)
            yield from super().run([task])


@dataclass(frozen=True)
class Backend:
    """A backend of an executor of these tests."""

    executor: type[SerialExecutor]

    def __call__(self, context: RunContext) -> SerialExecutor:
        return self.executor(context)


@pytest.mark.parametrize("executor", [Reversed, EveryThirdFails, Forgetful])
def test_neither_order_nor_a_second_try_nor_another_worker_changes_a_bit(
    executor: type[SerialExecutor], serial: FittedScene, tmp_path: Path
) -> None:
    assert_same_bits(on(Backend(executor), tmp_path), serial)
    assert not list(tmp_path.iterdir())  # nothing is left in the folder


@dataclass(frozen=True)
class Counted:
    """What is read from the folder, by which function."""

    by: Callable[..., Any]
    read: list[str] = field(default_factory=list)

    def __call__(self, objects: ObjectStore, name: str, *more: object) -> Any:
        self.read.append(name)
        return self.by(objects, name, *more)


def test_pixels_are_read_once_or_where_memory_is_short_in_each_pass_for_the_same_bits(
    serial: FittedScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, tables = Counted(read_array), Counted(read_table)
    monkeypatch.setattr("alignsvc.tasks.scene_part.read_array", pixels)
    monkeypatch.setattr("alignsvc.tasks.scene_part.read_table", tables)
    assert_same_bits(on(SerialBackend(), tmp_path), serial)
    assert len(pixels.read) == 2 * 3  # values and weights of three stars, each a part
    assert len(set(pixels.read)) == len(pixels.read)
    assert len(tables.read) == 3  # where a part stands is never read
    pixels.read.clear()
    monkeypatch.setattr("alignsvc.tasks.parts_at_home._MOST_BYTES", 0)
    assert_same_bits(on(SerialBackend(), tmp_path), serial)
    assert serial.fit is not None
    assert len(pixels.read) >= 2 * 3 * len(serial.fit.history)


def test_parts_of_an_earlier_fit_are_let_go(tmp_path: Path) -> None:
    home, problem = (
        PartsAtHome(),
        SceneProblem(Scene((), Sources.stars(Points(np.zeros(0), np.zeros(0))), (), SkyModel.NONE)),
    )
    made: list[str] = []

    def asked(fit: str, number: int) -> SceneProblem:
        def make() -> SceneProblem:
            made.append(f"{fit} {number}")
            return problem

        return home.problem(PartName(tmp_path, number, f"{fit} {number}"), make)

    for fit in ("first", "first", "second", "second"):
        for number in range(2):
            asked(fit, number)
    assert made == ["first 0", "first 1", "second 0", "second 1"]


def test_a_folder_that_workers_do_not_reach_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunStoreError, match=r"elsewhere on this worker; name a folder"):
        on(Backend(Elsewhere), tmp_path)


def test_what_is_lost_from_the_folder_stops_the_fit(tmp_path: Path) -> None:
    with pytest.raises(AlignError, match=r"left.npz is missing"):
        on(Backend(Tidied), tmp_path)


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pixels_per_part 0 found"):
        alignsvc.SceneWorkers(SerialBackend(), pixels_per_part=0)
    with pytest.raises(ConfigError, match="absent is no directory"):
        alignsvc.SceneWorkers(SerialBackend(), tmp_path / "absent")
