"""Shifts of chips as columns of the table that each solve leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.chip_shifts import ChipShifts
from alignsvc.domain.result import ChipApart


@dataclass(frozen=True, slots=True, eq=False)
class ChipColumns:
    """A row for each chip that has an offset; see `SolvedTable`."""

    owner: IntArray
    shift: FloatArray
    start: FloatArray
    covariance: FloatArray


def chip_columns(
    names: Sequence[str], now: Mapping[str, ChipShifts], before: Mapping[str, ChipShifts]
) -> ChipColumns:
    """Return the shifts of all chips, exposure after exposure in the order of `names`."""
    owner, shift, start, covariance = [], [], [], []
    for row, name in enumerate(names):
        if name in now:
            n_chips = len(now[name].shift)
            owner += [row] * n_chips
            shift += list(now[name].shift)
            start += list(before.get(name, ChipShifts.none(n_chips)).shift)
            covariance += list(now[name].covariance)
    return ChipColumns(
        np.array(owner, np.int64),
        np.array(shift, float).reshape(-1, 2),
        np.array(start, float).reshape(-1, 2),
        np.array(covariance, float).reshape(-1, 6, 6),
    )


def chips_of(
    names: NDArray[Any], owner: IntArray, shift: FloatArray, covariance: FloatArray
) -> dict[str, ChipShifts]:
    """Return the shifts of the chips of each exposure that has any."""
    return {
        str(names[row]): ChipShifts(shift[owner == row], covariance[owner == row])
        for row in np.unique(owner).tolist()
    }


@dataclass(frozen=True, slots=True, eq=False)
class ApartColumns:
    """A row for each chip that stands elsewhere and has no offset; see `SolvedTable`."""

    owner: IntArray
    name: NDArray[Any]
    offset_px: FloatArray
    error_px: FloatArray

    @classmethod
    def of(cls, names: Sequence[str], apart: Mapping[str, tuple[ChipApart, ...]]) -> ApartColumns:
        """Return the chips of all exposures, one after the other in the order of `names`."""
        rows = [(row, chip) for row, name in enumerate(names) for chip in apart.get(name, ())]
        return cls(
            np.array([row for row, _ in rows], np.int64),
            np.array([chip.name for _, chip in rows], str),
            np.array([chip.offset_px for _, chip in rows], float).reshape(-1, 2),
            np.array([chip.error_px for _, chip in rows], float),
        )

    def by_exposure(self, names: NDArray[Any]) -> dict[str, tuple[ChipApart, ...]]:
        """Return the chips of each exposure that has any."""
        found: dict[str, tuple[ChipApart, ...]] = {}
        for k, row in enumerate(self.owner.tolist()):
            x, y = self.offset_px[k].tolist()
            chip = ChipApart(str(self.name[k]), (x, y), float(self.error_px[k]))
            found[str(names[row])] = (*found.get(str(names[row]), ()), chip)
        return found
