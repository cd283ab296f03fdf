"""A loop that did not converge says who still moved, and what holds them."""

from __future__ import annotations

from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import TangentPlane
from alignsvc.domain.outcome import Convergence, Status, Verdict
from alignsvc.domain.result import ExposureResult, FitQuality
from alignsvc.run.finishing.unsettled import unsettled_notes


def _row(name: str, moved_px: float, n_used: int) -> ExposureResult:
    total = Correction.identity(TangentPlane(10.0, 2.0), Geometry.RSCALE)
    return ExposureResult(
        name, Status.ALIGNED, "", "", Verdict.UNTESTED, Geometry.RSCALE, 0, False, total,
        FitQuality(n_used + 1, n_used, 0.01, 0.008), moved_px, 10,
    )  # fmt: skip


def test_who_moves_most_is_named_first_and_few_sources_lead_to_a_stiffer_geometry() -> None:
    rows = (_row("a", 0.02, 5), _row("b", 0.13, 6), _row("c", 0.001, 6))
    (note,) = unsettled_notes(Convergence.STALLED, rows, 0.01)
    assert note.startswith(
        "2 exposures still move by eps_shift (0.01 px) or more, most of all b 0.1300 px (rscale by "
        "6 sources), a 0.0200 px (rscale by 5 sources): "
    )
    assert "alignment.geometry: auto or shift" in note


def test_many_sources_are_not_advised_to_be_given_less_freedom() -> None:
    (note,) = unsettled_notes(Convergence.MAX_ITERATIONS, (_row("a", 0.02, 200),), 0.01)
    assert "geometry: auto" not in note
    assert "raise alignment.eps_shift" in note


def test_a_loop_that_converged_leaves_nothing_to_say() -> None:
    assert unsettled_notes(Convergence.CONVERGED, (_row("a", 0.02, 5),), 0.01) == ()
