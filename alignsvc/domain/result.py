"""How each exposure ended: a row of the table of corrections."""

from __future__ import annotations

import math
from dataclasses import dataclass

from alignsvc.domain.colour_term import ColourTerm
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.exposure import AS_RECORDED, ExposureLevel
from alignsvc.domain.outcome import Status, Verdict


@dataclass(frozen=True, slots=True, eq=False)
class FitQuality:
    """How well a correction fits the displacements it was made from.

    Each source that was measured is used in the fit, or held out, or rejected.

    Parameters
    ----------
    n_sources : int
        Sources measured in the exposure.
    n_used : int
        Of these, used in the fit, wholly or in part. Those that were held out of the passes are
        among them once the loop has converged: they join the last solve.
    rmse_px, mae_px : float
        Weighted root mean square and mean absolute residual of the used ones, per axis, in
        pixels of the exposure; NaN where nothing was fitted.
    n_held_out : int
        Sound, and kept out of the fit to test it.
    """

    n_sources: int = 0
    n_used: int = 0
    rmse_px: float = float("nan")
    mae_px: float = float("nan")
    n_held_out: int = 0

    @property
    def n_rejected(self) -> int:
        """Sources that were flagged, or that no other exposure shares, or clipped."""
        return self.n_sources - self.n_used - self.n_held_out


@dataclass(frozen=True, slots=True)
class HeldOutResidual:
    """How far sources that the fit did not use lie from the others, per axis, in pixels.

    NaN where too few were held out.
    """

    before_px: float = float("nan")
    after_px: float = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class ChipResult:
    """A chip that has an offset of its own.

    Parameters
    ----------
    name : str
        As in its `ChipRef`.
    shift : tuple of float
        (east, north), arcsec: where it stands besides the exposure's correction, which comes
        after it, in the plane of that.
    correction : Correction
        Its total since the input header, the exposure's and its own.
    """

    name: str
    shift: tuple[float, float]
    correction: Correction


@dataclass(frozen=True, slots=True)
class ChipApart:
    """A chip that stands elsewhere than its exposure's correction puts it, and stays there.

    Parameters
    ----------
    name : str
        As in its `ChipRef`.
    offset_px : tuple of float
        (x, y) to be added, pixels of the chip, beyond doubt.
    error_px : float
        Of each of the two.
    """

    name: str
    offset_px: tuple[float, float]
    error_px: float

    @property
    def length_px(self) -> float:
        """How far off it is."""
        return math.hypot(*self.offset_px)


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
    held_out : HeldOutResidual
        With the input header and with the correction.
    chips : tuple of ChipResult
        Where chips have offsets, one a chip, in file order; otherwise empty.
    level : ExposureLevel
        How flux scale and sky were corrected so that it agrees with the others.
    colour_term : ColourTerm or None
        None: none was fitted.
    chips_apart : tuple of ChipApart
        Chips for which its correction does not hold; its errors say so.
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
    held_out: HeldOutResidual = HeldOutResidual()
    chips: tuple[ChipResult, ...] = ()
    level: ExposureLevel = AS_RECORDED
    colour_term: ColourTerm | None = None
    chips_apart: tuple[ChipApart, ...] = ()

    def totals(self, n_chips: int) -> tuple[Correction, ...]:
        """Return the total correction of each of the exposure's chips.

        Raises
        ------
        ValueError
            It has no correction, or chips of another number have offsets.
        """
        if self.correction is None or (self.chips and len(self.chips) != n_chips):
            raise ValueError(
                f"exposure {self.id}: wanted corrections of {n_chips} chips, found "
                f"{len(self.chips) if self.correction is not None else 'none'}"
            )
        return tuple(chip.correction for chip in self.chips) or (self.correction,) * n_chips
