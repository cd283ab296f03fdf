"""How the corrections of two methods compare, exposure by exposure: ``method: both``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import NormalDist

#: Differences up to so many of the correction's own stated errors are within them.
_WITHIN = 2.0
#: Runs of which none should call anything different that is not: all but one in a hundred.
_BY_CHANCE = 0.01


class Agreement(StrEnum):
    """What the comparison of two methods says of an exposure."""

    AGREE = "agree"
    DIFFER = "differ"
    NOT_COMPARED = "not_compared"


class NotCompared(StrEnum):
    """Why an exposure could not be compared."""

    NOT_ALIGNED = "not_aligned"
    HOLDS_FRAME = "holds_frame"
    NO_MODEL = "no_model"
    TOO_FEW_SOURCES = "too_few_sources"
    DEGENERATE_FIT = "degenerate_fit"
    FAILED = "failed"


NOT_COMPARED_TEXT: dict[NotCompared, str] = {
    NotCompared.NOT_ALIGNED: "it is not aligned",
    NotCompared.HOLDS_FRAME: "it holds the frame and does not move",
    NotCompared.NO_MODEL: "too few of its stars are fit to give the model a profile",
    NotCompared.TOO_FEW_SOURCES: "fewer sources by both methods than its geometry needs",
    NotCompared.DEGENERATE_FIT: "the sources by both methods do not determine its geometry",
    NotCompared.FAILED: "its measurement by the model failed",
}


@dataclass(frozen=True, slots=True)
class MethodAgreement:
    """A row of ``method_agreement.ecsv``: the correction by the model minus that of the run.

    Both with the same sources and weights, but for `alone_px`.

    Parameters
    ----------
    id : str
        Of the exposure.
    verdict : Agreement
    reason : NotCompared or None
        Why it was not compared; then all numbers are NaN or 0.
    dx_px, dy_px : float
        (east, north) at the middle of the footprint, pixels of the exposure.
    largest_px, error_px : float
        Farthest that the difference moves any point of the footprint, and the standard deviation
        of that: of a difference between two measurements of the same noise.
    stated_px : float
        The error that the run's own correction states, at that point and in that direction.
    alone_px : float
        Farthest in the footprint that the corrections are apart if each method's measurements are
        solved by themselves, as two runs do: with few sources their own weights and clipping count
        for more than what was measured. NaN where one of the two is not solved.
    sigma : float
        How unlikely the whole difference is by chance, in standard deviations of a normal
        variable; at most 37.
    n_sources : int
        Sources that both methods measured, in this exposure and in another.
    n_apart : int
        Of these, the ones that the methods place more than five standard deviations of such
        differences apart: bad sources, if the exposures agree.
    scatter_px : float
        Of the differences of the other sources, per axis.
    message : str
        What failed, if its measurement did; empty otherwise.
    """

    id: str
    verdict: Agreement
    reason: NotCompared | None = None
    dx_px: float = math.nan
    dy_px: float = math.nan
    largest_px: float = math.nan
    error_px: float = math.nan
    stated_px: float = math.nan
    alone_px: float = math.nan
    sigma: float = math.nan
    n_sources: int = 0
    n_apart: int = 0
    scatter_px: float = math.nan
    message: str = ""

    def judged(self, n_compared: int, least_px: float) -> MethodAgreement:
        """Return the row with its verdict, of `n_compared` that were compared.

        Exposures *differ* if that is more than chance explains, more than two of the errors that
        the run's correction states, and more than `least_px`, below which nobody minds. A
        difference may be sure, with a large `sigma`, and yet within what the correction claims.
        """
        is_sure = self.sigma > least_sigma(n_compared)
        matters = self.largest_px > max(_WITHIN * self.stated_px, least_px)
        return replace(self, verdict=Agreement.DIFFER if is_sure and matters else Agreement.AGREE)

    @property
    def text(self) -> str:
        """Why it was not compared, in words; empty if it was."""
        if self.reason is None:
            return ""
        return NOT_COMPARED_TEXT[self.reason] + (f": {self.message}" if self.message else "")


def least_sigma(n_compared: int) -> float:
    """Return the significance that one of `n_compared` exposures has by chance in 1 % of all runs.

    2.6 for one exposure, 3.3 for ten, 4.4 for a thousand.
    """
    return NormalDist().inv_cdf(1.0 - 0.5 * _BY_CHANCE / max(n_compared, 1))


def agreement_warnings(rows: Sequence[MethodAgreement]) -> tuple[str, ...]:
    """Return what a user should read first: what failed, and what differs."""
    return tuple(sentence for sentence in (_failed(rows), _differing(rows)) if sentence)


def _failed(rows: Sequence[MethodAgreement]) -> str:
    failed = [row for row in rows if row.reason is NotCompared.FAILED]
    if not failed:
        return ""
    return (
        f"{len(failed)} of {len(rows)} exposures could not be measured by both methods (first "
        f"{failed[0].id}: {failed[0].message}): their corrections are those of the correlation, "
        "which nothing was compared with"
    )


def _differing(rows: Sequence[MethodAgreement]) -> str:
    differ = [row for row in rows if row.verdict is Agreement.DIFFER]
    if not differ:
        return ""
    n = sum(row.verdict is not Agreement.NOT_COMPARED for row in rows)
    worst = max(differ, key=lambda row: row.largest_px)
    return (
        f"{len(differ)} of {n} compared exposures lie elsewhere by the model than by the "
        "correlation, beyond their errors and eps_shift (farthest "
        f"{worst.id}: {worst.largest_px:.4f} +- {worst.error_px:.4f} px, stated error "
        f"{worst.stated_px:.4f} px, {worst.n_apart} of "
        f"{worst.n_sources} sources apart): corrections are those of the correlation; "
        "method_agreement.ecsv tells of each exposure"
    )
