"""Parts of a scene at work in this process; only what would travel passes between actions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from alignsvc.io.tables import bytes_from_table, table_from_bytes
from alignsvc.numerics.models.scene.parted_fit import Standing
from alignsvc.numerics.models.scene.scene_partition import CutPart, SceneModels
from alignsvc.numerics.models.scene.scene_parts import (
    Advance,
    BeginPart,
    ConcludePart,
    FoundPart,
    LinearisedPart,
    PartAction,
)
from alignsvc.numerics.models.scene.scene_problem import SceneEquations, SceneProblem

T = TypeVar("T")


@dataclass
class PartsInMemory:
    """Parts, and the names of the actions that were asked for."""

    problems: list[SceneProblem]
    asked: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, models: SceneModels, parts: Iterator[CutPart]) -> PartsInMemory:
        each = ((sent(part.table), sent(part.pixels)) for part in parts)
        return cls([SceneProblem(table.scene(models, pixels)) for table, pixels in each])

    def begin(self, actions: Sequence[BeginPart]) -> tuple[Standing, ...]:
        self.asked.append("begin")
        each = zip(actions, self.problems, strict=True)
        return tuple(standing(problem, action(problem), None) for action, problem in each)

    def advance(self, action: PartAction, bases: Sequence[object]) -> tuple[Standing, ...]:
        self.asked.append(type(action).__name__)
        each = zip(self.problems, bases, strict=True)
        return tuple(
            standing(problem, action(problem, equations(problem, base)), base)
            for problem, base in each
        )

    def conclude(self, action: ConcludePart, bases: Sequence[object]) -> tuple[FoundPart, ...]:
        each = zip(self.problems, bases, strict=True)
        return tuple(sent(action(problem, equations(problem, base))) for problem, base in each)


def sent(value: T) -> T:
    """Return a table as it arrives."""
    return table_from_bytes(bytes_from_table(value), type(value))


def standing(problem: SceneProblem, found: Advance, before: object) -> Standing:
    if found.there is None:
        return Standing(sent(found.sums), before)
    return Standing(sent(found.sums), sent(LinearisedPart.of(found.there, problem)))


def equations(problem: SceneProblem, base: object) -> SceneEquations:
    assert isinstance(base, LinearisedPart)
    return base.equations(problem)
