"""Which exposures a loop that did not converge left moving, and what would hold them."""

from __future__ import annotations

from collections.abc import Sequence

from alignsvc.domain.outcome import Convergence
from alignsvc.domain.result import ExposureResult
from alignsvc.numerics.solve.freedom import GeometryChoice
from alignsvc.wording import counted

#: Exposures that a sentence names.
_NAMED = 3


def unsettled_notes(
    verdict: Convergence, results: Sequence[ExposureResult], eps_shift_px: float
) -> tuple[str, ...]:
    """Return a sentence on the exposures that still moved in the pass that is kept.

    Parameters
    ----------
    verdict : Convergence
    results : sequence of ExposureResult
    eps_shift_px : float
        What they were to move by at the most.
    """
    moving = sorted(
        (one for one in results if one.last_move_px >= eps_shift_px),
        key=lambda one: (-one.last_move_px, one.id),
    )
    if verdict is Convergence.CONVERGED or not moving:
        return ()
    named = ", ".join(
        f"{one.id} {one.last_move_px:.4f} px ({one.geometry} by "
        f"{counted(one.quality.n_used, 'source')})"
        for one in moving[:_NAMED]
    )
    many = counted(len(moving), "exposure still moves", "exposures still move")
    return (
        f"{many} by eps_shift ({eps_shift_px:g} px) or more, most of all {named}: "
        f"{_what_to_do(moving)}",
    )


def _what_to_do(moving: Sequence[ExposureResult]) -> str:
    """Return what holds exposures that have few sources for their freedom, or any others."""
    if any(_is_too_free(one) for one in moving):
        return (
            "a few sources do not hold so free a geometry; set alignment.geometry: auto or shift, "
            "or lower detection.threshold"
        )
    return (
        "their sources say something else in each pass; look at them in the report, or raise "
        "alignment.eps_shift to what is needed"
    )


def _is_too_free(one: ExposureResult) -> bool:
    """Whether an exposure has fewer sources than `geometry: auto` asks for its freedom."""
    carried = GeometryChoice().carried_by(one.quality.n_used)
    return carried.n_parameters < one.geometry.n_parameters
