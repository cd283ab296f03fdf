"""Where a run stands: a pure fold over its journal. Times take no part in it.

A driver goes on from the last point at which a pass, or a colour of one, was *solved*, or its
cosmic rays were found. What the journal tells after that point (exposures that ended, sources) was
true for the driver that died; the next one finds it again, from receipts, or differently, where a
worker was to blame. So a new driver begins from what is `Settled`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from types import MappingProxyType
from typing import Any, TypeVar

from alignsvc.domain.task import TableRef
from alignsvc.errors import RunStoreError
from alignsvc.io import journal
from alignsvc.io.journal import (
    Event,
    EventKind,
    ExposureEnded,
    ExposureState,
    HeaderApplied,
    SourcesFound,
    VerdictGiven,
)

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class PassRecord:
    """A pass as far as it went.

    Parameters
    ----------
    number : int
        1, 2, 3, ...
    is_full : bool
        Whether sources were detected anew.
    solution : Solved or None
        None while the pass goes on.
    step : RaysFound, StepSolved or None
        How far it is settled: cosmic rays were found, or colours were solved, on the fly.
    sources : SourcesFound or None
        The catalogue that it was solved from.
    """

    number: int
    is_full: bool
    solution: journal.Solved | None = None
    step: journal.RaysFound | journal.StepSolved | None = None
    sources: SourcesFound | None = None

    @property
    def n_sources(self) -> int:
        """How many sources it was solved from."""
        return 0 if self.sources is None else self.sources.n_chosen


@dataclass(frozen=True, slots=True)
class Settled:
    """What stood when a pass, or a colour of one, was last solved, or its cosmic rays found.

    Parameters
    ----------
    ended : mapping of exposure id to ExposureEnded
    sources : SourcesFound or None
    generation : int or None
        The mosaic that it was solved from.
    solution : Solved, StepSolved, RaysFound or None
        Names the table with the corrections; None before the first.
    """

    ended: Mapping[str, ExposureEnded] = field(default_factory=lambda: MappingProxyType({}))
    sources: SourcesFound | None = None
    generation: int | None = None
    solution: journal.Solved | journal.StepSolved | journal.RaysFound | None = None


@dataclass(frozen=True, slots=True)
class RunState:
    """Everything that the journal says.

    Parameters
    ----------
    identity : str
        Of the run; empty before it was created.
    parts : tuple of (str, str)
        Pieces of the identity, each with its digest.
    passes : tuple of PassRecord
        In order; only the last may be unsolved.
    states : mapping of exposure id to ExposureState
        As of the last pass that began.
    ended : mapping of exposure id to ExposureEnded
        Exposures that were skipped or failed.
    sources : SourcesFound or None
        The last catalogue.
    generation : int or None
        The published mosaic.
    settled : Settled
    loop_end : LoopEnded or None
        None while there may be more passes.
    verdicts : mapping of exposure id to VerdictGiven
    headers : tuple of HeaderApplied
        Written and not reverted.
    start : TableRef or None
        Where the loop begins; None before exposures were compared.
    exit_code : int or None
        None while the run goes on.
    extended : Extended or None
        What it extends; None if nothing.
    cancelled : Cancelled or None
        Why nobody goes on with it; None once a driver does.
    obeyed : frozenset of str
        Requests to cancel that were obeyed: they count once.
    planned : Planned or None
        The largest reading of headers: mostly the first.
    is_anew : bool
        Whether the loop begins anew and what its last attempt left is still to be removed.
    """

    identity: str = ""
    parts: tuple[tuple[str, str], ...] = ()
    passes: tuple[PassRecord, ...] = ()
    states: Mapping[str, ExposureState] = field(default_factory=lambda: MappingProxyType({}))
    ended: Mapping[str, ExposureEnded] = field(default_factory=lambda: MappingProxyType({}))
    sources: SourcesFound | None = None
    generation: int | None = None
    settled: Settled = field(default_factory=Settled)
    loop_end: journal.LoopEnded | None = None
    verdicts: Mapping[str, VerdictGiven] = field(default_factory=lambda: MappingProxyType({}))
    headers: tuple[HeaderApplied, ...] = ()
    start: TableRef | None = None
    exit_code: int | None = None
    extended: journal.Extended | None = None
    cancelled: journal.Cancelled | None = None
    obeyed: frozenset[str] = frozenset()
    planned: journal.Planned | None = None
    is_anew: bool = False

    @property
    def run_id(self) -> str:
        """What corrected headers call the run (ALIGNRUN)."""
        return run_id_of(self.identity)

    @property
    def solved_passes(self) -> tuple[PassRecord, ...]:
        """The passes whose corrections are known, in order."""
        return tuple(record for record in self.passes if record.solution is not None)

    @property
    def movements_px(self) -> tuple[float, ...]:
        """The largest movement of each solved pass."""
        return tuple(r.solution.movement_px for r in self.passes if r.solution is not None)

    @property
    def is_within_pass(self) -> bool:
        """Whether the last pass is settled in part: its cosmic rays, or some of its colours."""
        last = self.passes[-1] if self.passes else None
        return last is not None and last.solution is None and last.step is not None

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its end."""
        return self.exit_code is not None


