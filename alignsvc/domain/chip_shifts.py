"""Where the chips of one exposure stand besides what its correction says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from alignsvc.domain.arrays import FloatArray, read_only
from alignsvc.domain.correction import N_PARAMETERS, Correction

#: (east, north) in arcsec of each chip, in the plane of the exposure's correction.
ShiftsOfChips: TypeAlias = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class ChipShifts:
    """Shifts of the chips of an exposure, which come before its correction.

    The total of chip k is ``new = M (old + s_k) + shift``: a correction again.

    Parameters
    ----------
    shift : array, shape (k, 2)
        s_k: arcsec, (east, north), in the plane of the exposure's correction.
    covariance : array, shape (k, 6, 6)
        Of each chip's total.
    """

    shift: FloatArray
    covariance: FloatArray

    def __post_init__(self) -> None:
        k = len(self.shift)
        wanted = {"shift": (k, 2), "covariance": (k, N_PARAMETERS, N_PARAMETERS)}
        for name, shape in wanted.items():
            array = np.asarray(getattr(self, name), float)
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"chip shifts: {name} must be finite with shape {shape}")
            object.__setattr__(self, name, read_only(array))

    @classmethod
    def none(cls, n_chips: int) -> ChipShifts:
        """Return shifts of chips that are where headers have them."""
        zero = np.zeros((n_chips, N_PARAMETERS, N_PARAMETERS))
        return cls(np.zeros((n_chips, 2)), zero)

    @property
    def plain(self) -> ShiftsOfChips:
        """The shifts as plain numbers."""
        return tuple((float(east), float(north)) for east, north in self.shift)

    def totals(self, correction: Correction) -> tuple[Correction, ...]:
        """Return the total correction of each chip, with its covariance."""
        return tuple(
            replace(shifted(correction, one), covariance=covariance)
            for one, covariance in zip(self.plain, self.covariance, strict=True)
        )


def shifted(correction: Correction, shift: tuple[float, float]) -> Correction:
    """Return the correction that first shifts by (east, north) arcsec; the covariance stays."""
    return replace(correction, shift=correction.matrix @ np.array(shift) + correction.shift)


def totals_of_chips(
    correction: Correction, n_chips: int, shifts: ShiftsOfChips
) -> tuple[Correction, ...]:
    """Return the correction of each chip; without shifts all have the exposure's own."""
    if not shifts:
        return (correction,) * n_chips
    return tuple(shifted(correction, shift) for shift in shifts)
