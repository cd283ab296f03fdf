"""How a model fit can end: a closed list, and the sentence for each."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How a fit ended."""

    CONVERGED = "converged"
    NOISE_FLOOR = "noise_floor"
    STEP_TOO_SMALL = "step_too_small"
    ITERATIONS = "iterations"
    ILL_CONDITIONED = "ill_conditioned"
    LOST = "lost"
    NO_SOURCES = "no_sources"
    NO_PIXELS = "no_pixels"
    DEGENERATE_GEOMETRY = "degenerate_geometry"
    NO_PSF = "no_psf"

    @property
    def is_answer(self) -> bool:
        """Whether what was fitted is the optimum that was asked for."""
        return self in (Outcome.CONVERGED, Outcome.NOISE_FLOOR)

    @property
    def message(self) -> str:
        """The sentence for it."""
        return OUTCOME_TEXT[self]


OUTCOME_TEXT: dict[Outcome, str] = {
    Outcome.CONVERGED: "the best undamped step would lower chi2 by less than the tolerance",
    Outcome.NOISE_FLOOR: "chi2 no longer changes by more than its rounding errors",
    Outcome.STEP_TOO_SMALL: "not converged: no step, however short, lowers chi2",
    Outcome.ITERATIONS: "not converged: the number of passes ran out",
    Outcome.ILL_CONDITIONED: "the data do not determine all free parameters",
    Outcome.LOST: "not converged: sources are not seen where the start has them",
    Outcome.NO_SOURCES: "there is no source to fit",
    Outcome.NO_PIXELS: "no pixel of any window has a weight: masked, saturated or without variance",
    Outcome.DEGENERATE_GEOMETRY: "the geometry at the start does not map the plane to pixels",
    Outcome.NO_PSF: "the shape of stars is not known",
}
