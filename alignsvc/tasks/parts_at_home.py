"""What a worker keeps of a scene's parts between two actions: time is saved, no number changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from alignsvc.numerics.models.scene.scene_problem import SceneEquations, SceneProblem
from alignsvc.tasks.memory import allowed_bytes

#: Of parts that a process keeps, pixels and all. What is beyond is read again for each action.
_MOST_BYTES = 1 << 30
#: Of what a process may allocate, at most.
_SHARE_OF_A_LIMIT = 0.5


@dataclass(frozen=True, slots=True)
class PartName:
    """Which part of which fit.

    Parameters
    ----------
    folder : Path
        Of the fits; one at a time.
    home : int
        Number of the part.
    content : str
        Digest of the part and its models: another fit has others.
    """

    folder: Path
    home: int
    content: str


@dataclass(slots=True)
class _Kept:
    content: str
    problem: SceneProblem
    n_bytes: int
    standing: dict[str, SceneEquations] = field(default_factory=dict)


class PartsAtHome:
    """Parts of scenes in memory, and the equations where each stood and where it was left last.

    What comes first is kept: all parts are asked for in turn, so that to make room for one would
    only throw out another that is asked for sooner.
    """

    def __init__(self) -> None:
        self._of: dict[tuple[Path, int], _Kept] = {}

    def problem(self, name: PartName, made: Callable[[], SceneProblem]) -> SceneProblem:
        """Return the part `name` as it is kept, or as `made` makes it."""
        kept = self._found(name)
        if kept is not None:
            return kept.problem
        if (name.folder, name.home) in self._of:  # of the fit before
            self.forget(name.folder)
        problem = made()
        n_bytes = _bytes_of(problem)
        if n_bytes + sum(one.n_bytes for one in self._of.values()) <= _most_bytes():
            self._of[name.folder, name.home] = _Kept(name.content, problem, n_bytes)
        return problem

    def leave(self, name: PartName, left: str, there: SceneEquations, beside: str) -> None:
        """Keep where a part stands, by the name of its `LinearisedPart`, if the part is kept.

        One other place is kept `beside` it: the best so far, to which a fit may come back.
        """
        kept = self._found(name)
        if kept is not None:
            best = {one: at for one, at in kept.standing.items() if one == beside}
            kept.standing = {**best, left: there}

    def standing(self, name: PartName, base: str) -> SceneEquations | None:
        """Return where a part was left, if that is `base` and it was kept."""
        kept = self._found(name)
        return None if kept is None else kept.standing.get(base)

    def other(self, name: PartName, base: str) -> str:
        """Return the place that is kept beside `base`; empty if there is none."""
        kept = self._found(name)
        return next((one for one in kept.standing if one != base), "") if kept is not None else ""

    def forget(self, folder: Path | None = None, home: int | None = None) -> None:
        """Let go of a part, of those of a folder, or of all."""
        for where, number in list(self._of):
            if folder in (None, where) and home in (None, number):
                del self._of[where, number]

    def _found(self, name: PartName) -> _Kept | None:
        kept = self._of.get((name.folder, name.home))
        return kept if kept is not None and kept.content == name.content else None


def _bytes_of(problem: SceneProblem) -> int:
    """Return what a part and its equations occupy: pixels, sums of windows, the reduced matrix."""
    count = 2 * 8 * len(problem.layout.table) ** 2
    for batch in problem.layout.batches:
        windows = batch.views.windows
        columns = batch.n_columns + len(batch.profiles) + problem.scene.n_sky_terms + 1
        count += windows.pixels.nbytes + windows.weight.nbytes
        # At two places; derivatives take as much as the sums.
        count += 2 * 2 * 8 * columns**2 * len(windows)
    return count


def _most_bytes() -> float:
    allowed = allowed_bytes()
    return _MOST_BYTES if allowed is None else min(_MOST_BYTES, _SHARE_OF_A_LIMIT * allowed)
