"""What a run keeps of each pass for people, under ``history/``.

::

    history/pass-0001/
      corrections.ecsv             the totals after the pass, columns as in the run's own table
      EXPOSURE-displacements.npz   a `Displacements`
      EXPOSURE-places.npz          a `SourcePlaces`: where they lie in the correction's plane
      EXPOSURE-pixels.npz          a `SourcePixels`: cutouts, blots, correlation maps, models

Corrections of every pass are kept; ``output.history`` governs the rest, and
``output.diagnostics_mb`` how much the pixels may take. Nothing is read back: a run goes on from its
tables.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from alignsvc.domain.outcome import TaskOutcome
from alignsvc.io.corrections_table import corrections_to_ecsv
from alignsvc.io.locations import CORRECTIONS, HISTORY, RunLocations
from alignsvc.run.records import events
from alignsvc.run.stages.exposure_results import exposure_results
from alignsvc.run.stages.loop_state import LoopState
from alignsvc.run.stages.running import Tools
from alignsvc.tasks.diagnostics import DISPLACEMENTS, PIXELS, PLACES
from alignsvc.wording import counted

#: An exposure keeps pixels only if it has this much room for them: a source of 32 px and its map.
LEAST_ROOM_BYTES = 24_000
#: Exposures that a sentence names.
_NAMED = 5


def kept_name(tools: Tools, pass_number: int, exposure: str) -> str:
    """Return how the names of an exposure's files begin; empty if none are to be kept."""
    if tools.plan.config.output.history == "none":
        return ""
    return f"{_folder(pass_number)}{exposure}"


def rooms_for_pixels(tools: Tools, state: LoopState) -> Mapping[str, int]:
    """Return how much the pixels of each exposure may take in a pass, bytes; absent = none.

    All that a run keeps has room in ``output.diagnostics_mb`` at any moment: while a pass is
    measured, the pixels of the one before are still there; with ``history: all`` those of all are.
    """
    output, alignment = tools.plan.config.output, tools.plan.config.alignment
    at_once = {"none": 0, "last": 2, "all": alignment.max_passes}[output.history]
    if not at_once:
        return {}
    rms = {name: found.rmse_px for name, found in state.quality.items()}
    trouble = {
        one.id: found if math.isfinite(found := rms.get(one.id, math.inf)) else math.inf
        for one in tools.plan.exposures
    }
    return shared_room(int(output.diagnostics_mb * 1e6) // at_once, trouble)


def shared_room(budget_bytes: int, trouble: Mapping[str, float]) -> dict[str, int]:
    """Return the part of a budget that each exposure has; those with none are left out.

    All have the same. If that were less than `LEAST_ROOM_BYTES`, as many have that much as there is
    room for: those in the most trouble, those alike in order of id.

    Parameters
    ----------
    budget_bytes : int
    trouble : mapping of exposure id to float
        How badly each fitted in the pass before (rms, px); infinite where it was never solved.
    """
    room = max(budget_bytes // max(len(trouble), 1), LEAST_ROOM_BYTES)
    most = budget_bytes // room
    order = sorted(trouble, key=lambda one: (-trouble[one], one))
    return dict.fromkeys(order[:most], room)


def kept_folders(passes: Sequence[int]) -> tuple[str, ...]:
    """Return where passes keep what they keep, the last one first."""
    return tuple(_folder(number) for number in sorted(passes, reverse=True))


def tell_missing(tools: Tools, pass_number: int, outcomes: Sequence[TaskOutcome]) -> None:
    """Say in a note of which exposures a pass could not keep what it is to keep, and why."""
    missing = [one for one in outcomes if one.is_ok and one.message]
    if missing:
        names = ", ".join(one.key.subject for one in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        what = counted(len(missing), "exposure")
        tools.listener(
            events.Note(
                f"pass {pass_number}: of {what} ({names}{more}) not all is kept for looking at "
                f"sources ({missing[0].message}); corrections do not depend on it"
            )
        )


def write_pass_history(tools: Tools, pass_number: int, state: LoopState) -> None:
    """Write the corrections of a pass."""
    rows = exposure_results(tools.plan, state, {})
    name = _folder(pass_number) + CORRECTIONS
    RunLocations(tools.run).objects.put(name, corrections_to_ecsv(rows))


def prune_history(tools: Tools, last_pass: int) -> None:
    """Remove displacements and pixels of earlier passes, unless all are wanted."""
    if tools.plan.config.output.history != "last":
        return
    objects = RunLocations(tools.run).objects
    for name in objects.list(HISTORY):
        if name.endswith((DISPLACEMENTS, PLACES, PIXELS)) and not name.startswith(
            _folder(last_pass)
        ):
            objects.delete(name)


def _folder(pass_number: int) -> str:
    return f"{HISTORY}pass-{pass_number:04d}/"
