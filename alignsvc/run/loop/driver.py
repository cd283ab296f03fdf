"""The driver: from a plan to a finished run, going on wherever the journal ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.outcome import Convergence, Status, Verdict
from alignsvc.io.journal import ExposureEnded, LoopEnded, VerdictGiven
from alignsvc.numerics.solve.verdict import judge
from alignsvc.reasons import SkipReason
from alignsvc.run.loop.held_out import HeldOutTables
from alignsvc.run.loop.method_agreement import Compared, compared_methods
from alignsvc.run.loop.passes import begin_pass, run_pass, solved_with_held_out
from alignsvc.run.records import events
from alignsvc.run.records.state import RunState
from alignsvc.run.stages.history import prune_history
from alignsvc.run.stages.loop_state import LoopState, PassSettings
from alignsvc.run.stages.reference import grid_references
from alignsvc.run.stages.running import Tools
from alignsvc.run.stages.solved_table import load_solved, pass_name, restored

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
    compared : mapping of exposure id to ExposureCompared, or why not
        Empty unless two methods were to be compared.
    """

    state: LoopState
    verdict: Convergence
    history: tuple[events.PassSolved, ...]
    verdicts: Mapping[str, VerdictGiven]
    compared: Compared


def run_loop(tools: Tools, known: RunState, go_on: GoOn | None) -> LoopEnd:
    """Run passes until nothing moves, and judge the corrections by held-out sources.

    Parameters
    ----------
    tools : Tools
    known : RunState
        What the journal says: what is settled is not done again.
    go_on : callable or None
        Asked between two passes; None goes on until the rule says stop.
    """
    state = restored(tools, known.settled)
    history = list(solved_passes(known))
    end = known.loop_end
    if end is None:
        state, verdict = _passes(tools, known, state, history, go_on)
        end = LoopEnded(verdict, _kept_pass(verdict, history))
        tools.journal.append(end)
    prune_history(tools, len(history))
    compared = compared_methods(tools, _last_pass(history), state)
    measured_first, measured_after = _judged_tables(tools, state, end.kept_pass, len(history))
    if end.kept_pass != len(history):
        state = load_solved(tools, state, pass_name(end.kept_pass))
    verdicts = _verdicts(tools, known, state, (measured_first, measured_after))
    worse = tuple(_worse(given) for given in verdicts.values() if given.verdict is Verdict.WORSE)
    for one in worse:
        tools.journal.append(one)
    state = state.without(worse)
    if end.verdict is Convergence.CONVERGED and _has_held_out(tools):
        state = solved_with_held_out(tools, state)
    return LoopEnd(state, end.verdict, tuple(history), verdicts, compared)


def _last_pass(history: Sequence[events.PassSolved]) -> PassSettings | None:
    return PassSettings(history[-1].pass_number, history[-1].is_full) if history else None


def _has_held_out(tools: Tools) -> bool:
    """Whether all exposures were solved at once, some sources being kept out."""
    alignment = tools.plan.config.alignment
    return alignment.solver == "global" and alignment.hold_out > 0.0


def _passes(
    tools: Tools,
    known: RunState,
    state: LoopState,
    history: list[events.PassSolved],
    go_on: GoOn | None,
) -> tuple[LoopState, Convergence]:
    """Run passes and add them to `history`; return where that led, and why it ended."""
    if known.is_within_pass:
        state = _solved(tools, _next_pass(tools, history), state, history)
    while True:
        verdict = _may_go_on(tools, state, history, go_on)
        if verdict is not Convergence.RUNNING:
            return state, verdict
        settings = _next_pass(tools, history)
        state = _solved(tools, settings, begin_pass(tools, settings, state), history)


def _next_pass(tools: Tools, history: Sequence[events.PassSolved]) -> PassSettings:
    """Return the next pass; a full one detects sources anew.

    A reference catalogue is compared with where the sources lie on the mosaic, and the mosaic
    moves with every pass: then each pass is a full one.
    """
    config, number = tools.plan.config, len(history) + 1
    always = config.reference.catalog is not None
    return PassSettings(number, always or number <= config.alignment.max_full_passes)


