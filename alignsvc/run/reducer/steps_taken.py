"""Which steps of a solve are taken, and which of them count as movement."""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray
from alignsvc.numerics.solve.factors import PHASE_ERROR_PX
from alignsvc.numerics.solve.gauge import GaugeKind, hold_mean
from alignsvc.numerics.solve.joint_fit import JointFit
from alignsvc.numerics.solve.repeatability import Repetition
from alignsvc.run.records import events
from alignsvc.run.reducer.solve_group import SolveGroup
from alignsvc.run.stages.running import Tools

#: Steps that change residuals by less than this part of their errors are no news: measuring the
#: same pixels again, a little beside, gives numbers that differ by some hundredths of an error.
#: Not taking them adds 2 % to the error at most.
LEAST_SIGNIFICANT = 0.2


def steps_worth_taking(tools: Tools, group: SolveGroup, fit: JointFit) -> FloatArray:
    """Return the steps without those of components where all that is left is noise of measuring.

    A chain of thin overlaps can bend by half a pixel with no source speaking against it: there
    a thousandth of a pixel in each source, another one in each pass, is many `eps_shift` at the
    ends, and the loop would follow it for ever. What the phases of the pixels draw anew, once all
    has been measured the same way before, is no better than what was there, and is known.
    """
    steps = np.array(fit.steps)
    eps_px = tools.plan.config.alignment.eps_shift
    is_news = _is_news(tools, group, fit)
    for label, kind in enumerate(fit.gauges):
        members = np.flatnonzero(fit.component == label)
        left_px = max((_largest_px(group, i, steps[i]) for i in members.tolist()), default=0.0)
        if any(_is_to_stiffen(group, i) for i in members.tolist()):
            continue  # what a stiffer geometry cannot express must go
        if left_px < eps_px or is_news[members].any():
            continue
        still = np.zeros_like(steps[members])
        if kind is GaugeKind.MEAN:  # exposures that left may have taken the mean with them
            still = hold_mean(still, [group.footprints[i] for i in members])
        steps[members] = still
        tools.listener(
            events.Note(
                f"what is left to move, {left_px:.4f} px, is "
                f"{fit.significance[members].max():.2f} of its error at most: not followed"
            )
        )
    return steps


def _is_news(tools: Tools, group: SolveGroup, fit: JointFit) -> BoolArray:
    """Return which exposures' steps say something that the passes before did not."""
    is_news = fit.significance >= LEAST_SIGNIFICANT
    if not group.are_repeated or not is_news.any():
        return is_news
    repetition = Repetition(seed=tools.plan.config.run.seed)
    return is_news & ~repetition.explains(fit, PHASE_ERROR_PX * np.array(group.scales_arcsec))


def _is_to_stiffen(group: SolveGroup, index: int) -> bool:
    """Return whether an exposure that moves is less free from now on."""
    geometry = group.footprints[index].geometry
    return not group.members[index].is_frozen and geometry is not group.totals[index].geometry


def _largest_px(group: SolveGroup, index: int, step: FloatArray) -> float:
    """Return how far a step moves an exposure's footprint at most, in its pixels."""
    moved = group.footprints[index].jacobian @ step
    return float(np.hypot(moved[:, 0], moved[:, 1]).max()) / group.scales_arcsec[index]


def without_common_motion(tools: Tools, group: SolveGroup, fit: JointFit) -> FloatArray:
    """Return the steps without what all exposures of a component do together.

    Where the mean holds the frame, exposures that join or leave shift all others by a common
    motion: that is a change of gauge, not of alignment.
    """
    steps = np.array(fit.steps)
    for label, kind in enumerate(fit.gauges):
        members = np.flatnonzero(fit.component == label)
        if kind is GaugeKind.MEAN and len(members):
            footprints = [group.footprints[i].unmoved() for i in members]
            steps[members] = hold_mean(steps[members], footprints)
    return steps
