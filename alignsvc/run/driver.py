"""The driver: from a plan to a finished run, going on wherever the journal ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.correction import Correction
from alignsvc.domain.measurement import Displacements
from alignsvc.domain.outcome import Status, Verdict
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.io.journal import ExposureEnded, VerdictGiven
from alignsvc.io.locations import RunLocations
from alignsvc.io.tables import read_table
from alignsvc.numerics.solve.movement import Convergence
from alignsvc.numerics.solve.verdict import judge
from alignsvc.reasons import SkipReason
from alignsvc.run import events
from alignsvc.run.cataloguing import SourceTables
from alignsvc.run.passes import LoopState, PassSettings, run_pass
from alignsvc.run.solved_table import load_solved, save_solved
from alignsvc.run.stages import Tools
from alignsvc.run.state import RunState

#: Asks after a pass whether to go on.
GoOn = Callable[[events.PassSolved], bool]


@dataclass(frozen=True, slots=True, eq=False)
class LoopEnd:
    """How the loop ended.

    Parameters
    ----------
    state : LoopState
        Of the last pass; of the best one if the loop did not converge.
    verdict : Convergence
    history : tuple of events.PassSolved
    verdicts : mapping of exposure id to VerdictGiven
    """

    state: LoopState
    verdict: Convergence
    history: tuple[events.PassSolved, ...]
    verdicts: Mapping[str, VerdictGiven]


def run_loop(tools: Tools, known: RunState, go_on: GoOn | None) -> LoopEnd:
    """Run passes until nothing moves, and judge the corrections by held-out sources.

    Parameters
    ----------
    tools : Tools
    known : RunState
        What the journal says: solved passes are not done again.
    go_on : callable or None
        Asked after each pass; None goes on until the rule says stop.
    """
    state = _start(tools, known)
    rule = tools.plan.algorithms.rule
    history = list(_history(tools, known))
    movements = list(known.movements_px)
    verdict = rule(movements) if tools.plan.exposures else Convergence.CONVERGED
    while verdict is Convergence.RUNNING and len(state.going(tools.plan.exposures)) > 1:
        number = len(movements) + 1
        is_full = _is_full(tools, number)
        state = run_pass(tools, PassSettings(number, is_full), state)
        solved = events.PassSolved(
            number, state.movement_px, len(state.moves_px), _n_sources(state), is_full
        )
        save_solved(tools, state, solved)
        history.append(solved)
        movements.append(state.movement_px)
        tools.listener(solved)
        verdict = rule(movements)
        if verdict is Convergence.RUNNING and go_on is not None and not go_on(solved):
            verdict = Convergence.MAX_ITERATIONS
    if verdict is Convergence.RUNNING:
        verdict = Convergence.CONVERGED  # nothing is left that could move
    if verdict is not Convergence.CONVERGED and movements:
        best = int(np.argmin(movements)) + 1
        if best != len(movements):
            state = load_solved(tools, state, best)
    verdicts, state = _judged(tools, known, state)
    return LoopEnd(state, verdict, tuple(history), verdicts)


def _is_full(tools: Tools, number: int) -> bool:
    """Return whether sources are detected anew in a pass.

    A reference catalogue is compared with where the sources lie on the mosaic, and the mosaic
    moves with every pass: then each one is full.
    """
    config = tools.plan.config
    return number <= config.alignment.max_full_passes or config.reference.catalog is not None


def _start(tools: Tools, known: RunState) -> LoopState:
    """Return the state before the first pass, or after the last that the journal has solved."""
    geometry = tools.plan.algorithms.geometry
    identity = {one.id: Correction.identity(one.plane, geometry) for one in tools.plan.exposures}
    state = LoopState(identity, ended=dict(known.ended))
    if known.sources is not None:
        state = replace(state, sources=SourceTables.from_event(known.sources))
    if known.solved_passes:
        state = load_solved(tools, state, known.solved_passes[-1].number)
    return state


def _history(tools: Tools, known: RunState) -> tuple[events.PassSolved, ...]:
    n_sources = known.sources.n_chosen if known.sources is not None else 0
    return tuple(
        events.PassSolved(
            record.number,
            record.solution.movement_px,
            record.solution.n_solved,
            n_sources,
            record.is_full,
        )
        for record in known.passes
        if record.solution is not None
    )


def _n_sources(state: LoopState) -> int:
    return state.sources.n_chosen if state.sources is not None else 0


def _judged(
    tools: Tools, known: RunState, state: LoopState
) -> tuple[Mapping[str, VerdictGiven], LoopState]:
    """Judge each correction; put back those that made things worse."""
    verdicts = dict(known.verdicts)
    first = load_solved(tools, state, 1).displacements if state.passes else {}
    ended = []
    for one in state.going(tools.plan.exposures):
        if one.id not in verdicts:
            found = judge(
                _held_out(tools, first.get(one.id)),
                _held_out(tools, state.displacements.get(one.id)),
            )
            given = VerdictGiven(one.id, found.verdict, found.before_px, found.after_px)
            tools.journal.append(given)
            verdicts[one.id] = given
        if verdicts[one.id].verdict is Verdict.WORSE:
            given = verdicts[one.id]
            ended.append(
                ExposureEnded(
                    one.id,
                    Status.SKIPPED,
                    SkipReason.WORSE.value,
                    f"exposure {one.id}: held-out sources lie {given.after_px:.4f} px from the "
                    f"others after the correction, {given.before_px:.4f} px before; it keeps its "
                    "input WCS",
                )
            )
    for end in ended:
        tools.journal.append(end)
    return verdicts, state.without(ended)


def _held_out(tools: Tools, table: str | None) -> FloatArray:
    """Return the displacements of the sources that were held out and are sound otherwise."""
    if table is None:
        return np.zeros((0, 2))
    found = read_table(RunLocations(tools.run).objects, table, Displacements)
    rows = found.flags == DisplacementFlag.HELD_OUT
    offsets: FloatArray = np.stack([found.dx[rows], found.dy[rows]], axis=1)
    return offsets[np.isfinite(offsets).all(axis=1)]


def is_worth_writing(end: LoopEnd, *, write_unconverged: bool) -> bool:
    """Return whether corrected headers are to be written."""
    return end.verdict is Convergence.CONVERGED or write_unconverged