def _may_go_on(
    tools: Tools, state: LoopState, history: Sequence[events.PassSolved], go_on: GoOn | None
) -> Convergence:
    """Return RUNNING if there is to be another pass, else why not."""
    verdict = tools.plan.algorithms.rule([solved.movement_px for solved in history])
    if verdict is not Convergence.RUNNING:
        return verdict
    if len(state.going(tools.plan.exposures)) < 2 or not state.going(tools.plan.moving):
        return Convergence.CONVERGED  # nothing is left that could move
    if history and go_on is not None and not go_on(history[-1]):
        return Convergence.MAX_ITERATIONS
    return Convergence.RUNNING


def _solved(
    tools: Tools, settings: PassSettings, state: LoopState, history: list[events.PassSolved]
) -> LoopState:
    """Return the state at the end of a pass that has begun, and add the pass to `history`."""
    state = run_pass(tools, settings, state)
    prune_history(tools, settings.number)
    n_sources = state.sources.n_chosen if state.sources is not None else 0
    solved = events.PassSolved(
        settings.number, state.movement_px, len(state.moves_px), n_sources, settings.is_full
    )
    history.append(solved)
    tools.listener(solved)
    return state


def solved_passes(known: RunState) -> tuple[events.PassSolved, ...]:
    """Return the passes that the journal knows to be solved."""
    return tuple(
        events.PassSolved(
            record.number,
            record.solution.movement_px,
            record.solution.n_solved,
            record.n_sources,
            record.is_full,
        )
        for record in known.passes
        if record.solution is not None
    )


def _kept_pass(verdict: Convergence, history: Sequence[events.PassSolved]) -> int:
    """Return the pass whose corrections are kept: the last, or the best that did not converge."""
    if verdict is Convergence.CONVERGED or not history:
        return len(history)
    return int(np.argmin([solved.movement_px for solved in history])) + 1


def _judged_tables(
    tools: Tools, state: LoopState, kept_pass: int, last_pass: int
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the displacements by the input headers, and those by the corrections that are kept.

    Pass k + 1 measures what pass k solved; what the last pass solved was not measured again, and
    if it converged need not be.
    """
    if last_pass == 0:
        return {}, {}
    first = load_solved(tools, state, pass_name(1)).displacements
    after = load_solved(tools, state, pass_name(min(kept_pass + 1, last_pass))).displacements
    return first, after


def _verdicts(
    tools: Tools,
    known: RunState,
    state: LoopState,
    measured: tuple[Mapping[str, str], Mapping[str, str]],
) -> dict[str, VerdictGiven]:
    """Judge the correction of each exposure that has not ended."""
    references = grid_references(tools, state)
    first, after = (HeldOutTables(tools, tables, references) for tables in measured)
    verdicts = dict(known.verdicts)
    for one in state.going(tools.plan.moving):
        if one.id not in verdicts:
            found = judge(first.of(one), after.of(one))
            verdict = found.verdict
            if verdict is Verdict.UNCHANGED and one.known is not None:
                # The first pass found it where an earlier run had put it.
                verdict = one.known.verdict
            elif verdict is Verdict.UNCHANGED and one.start is not None:
                # The first pass found it where its match had put it, not where its header had.
                verdict = Verdict.IMPROVED
            verdicts[one.id] = VerdictGiven(one.id, verdict, found.before_px, found.after_px)
            tools.journal.append(verdicts[one.id])
    return verdicts


def _worse(given: VerdictGiven) -> ExposureEnded:
    return ExposureEnded(
        given.exposure,
        Status.SKIPPED,
        SkipReason.WORSE.value,
        f"exposure {given.exposure}: held-out sources lie {given.after_px:.4f} px from the others "
        f"after the correction, {given.before_px:.4f} px before; it keeps its input WCS",
    )


def is_worth_writing(end: LoopEnd, *, write_unconverged: bool) -> bool:
    """Return whether corrected headers are to be written."""
    return end.verdict is Convergence.CONVERGED or write_unconverged