def run_id_of(identity: str) -> str:
    """Return the short name of the run of an identity."""
    return identity[:16]


def fold(events: Iterable[Event]) -> RunState:
    """Return the state that `events` lead to.

    Raises
    ------
    RunStoreError
        The events do not make a run: a pass out of order, or one solved that never began.
    """
    return after_all(RunState(), events)


def after_all(state: RunState, events: Iterable[Event]) -> RunState:
    """Return the state after more events, one by one; errors as of `fold`.

    Exposures end, and are judged, by the thousand: what is said of each goes into one mapping.
    """
    for kind, group in groupby(events, key=lambda event: event.kind):
        if kind is EventKind.EXPOSURE_ENDED:
            state = replace(state, ended=_with(state.ended, group))
        elif kind is EventKind.VERDICT:
            state = replace(state, verdicts=_with(state.verdicts, group))
        else:
            for event in group:
                state = _after(state, event)
    return state


def _after(state: RunState, event: Event) -> RunState:
    """Return the state after one more event."""
    match event:
        case journal.RunCreated():
            return replace(state, identity=event.identity, parts=event.parts)
        case journal.Planned():
            is_larger = state.planned is None or event.n_read > state.planned.n_read
            return replace(state, planned=event) if is_larger else state
        case journal.Extended():
            return replace(state, extended=event)
        case journal.DriverStarted():
            settled = state.settled
            return replace(state, ended=settled.ended, sources=settled.sources, cancelled=None)
        case journal.Bootstrapped():
            return replace(state, start=event.table)
        case journal.PassStarted():
            return _begun(state, event)
        case journal.Solved() | journal.StepSolved() | journal.RaysFound():
            return _solved(state, event)
        case journal.States():
            return replace(state, states=MappingProxyType({s.exposure: s for s in event.exposures}))
        case journal.LoopEnded():
            return replace(state, loop_end=event)
        case journal.SourcesFound():
            return replace(state, sources=event)
        case journal.Published():
            return replace(state, generation=event.generation)
        case journal.HeaderApplied():
            return replace(state, headers=(*state.headers, event))
        case journal.HeaderReverted():
            kept = tuple(h for h in state.headers if h.file != event.file)
            return replace(state, headers=kept)
        case journal.Finished():
            return replace(state, exit_code=event.exit_code, is_anew=False)
        case journal.Cancelled():
            return replace(state, cancelled=event, obeyed=state.obeyed | {event.request})
        case journal.Retried():
            return replace(_anew(state), identity=event.identity, parts=event.parts)
        case journal.Cleaned():
            return _anew(state)
        case _:  # stages, damage: history, not state
            return state


def _begun(state: RunState, event: journal.PassStarted) -> RunState:
    known = state.passes
    if known and known[-1].solution is None:
        known = known[:-1]  # a driver died in it; this one begins it again
    if event.pass_number != len(known) + 1:
        raise RunStoreError(
            f"journal: pass {event.pass_number} begins after pass {len(known)}; the journal "
            "cannot be trusted, start a new run"
        )
    passes = (*known, PassRecord(event.pass_number, event.is_full))
    return replace(state, passes=passes, is_anew=False)


def _anew(state: RunState) -> RunState:
    """Return the state of a run whose loop begins anew: what it is, and nothing that it found."""
    return RunState(
        identity=state.identity,
        parts=state.parts,
        headers=state.headers,
        extended=state.extended,
        planned=state.planned,
        cancelled=state.cancelled,
        obeyed=state.obeyed,
        is_anew=True,
    )


def _solved(
    state: RunState, event: journal.Solved | journal.StepSolved | journal.RaysFound
) -> RunState:
    if not state.passes or state.passes[-1].number != event.pass_number:
        raise RunStoreError(
            f"journal: pass {event.pass_number} was solved but never began; the journal cannot "
            "be trusted, start a new run"
        )
    last = replace(state.passes[-1], sources=state.sources)
    if isinstance(event, journal.Solved):
        last = replace(last, solution=event, step=None)
    else:
        last = replace(last, step=event)
    settled = Settled(state.ended, state.sources, state.generation, event)
    return replace(state, passes=(*state.passes[:-1], last), settled=settled)


def _with(mapping: Mapping[str, V], events: Iterable[Any]) -> Mapping[str, V]:
    return MappingProxyType({**mapping, **{event.exposure: event for event in events}})
