"""The parts of a picture: each is sent to whoever shows it when it is another than it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from alignsvc.run.seeing.picture import RunPicture
from alignsvc.run.seeing.picture_json import (
    Json,
    exposures_json,
    moment_json,
    mosaic_json,
    passes_json,
    tasks_json,
    workers_json,
)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a picture.

    Parameters
    ----------
    name : str
    made : callable
        Returns its JSON values.
    basis : callable
        Returns what it is made of: while that is the same, so is the part.
    """

    name: str
    made: Callable[[RunPicture], Json]
    basis: Callable[[RunPicture], object]


def _ends(picture: RunPicture) -> object:
    state = picture.status.state
    return (
        *(state.parts, state.ended, state.verdicts, state.is_finished),
        *(len(picture.outlines.id), picture.passes[-1:], picture.status.standing.is_going),
    )


def _corrections(picture: RunPicture) -> object:
    # Columns have a place for each exposure that is known; passes are read once each.
    state = picture.status.state
    return state.parts, state.ended.keys(), len(picture.outlines.id), picture.passes


PARTS = (
    Part("moment", moment_json, lambda picture: picture),
    Part("exposures", exposures_json, _ends),
    Part("passes", passes_json, _corrections),
    Part("tasks", tasks_json, lambda picture: picture.tasks),
    Part("workers", workers_json, lambda picture: picture.samples),
    Part("mosaic", mosaic_json, lambda picture: picture.mosaic),
)


class ShownParts:
    """Knows which parts of a run's pictures were shown last."""

    def __init__(self) -> None:
        self._basis: dict[str, object] = {}

    def news(self, picture: RunPicture) -> Iterator[Part]:
        """Yield the parts of a picture that are others than those of the picture before."""
        for part in PARTS:
            basis = part.basis(picture)
            if part.name not in self._basis or self._basis[part.name] != basis:
                self._basis[part.name] = basis
                yield part


def picture_json(picture: RunPicture) -> Json:
    """Return a picture as JSON values: all its parts together."""
    return {name: value for part in PARTS for name, value in part.made(picture).items()}
