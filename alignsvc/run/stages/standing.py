"""All that was found of one exposure, and that its pixels are placed by."""

from __future__ import annotations

from dataclasses import dataclass

from alignsvc.domain.chip_shifts import ShiftsOfChips
from alignsvc.domain.correction import Correction
from alignsvc.domain.exposure import AS_RECORDED, ExposureLevel
from alignsvc.domain.task import TableRef


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """Where an exposure stands, how bright it is, and which of its pixels are rays.

    Parameters
    ----------
    correction : Correction
        The total since the input header.
    chip_shifts : tuple of (float, float)
        Of each chip; empty if none is shifted.
    level : ExposureLevel
    rays : TableRef or None
        Of `RayPixels`; None if nobody looked for any.
    """

    correction: Correction
    chip_shifts: ShiftsOfChips = ()
    level: ExposureLevel = AS_RECORDED
    rays: TableRef | None = None
