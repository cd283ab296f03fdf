"""Exposures of a run by models that had no model: what stood in for it is said."""

from __future__ import annotations

from alignsvc.io.locations import RunLocations
from alignsvc.io.receipts import find_receipt
from alignsvc.numerics.models.on_chip.model_stars import ModelStars
from alignsvc.run.stages.loop_state import LoopState
from alignsvc.run.stages.running import Tools
from alignsvc.tasks.measure import WITHOUT_PROFILE, key_of
from alignsvc.wording import counted

#: Exposures that a sentence names.
_NAMED = 5


def without_profile(tools: Tools, state: LoopState) -> tuple[str, ...]:
    """Return the aligned exposures that have a chip without a profile, in order of id.

    The receipts of their last measurements tell, whoever did them and when.

    Parameters
    ----------
    tools : Tools
    state : LoopState
        At the end of the loop.
    """
    if not isinstance(tools.plan.algorithms.measurement.stars, ModelStars):
        return ()
    objects = RunLocations(tools.run).objects
    found = []
    for one in state.going(tools.plan.exposures):
        name = state.displacements.get(one.id)
        if name is None:
            continue
        receipt = find_receipt(objects, key_of(one.id, name), lambda _: True).receipt
        if receipt is not None and dict(receipt.outcome.facts).get(WITHOUT_PROFILE, 0) > 0:
            found.append(one.id)
    return tuple(sorted(found))


def unmodelled_notes(tools: Tools, state: LoopState) -> tuple[str, ...]:
    """Return what the user should know of exposures that no model measured."""
    found = without_profile(tools, state)
    if not found:
        return ()
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return (
        f"{counted(len(found), 'aligned exposure has', 'aligned exposures have')} too few stars "
        "that are bright, single and not saturated for the profile of alignment.method model "
        f"({', '.join(found[:_NAMED])}{more}): there, sources were placed by centroids; set "
        "alignment.method: correlate, lower detection.threshold, or look at images.saturation",
    )
