"""A model fit of a few exposures on workers: the parts of its scene through a scratch folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from threadpoolctl import threadpool_limits

from alignsvc.domain.outcome import TaskKey, TaskOutcome
from alignsvc.engine.base import ClusterBackend, Executor, RunContext
from alignsvc.errors import AlignError, ConfigError, ResourceError, TransientError
from alignsvc.io.tables import read_table
from alignsvc.numerics.models.least_squares import LevenbergMarquardt
from alignsvc.numerics.models.scene.part_sums import PartSums
from alignsvc.numerics.models.scene.parted_fit import PartedSceneFitter, Standing
from alignsvc.numerics.models.scene.scene_partition import PIXELS_PER_PART, CutPart, SceneModels
from alignsvc.numerics.models.scene.scene_parts import (
    BeginPart,
    ConcludePart,
    FoundPart,
    PartAction,
    TryStep,
)
from alignsvc.reasons import FailureKind
from alignsvc.tasks.scene_part import (
    Action,
    PartRef,
    ScenePartTask,
    SharedModels,
    forget_parts,
    scratch,
    write_part,
)


@dataclass(frozen=True, slots=True)
class SceneWorkers:
    """Where a model fit runs, if not in this process alone.

    Parameters
    ----------
    backend : ClusterBackend
        `LocalBackend(workers=2)`, `SchedulerBackend(address)`: as under ``cluster`` in a
        configuration.
    folder : Path or None
        A directory that every worker reaches under this path: pixels go through it once, and a
        few hundred bytes a source and exposure in each pass. What is written there is deleted at
        the end. None: this machine's directory for temporary files.
    pixels_per_part : int
        Pixels of windows that are one task. It decides the last bits of the answer; the number
        of workers does not.

    Raises
    ------
    ConfigError
        No pixel in a part, or a folder that is not there.
    """

    backend: ClusterBackend
    folder: Path | None = None
    pixels_per_part: int = PIXELS_PER_PART

    def __post_init__(self) -> None:
        if self.pixels_per_part < 1:
            raise ConfigError(
                f"scene: pixels_per_part {self.pixels_per_part} found, wanted 1 or more"
            )
        if self.folder is not None and not Path(self.folder).is_dir():
            raise ConfigError(f"scene: folder {self.folder} is no directory; make it first")

    @contextmanager
    def fitter(self, search: LevenbergMarquardt) -> Iterator[PartedSceneFitter]:
        """Start the workers, and end them after the fits that are made meanwhile."""
        where = None if self.folder is None else Path(self.folder).absolute()
        # One thread of BLAS here too: the solve's sums keep one order, whatever the machine.
        with (
            threadpool_limits(limits=1),
            _scratch_folder(where) as folder,
            self.backend(RunContext(scratch(folder), folder.name)) as executor,
        ):
            try:
                workshop = StoreWorkshop(executor, folder)
                yield PartedSceneFitter(search, workshop, self.pixels_per_part)
            finally:
                forget_parts()


@contextmanager
def _scratch_folder(where: Path | None) -> Iterator[Path]:
    # A worker that was given up may still write to it.
    with TemporaryDirectory(
        prefix="alignsvc-scene-", dir=where, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


@dataclass(frozen=True, slots=True)
class StoreWorkshop:
    """Parts as tables in a folder, worked on by an executor.

    Parameters
    ----------
    executor : Executor
    folder : Path
        Holds one fit at a time.
    """

    executor: Executor
    folder: Path

    def __call__(self, models: SceneModels, parts: Iterator[CutPart]) -> PartsInStore:
        """Return the parts; each is written when it is its turn to begin."""
        objects = scratch(self.folder)
        for name in objects.list(""):
            objects.delete(name)
        return PartsInStore(self.executor, self.folder, parts, SharedModels.of(models))


class PartsInStore:
    """The parts of a scene, each action on each a task.

    Parameters
    ----------
    executor : Executor
    folder : Path
    parts : iterator of CutPart
        Taken one after the other, while workers begin with those before.
    models : SharedModels
    """

    def __init__(
        self,
        executor: Executor,
        folder: Path,
        parts: Iterator[CutPart],
        models: SharedModels,
    ) -> None:
        self.executor, self.folder, self.models = executor, folder, models
        self._cut = parts
        self._parts: list[PartRef] = []

    def begin(self, actions: Sequence[BeginPart]) -> tuple[Standing, ...]:
        """Do with each part its own action."""
        objects, made = scratch(self.folder), []

        def tasks() -> Iterator[ScenePartTask]:
            for home, (part, action) in enumerate(zip(self._cut, actions, strict=True)):
                self._parts.append(write_part(objects, home, part))
                made.append(self._task(home, "", action))
                yield made[-1]

        ended = self._ended(tasks())
        return self._stand(made, ended)

    def advance(self, action: PartAction, bases: Sequence[object]) -> tuple[Standing, ...]:
        """Do the same with each part, from its base."""
        if isinstance(action, TryStep):
            self._forget_all_but(bases)
        tasks = self._tasks(action, bases)
        return self._stand(tasks, self._ended(tasks))

    def conclude(self, action: ConcludePart, bases: Sequence[object]) -> tuple[FoundPart, ...]:
        """Return what was found of the sources."""
        objects, tasks = scratch(self.folder), self._tasks(action, bases)
        ended = self._ended(tasks)
        outcomes = [ended[task.key] for task in tasks]
        return tuple(read_table(objects, one.product, FoundPart, one.checksum) for one in outcomes)

    def _forget_all_but(self, bases: Sequence[object]) -> None:
        """Delete where parts stood: a step is only tried from the best place so far."""
        objects = scratch(self.folder)
        for name in objects.list("scene/"):
            if name not in bases:
                objects.delete(name)

    def _tasks(self, action: object, bases: Sequence[object]) -> list[ScenePartTask]:
        return [self._task(home, str(base), action) for home, base in enumerate(bases)]

    def _task(self, home: int, base: str, action: object) -> ScenePartTask:
        assert isinstance(action, Action)
        return ScenePartTask(self.folder, self._parts[home], self.models, base, action, home)

    def _stand(
        self, tasks: list[ScenePartTask], ended: dict[TaskKey, TaskOutcome]
    ) -> tuple[Standing, ...]:
        objects, found = scratch(self.folder), []
        for task in tasks:
            outcome = ended[task.key]
            sums = read_table(objects, outcome.product, PartSums, outcome.checksum)
            objects.delete(outcome.product)
            found.append(Standing(sums, task.left if outcome.fact("left") else task.base))
        return tuple(found)

    def _ended(self, tasks: Iterable[ScenePartTask]) -> dict[TaskKey, TaskOutcome]:
        """Return how tasks ended, in whatever order they did."""
        ended = {outcome.key: outcome for outcome in self.executor.run(tasks)}
        for outcome in ended.values():
            if not outcome.is_ok:
                raise _error_of(outcome)
        return ended


def _error_of(outcome: TaskOutcome) -> AlignError:
    text = f"scene: {outcome.key.subject}: {outcome.message}"
    if outcome.reason == FailureKind.WORKER_LOST:
        return ResourceError(text)
    if outcome.reason == FailureKind.TIMEOUT:
        return TransientError(text)
    return AlignError(text)
