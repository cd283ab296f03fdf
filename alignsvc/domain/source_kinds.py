"""What sources are, for all exposures alike: stars or galaxies, and who stands beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray, hold_read_only

#: Numbers of a galaxy's shape.
SHAPE_NUMBERS = 4


@dataclass(frozen=True, slots=True, eq=False)
class SourceKinds:
    """Sources as the mosaic of all exposures shows them, and companions that no catalogue has.

    A struct of arrays: n sources in order of `id`, and m companions.

    Parameters
    ----------
    id : int64, shape (n,)
    off_x, off_y : float64, shape (n,)
        From the catalogue's place to that of the fitted profile, grid pixels.
    is_galaxy : bool, shape (n,)
        False: a star, which includes what is too faint to tell.
    shape : float64, shape (n, 4)
        Of galaxies: ln of the half-light radius [grid px], e1 and e2 along the grid's axes (see
        `models/light/ellipticity.py`), Sersic's index; behind the mosaic's PSF less a Gaussian of
        variance `narrowing_px2`. NaN for stars.
    narrowing_px2 : float64, shape (n,)
        Grid pixels squared. NaN for stars.
    companion_of : int64, shape (m,)
        Ids of the sources that they stand beside.
    companion_x, companion_y : float64, shape (m,)
        From their source, grid pixels.
    companion_flux : float64, shape (m,)
        Over their source's.
    companion_significance : float64, shape (m,)
        Standard deviations by which they stood out when they were found.
    """

    id: IntArray
    off_x: FloatArray
    off_y: FloatArray
    is_galaxy: BoolArray
    shape: FloatArray
    narrowing_px2: FloatArray
    companion_of: IntArray
    companion_x: FloatArray
    companion_y: FloatArray
    companion_flux: FloatArray
    companion_significance: FloatArray

    def __post_init__(self) -> None:
        for count, names in (
            (len(self.id), ("off_x", "off_y", "is_galaxy", "shape", "narrowing_px2")),
            (len(self.companion_of), ("companion_x", "companion_y", "companion_flux")),
            (len(self.companion_of), ("companion_significance",)),
        ):
            lengths = {name: len(getattr(self, name)) for name in names}
            if set(lengths.values()) != {count}:
                raise ValueError(f"kinds of sources: wanted {count} rows, found {lengths}")
        if np.any(np.diff(self.id) <= 0):
            raise ValueError("kinds of sources: ids are not in order, or not unique")
        hold_read_only(self)

    def __len__(self) -> int:
        return len(self.id)

    @classmethod
    def stars(cls, source: IntArray) -> SourceKinds:
        """Return sources by their ids as stars, alone and where the catalogue has them."""
        n, none = len(source), np.zeros(0)
        nowhere, nobody = np.zeros(n), np.zeros(0, np.int64)
        shape, narrowing = np.full((n, SHAPE_NUMBERS), np.nan), np.full(n, np.nan)
        no = np.zeros(n, bool)
        return cls(source, nowhere, nowhere, no, shape, narrowing, nobody, none, none, none, none)

    def among(self, source: IntArray) -> SourceKinds:
        """Return those whose ids are among `source`, with their companions."""
        return self._select(np.isin(self.id, source), np.isin(self.companion_of, source))

    def parted(self, source: IntArray, part: IntArray, n: int) -> list[SourceKinds]:
        """Return the sources of each of `n` parts, with their companions.

        Parameters
        ----------
        source : int64 array, shape (m,)
            Ids, rising; all of these are among them.
        part : int64 array, shape (m,)
            From 0: which part each belongs to.
        n : int
        """
        own, beside = (
            _rows_of_parts(part[np.searchsorted(source, ids)], n)
            for ids in (self.id, self.companion_of)
        )
        return [self._select(*rows) for rows in zip(own, beside, strict=True)]

    def _select(self, own: NDArray[Any], beside: NDArray[Any]) -> SourceKinds:
        """Return sources and companions by their rows."""
        return SourceKinds(
            *(getattr(self, name)[own] for name in _OF_SOURCES),
            *(getattr(self, name)[beside] for name in _OF_COMPANIONS),
        )

    @classmethod
    def joined(cls, parts: Sequence[SourceKinds]) -> SourceKinds:
        """Return the sources of all parts, none of which is in two."""
        parts = (cls.stars(np.zeros(0, np.int64)), *parts)
        order = np.argsort(np.concatenate([one.id for one in parts]), kind="stable")
        beside = np.argsort(np.concatenate([one.companion_of for one in parts]), kind="stable")
        columns = [
            np.concatenate([getattr(one, name) for one in parts])[rows]
            for names, rows in ((_OF_SOURCES, order), (_OF_COMPANIONS, beside))
            for name in names
        ]
        return cls(*columns)


_OF_SOURCES = ("id", "off_x", "off_y", "is_galaxy", "shape", "narrowing_px2")
_OF_COMPANIONS = (
    "companion_of",
    "companion_x",
    "companion_y",
    "companion_flux",
    "companion_significance",
)


def _rows_of_parts(part: IntArray, n: int) -> list[IntArray]:
    """Return the rows of each of `n` parts, rising, by the part of each row."""
    order = np.argsort(part, kind="stable")
    ends = np.searchsorted(part[order], np.arange(n), side="right")
    return np.split(order, ends)[:n]
