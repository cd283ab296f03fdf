"""How well the odd part of a chip's stars is known, and what their places are by convention."""

from __future__ import annotations

from dataclasses import dataclass

from alignsvc.domain.arrays import FloatArray, hold_float64


@dataclass(frozen=True, slots=True, eq=False)
class OddErrors:
    """What may be wrong with an `OddPart`: r independent numbers of unit variance, and one more.

    Parameters
    ----------
    light : float64 array, shape (r, m, 2, k)
        What each of the r does to the light: a square root of its covariance, of what the stars
        tell and of what is to be expected beforehand.
    centre : float64 array, shape (r, m, 2)
        And so to the star's place less its centre of symmetry, px.
    convention : float64 array, shape (m, 2)
        The same by the wider convention less that by the one in use, px.
    """

    light: FloatArray
    centre: FloatArray
    convention: FloatArray

    def __post_init__(self) -> None:
        hold_float64(self, "light", "centre", "convention")
