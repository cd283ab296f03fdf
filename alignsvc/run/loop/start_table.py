"""Where the loop begins, as the store keeps it: so that a resumed run begins with the same bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.correction import Correction
from alignsvc.io.locations import TABLES

START_NAME = f"{TABLES}start.npz"


@dataclass(frozen=True, slots=True)
class StartRow:
    """An exposure that does not begin as its header has it; `reason` why it takes no part."""

    id: str
    correction: Correction
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class StartTable:
    """A row for each exposure that does not begin as its header has it, in order of id; and ties.

    Parameters
    ----------
    id : array of str, shape (n,)
    parameters : float64, shape (n, 6)
        Of the correction that it begins with.
    reason, message : arrays of str, shape (n,)
        Why it takes no part; empty if it does.
    tied : array of str, shape (m,)
        Exposures of sets that were compared with the reference catalogue, in order of id.
    tied_off_px : float64, shape (m,)
        How far the set was off from it; infinite if only mirrored it matches, NaN if it should
        match, and does not.
    copy, copy_of : arrays of str, shape (k,)
        Exposures whose pixels are those of another one, in order of id; and that one.
    """

    id: NDArray[Any]
    parameters: FloatArray
    reason: NDArray[Any]
    message: NDArray[Any]
    tied: NDArray[Any]
    tied_off_px: FloatArray
    copy: NDArray[Any]
    copy_of: NDArray[Any]

    @classmethod
    def of(
        cls, rows: Sequence[StartRow], off_px: Mapping[str, float], copies: Mapping[str, str]
    ) -> StartTable:
        """Return the table of exposures, of how far their sets are off, and of copies.

        Parameters
        ----------
        rows : sequence of StartRow
        off_px : mapping of exposure id to float
            How far those that were compared with the catalogue are off from it with their set.
        copies : mapping of exposure id to exposure id
            Those with the pixels of another one, and that one.
        """
        rows = sorted(rows, key=lambda row: row.id)
        tied = sorted(off_px)
        return cls(
            np.array([row.id for row in rows], dtype=str),
            np.array([row.correction.parameters for row in rows]).reshape(-1, 6),
            np.array([row.reason for row in rows], dtype=str),
            np.array([row.message for row in rows], dtype=str),
            np.array(tied, dtype=str),
            np.array([off_px[name] for name in tied], float),
            np.array(sorted(copies), dtype=str),
            np.array([copies[name] for name in sorted(copies)], dtype=str),
        )

    @property
    def copies(self) -> tuple[tuple[str, str], ...]:
        """Exposures with the pixels of another one, each with that one."""
        return tuple((str(a), str(b)) for a, b in zip(self.copy, self.copy_of, strict=True))

    @property
    def off_catalog(self) -> tuple[str, ...]:
        """Exposures that should match the catalogue, and do not."""
        return tuple(str(name) for name in self.tied[np.isnan(self.tied_off_px)])

    def moved_px(self, least: float) -> FloatArray:
        """Return how far exposures were off from the catalogue with their set, beyond `least`."""
        far = (self.tied_off_px > least) & np.isfinite(self.tied_off_px)
        off: FloatArray = self.tied_off_px[far]
        return off
