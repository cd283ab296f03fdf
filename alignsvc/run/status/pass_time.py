"""How long the present pass still takes after its present stage, by the last pass of its kind."""

from __future__ import annotations

from collections.abc import Sequence

from alignsvc.run.records.state import PassRecord
from alignsvc.run.status.stage_times import StageTime

#: Stages of full passes alone: a pass that is not full takes the others, as the last pass had them.
_ONLY_FULL = frozenset(("reject", "background", "detect", "tell"))


def rest_of_pass_s(stages: Sequence[StageTime], passes: Sequence[PassRecord]) -> float | None:
    """Return the seconds that the present pass will take after its present stage.

    Parameters
    ----------
    stages : sequence of StageTime
        In turn; the last one goes on.
    passes : sequence of PassRecord
        The last one goes on, too.

    Returns
    -------
    float or None
        None where no pass before tells: there is none of this kind that was worked through by one
        driver, or the present stage comes oftener than in it.
    """
    if not stages or not passes or stages[-1].ended_s is not None or passes[-1].solution:
        return None
    now = passes[-1]
    if stages[-1].pass_number != now.number:
        return None
    so_far = [one.stage for one in stages if one.pass_number == now.number and not one.is_lost]
    for record in reversed(passes[:-1]):
        known = [one for one in stages if one.pass_number == record.number]
        if not known or any(one.is_lost or one.n_reused or one.ended_s is None for one in known):
            continue
        if now.is_full != record.is_full:
            if now.is_full:
                continue
            known = _last_round(known)
        names = [one.stage for one in known]
        if names[: len(so_far)] != so_far:
            return None
        return sum(_length_s(one) for one in known[len(so_far) :])
    return None


def _last_round(stages: list[StageTime]) -> list[StageTime]:
    """Return what of a full pass comes in another one: its last mosaic, and what is measured."""
    first = max((k for k, one in enumerate(stages) if one.stage == "resample"), default=0)
    return [one for one in stages[first:] if one.stage not in _ONLY_FULL]


def _length_s(stage: StageTime) -> float:
    assert stage.ended_s is not None
    return max(0.0, stage.ended_s - stage.began_s)
