"""Do something with a part of a scene that is fitted by models."""

from __future__ import annotations

import hashlib
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from alignsvc.domain.digest import digest_of
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.domain.task import TableRef
from alignsvc.errors import RunStoreError
from alignsvc.io.objects import LocalObjects
from alignsvc.io.receipts import product_is_whole
from alignsvc.io.tables import read_table, write_table
from alignsvc.numerics.models.part_sums import PartSums
from alignsvc.numerics.models.scene_partition import PartTable, SceneModels
from alignsvc.numerics.models.scene_parts import (
    BeginPart,
    ConcludePart,
    Damp,
    FoundPart,
    LinearisedPart,
    SettleLinear,
    TryStep,
)
from alignsvc.numerics.models.scene_problem import SceneEquations, SceneProblem

Action: TypeAlias = BeginPart | TryStep | SettleLinear | Damp | ConcludePart

#: Parts that a worker keeps in memory during a fit, pixels and all: to read one again takes as long
#: as a quarter of a pass over it.
_KEPT = 4


def scratch(folder: Path) -> LocalObjects:
    """Return the objects of a fit: after a power cut it begins anew."""
    return LocalObjects(folder, is_scratch=True)


@dataclass(frozen=True, slots=True, eq=False)
class SharedModels:
    """What all parts of a scene have in common, packed once by the driver.

    Parameters
    ----------
    content : bytes
        It holds objects of many classes, WCS among them, as tasks themselves do.
    digest : str
    """

    content: bytes
    digest: str

    @classmethod
    def of(cls, models: SceneModels) -> SharedModels:
        """Return them packed."""
        content = pickle.dumps(models, protocol=5)
        return cls(content, hashlib.sha256(content).hexdigest())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SharedModels) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def unpacked(self) -> SceneModels:
        """Return the models."""
        models: SceneModels = pickle.loads(self.content)  # noqa: S301 - it came with the task
        return models


@dataclass(frozen=True, slots=True, eq=False)
class ScenePartTask:
    """One action on one part; product: what it found, and where the part stands after it.

    Parameters
    ----------
    folder : Path
        The fit's scratch directory.
    part : TableRef
        Of the `PartTable`.
    models : SharedModels
    base : str
        Name of the `LinearisedPart` to start from; empty to begin.
    action : Action
    home : int
        Number of the part: the worker that had it before does best (`domain.task.StaysAtHome`).
    """

    folder: Path
    part: TableRef
    models: SharedModels
    base: str
    action: Action
    home: int

    @property
    def key(self) -> TaskKey:
        """Identity: the part, the models, the base and the action."""
        digest = digest_of("scene part", self.part, self.models.digest, self.base, self.action)
        return TaskKey("scene_part", self.part.name, digest)

    @property
    def left(self) -> str:
        """Name of the `LinearisedPart` after the action, if it leaves another."""
        return f"scene/{self.key.digest}/left.npz"

    def __call__(self) -> TaskOutcome:
        """Read, act, write."""
        objects = scratch(self.folder)
        problem = _problem(self.folder, self.part, self.models)
        found: PartSums | FoundPart
        there = None
        if isinstance(self.action, ConcludePart):
            found = self.action(problem, self._standing(problem))
            forget_parts()  # nothing comes after it
        else:
            if isinstance(self.action, BeginPart):
                advance = self.action(problem)
            else:
                advance = self.action(problem, self._standing(problem))
            found, there = advance.sums, advance.there
        if there is not None:
            write_table(objects, self.left, LinearisedPart.of(there, problem))
            _STANDING.keep((self.folder, self.left), there)
        product = f"scene/{self.key.digest}/found.npz"
        checksum = write_table(objects, product, found)
        return TaskOutcome(
            self.key,
            TaskStatus.OK,
            product=product,
            checksum=checksum,
            facts=(("left", float(there is not None)),),
        )

    def product_is_whole(self, outcome: TaskOutcome) -> bool:
        """Whether what was found, and where the part stands, are in the store."""
        objects = scratch(self.folder)
        stands = not outcome.fact("left") or objects.exists(self.left)
        return stands and product_is_whole(objects, outcome)

    def _standing(self, problem: SceneProblem) -> SceneEquations:
        """Return where the part stands: as this process left it, or as it was written down."""
        kept = _STANDING.found((self.folder, self.base))
        if kept is not None:
            return kept
        return read_table(scratch(self.folder), self.base, LinearisedPart).equations(problem)


class _Kept:
    """The last equations of a process, so that it need not make them again: the same bits."""

    def __init__(self) -> None:
        self._of: OrderedDict[tuple[Path, str], SceneEquations] = OrderedDict()

    def keep(self, name: tuple[Path, str], equations: SceneEquations) -> None:
        self._of[name] = equations
        while len(self._of) > 2 * _KEPT:
            self._of.popitem(last=False)

    def found(self, name: tuple[Path, str]) -> SceneEquations | None:
        return self._of.get(name)

    def clear(self) -> None:
        self._of.clear()


_STANDING = _Kept()


@lru_cache(maxsize=_KEPT)
def _problem(folder: Path, part: TableRef, models: SharedModels) -> SceneProblem:
    """Return a part as a problem; kept, since each pass over its pixels asks for it."""
    objects = scratch(folder)
    if not objects.exists(part.name):
        raise RunStoreError(
            f"scene: {part.name} is not in {folder} on this worker; name a folder that every "
            "worker reaches under the same path"
        )
    table = read_table(objects, part.name, PartTable, part.checksum)
    return SceneProblem(table.scene(models.unpacked()))


def forget_parts() -> None:
    """Let go of the parts that this process keeps."""
    _problem.cache_clear()
    _STANDING.clear()
