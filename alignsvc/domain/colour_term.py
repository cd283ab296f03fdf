"""What a source's colour adds to where an exposure shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ColourTerm:
    """Shift of an exposure's sources by their colour.

    Parameters
    ----------
    shift_mas : tuple of float
        (east, north) per magnitude: where a source appears that is redder by one than the median
        of the catalogue, against the median exposure of the component.
    error_mas : tuple of float
        Standard deviations, against the mean of the component; infinite where nothing is known.
    """

    shift_mas: tuple[float, float]
    error_mas: tuple[float, float]
