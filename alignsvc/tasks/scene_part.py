"""Do something with a part of a scene that is fitted by models."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from alignsvc.domain.digest import digest_of
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.domain.task import TableRef
from alignsvc.errors import RunStoreError
from alignsvc.io.arrays import read_array, write_array
from alignsvc.io.objects import LocalObjects
from alignsvc.io.receipts import product_is_whole
from alignsvc.io.tables import bytes_from_table, read_table, write_table
from alignsvc.numerics.models.scene.part_sums import PartSums
from alignsvc.numerics.models.scene.scene_partition import (
    CutPart,
    PartPixels,
    PartTable,
    SceneModels,
)
from alignsvc.numerics.models.scene.scene_parts import (
    BeginPart,
    ConcludePart,
    Damp,
    FoundPart,
    LinearisedPart,
    SettleLinear,
    TryStep,
)
from alignsvc.numerics.models.scene.scene_problem import SceneEquations, SceneProblem
from alignsvc.tasks.parts_at_home import PartName, PartsAtHome

Action: TypeAlias = BeginPart | TryStep | SettleLinear | Damp | ConcludePart

#: Of this process: each pass over a part's pixels asks for it.
_HOME = PartsAtHome()


def scratch(folder: Path) -> LocalObjects:
    """Return the objects of a fit: after a power cut it begins anew."""
    return LocalObjects(folder, is_scratch=True)


@dataclass(frozen=True, slots=True)
class PartRef:
    """A part in the folder.

    Parameters
    ----------
    table : TableRef
        Of the `PartTable`.
    value, weight : TableRef
        Of the arrays of `PartPixels`.
    """

    table: TableRef
    value: TableRef
    weight: TableRef


def write_part(objects: LocalObjects, home: int, part: CutPart) -> PartRef:
    """Write the part of a number, pixels as plain arrays: a table would copy them four times."""
    folder = f"parts/{home:05d}"
    table, value, weight = (f"{folder}/{name}" for name in ("part.npz", "value.npy", "weight.npy"))
    return PartRef(
        TableRef(table, write_table(objects, table, part.table)),
        TableRef(value, write_array(objects, value, part.pixels.value)),
        TableRef(weight, write_array(objects, weight, part.pixels.weight)),
    )


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
    part : PartRef
    models : SharedModels
    base : str
        Name of the `LinearisedPart` to start from; empty to begin.
    action : Action
    home : int
        Number of the part: the worker that had it before does best (`domain.task.StaysAtHome`).
    """

    folder: Path
    part: PartRef
    models: SharedModels
    base: str
    action: Action
    home: int

    @property
    def key(self) -> TaskKey:
        """Identity: the part, the models, the base and the action."""
        digest = digest_of("scene part", self.part, self.models.digest, self.base, self.action)
        return TaskKey("scene_part", self.part.table.name, digest)

    @property
    def left(self) -> str:
        """Name of the `LinearisedPart` after the action, if it leaves another."""
        return _left(self.key)

    def __call__(self) -> TaskOutcome:
        """Read, act, write."""
        objects, key = scratch(self.folder), self.key
        name = PartName(self.folder, self.home, digest_of("part", self.part, self.models.digest))
        problem = _HOME.problem(name, self._problem)
        found: PartSums | FoundPart
        there = None
        if isinstance(self.action, ConcludePart):
            found = self.action(problem, self._standing(name, problem))
            _HOME.forget(self.folder, self.home)  # nothing comes after it
        else:
            if isinstance(self.action, BeginPart):
                advance = self.action(problem)
            else:
                advance = self.action(problem, self._standing(name, problem))
            found, there = advance.sums, advance.there
        if there is not None:
            # Nobody asks for its checksum: megabytes that need not be digested.
            objects.put(_left(key), bytes_from_table(LinearisedPart.of(there, problem)))
            settled = isinstance(self.action, SettleLinear)
            beside = _HOME.other(name, self.base) if settled else self.base
            _HOME.leave(name, _left(key), there, beside)
        product = f"scene/{key.digest}/found.npz"
        checksum = write_table(objects, product, found)
        return TaskOutcome(
            key,
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

    def _standing(self, name: PartName, problem: SceneProblem) -> SceneEquations:
        """Return where the part stands: as this process left it, or as it was written down."""
        kept = _HOME.standing(name, self.base)
        if kept is not None:
            return kept
        return read_table(scratch(self.folder), self.base, LinearisedPart).equations(problem)

    def _problem(self) -> SceneProblem:
        """Return the part as a problem, read from the folder."""
        objects = scratch(self.folder)
        table, value, weight = self.part.table, self.part.value, self.part.weight
        if not objects.exists(table.name):
            raise RunStoreError(
                f"scene: {table.name} is not in {self.folder} on this worker; name a folder that "
                "every worker reaches under the same path"
            )
        pixels = PartPixels(
            read_array(objects, value.name, value.checksum),
            read_array(objects, weight.name, weight.checksum),
        )
        part = read_table(objects, table.name, PartTable, table.checksum)
        return SceneProblem(part.scene(self.models.unpacked(), pixels))


def _left(key: TaskKey) -> str:
    return f"scene/{key.digest}/left.npz"


def forget_parts() -> None:
    """Let go of the parts that this process keeps."""
    _HOME.forget()
