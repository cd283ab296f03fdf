"""How each generation of the mosaic came about, as the journal tells it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from alignsvc.io import journal
from alignsvc.io.journal import Event, SourcesFound

#: What names a table of the loop's state.
Solution: TypeAlias = journal.Solved | journal.StepSolved | journal.RaysFound


@dataclass(frozen=True, slots=True)
class Publication:
    """A mosaic of the loop.

    Parameters
    ----------
    generation : int
    pass_number : int
        Of the pass that it was made for.
    made_by : Solved, StepSolved, RaysFound or None
        Names the table with what its exposures were placed by; None: as the loop began.
    is_searched, is_detected : bool
        Whether cosmic rays, or sources, were found on it.
    sources : SourcesFound or None
        The last catalogue that there was while it was the current one.
    """

    generation: int
    pass_number: int
    made_by: Solution | None
    is_searched: bool = False
    is_detected: bool = False
    sources: SourcesFound | None = None


def publications(told: Iterable[Event]) -> Mapping[int, Publication]:
    """Return the mosaics of a journal's present loop by generation, without the final one."""
    found: dict[int, Publication] = {}
    at = _At()
    for event in told:
        match event:
            case journal.Cleaned() | journal.Retried():
                found, at = {}, _At()
            case journal.DriverStarted():
                at = replace(at, sources=at.settled_sources)
            case journal.PassStarted():
                at = replace(at, pass_number=event.pass_number, is_full=event.is_full)
            case journal.Solved() | journal.StepSolved() | journal.RaysFound():
                at = replace(at, solution=event, settled_sources=at.sources)
                if isinstance(event, journal.RaysFound) and event.generation in found:
                    searched = replace(found[event.generation], is_searched=True)
                    found[event.generation] = searched
            case journal.LoopEnded():
                at = replace(at, is_over=True)
            case journal.Published() if not at.is_over:
                at = replace(at, generation=event.generation)
                before = found.get(event.generation)
                made = Publication(
                    event.generation, at.pass_number, at.solution, sources=at.sources
                )
                # A driver that goes on says once more what the one before has said.
                again = before is not None and before.made_by == made.made_by
                found[event.generation] = before if before is not None and again else made
            case journal.SourcesFound() if at.generation in found:
                one = found[at.generation]
                found[at.generation] = replace(
                    one, is_detected=one.is_detected or at.is_full, sources=event
                )
                at = replace(at, sources=event)
    return found


@dataclass(frozen=True, slots=True)
class _At:
    """Where a reader of the journal is."""

    pass_number: int = 0
    is_full: bool = False
    generation: int = 0
    solution: Solution | None = None
    sources: SourcesFound | None = None
    settled_sources: SourcesFound | None = None
    is_over: bool = False


def last_detection(found: Mapping[int, Publication], generation: int) -> Publication | None:
    """Return the mosaic on which the sources of a generation were detected; None if on none."""
    detected = [n for n, one in found.items() if one.is_detected and n <= generation]
    return found[max(detected)] if detected else None
