"""How each exposure ended: a row of the table of corrections."""

from __future__ import annotations

from dataclasses import dataclass

from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.exposure import AS_RECORDED, ExposureLevel
from alignsvc.domain.outcome import Status, Verdict


@dataclass(frozen=True, slots=True, eq=False)
class FitQuality:
    """How well a correction fits the displacements it was made from.

    Parameters
    ----------
    n_sources : int
        Sources measured in the exposure.
    n_used : int
        Of these, used in the fit after flags, holding out and clipping.
    rmse_px, mae_px : float
        Weighted root mean square and mean absolute residual of the used ones, per axis, in
        pixels of the exposure; NaN where nothing was fitted.
    """

    n_sources: int = 0
    n_used: int = 0
    rmse_px: float = float("nan")
    mae_px: float = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class ExposureResult:
    """The end of one exposure.

    Parameters
    ----------
    id : str
    status : Status
    reason : str
        Empty when aligned, else a SkipReason or FailureKind.
    message : str
        A sentence that says more; empty when aligned.
    verdict : Verdict
    geometry : Geometry
    component : int
        Number of the connected component, -1 if in none.
    is_reference : bool
        Whether it holds the frame.
    correction : Correction or None
        The total since the input header; None if the exposure was never measured.
    quality : FitQuality
    last_move_px : float
        Movement in the last pass; NaN if it never moved.
    passes : int
        Passes in which it was solved.
    level : ExposureLevel
        How flux scale and sky were corrected so that it agrees with the others.
    """

    id: str
    status: Status
    reason: str
    message: str
    verdict: Verdict
    geometry: Geometry
    component: int
    is_reference: bool
    correction: Correction | None
    quality: FitQuality
    last_move_px: float
    passes: int
    level: ExposureLevel = AS_RECORDED
