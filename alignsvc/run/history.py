"""What a run keeps of each pass for people, under ``history/``.

::

    history/pass-0001/
      corrections.ecsv             the totals after the pass, columns as in the run's own table
      EXPOSURE-displacements.npz   a `Displacements`
      EXPOSURE-pixels.npz          a `SourcePixels`: cutouts, blots, correlation maps

Corrections of every pass are kept; ``output.history`` governs the rest. Nothing is read back: a
run goes on from its tables.
"""

from __future__ import annotations

from alignsvc.io.corrections_table import corrections_to_ecsv
from alignsvc.io.locations import CORRECTIONS, HISTORY, RunLocations
from alignsvc.run.loop_state import LoopState
from alignsvc.run.report.tables import exposure_results
from alignsvc.run.stages import Tools
from alignsvc.tasks.measure import DISPLACEMENTS, PIXELS


def kept_name(tools: Tools, pass_number: int, exposure: str) -> str:
    """Return how the names of an exposure's files begin; empty if none are to be kept."""
    if tools.plan.config.output.history == "none":
        return ""
    return f"{_folder(pass_number)}{exposure}"


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
        if name.endswith((DISPLACEMENTS, PIXELS)) and not name.startswith(_folder(last_pass)):
            objects.delete(name)


def _folder(pass_number: int) -> str:
    return f"{HISTORY}pass-{pass_number:04d}/"
