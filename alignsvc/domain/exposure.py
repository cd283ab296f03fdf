"""Exposures: references that travel, and pixels that do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array

if TYPE_CHECKING:
    from alignsvc.domain.celestial import CelestialWcs


@dataclass(frozen=True, slots=True)
class HduRef:
    """One HDU of one file: a path or URL and the HDU's index."""

    uri: str
    hdu: int


@dataclass(frozen=True, slots=True)
class ChipRef:
    """Where the pixels of a chip and what goes with them are kept.

    Parameters
    ----------
    name : str
        ``"EXTNAME,EXTVER"`` or ``"HDU n"``: for people and for messages.
    science : HduRef
    shape : tuple of int
        ``(ny, nx)``.
    weight, mask : HduRef or None
    """

    name: str
    science: HduRef
    shape: tuple[int, int]
    weight: HduRef | None = None
    mask: HduRef | None = None

    @property
    def planes(self) -> tuple[HduRef, ...]:
        """Science, and weight and mask if there are any."""
        every = (self.science, self.weight, self.mask)
        return tuple(plane for plane in every if plane is not None)


@dataclass(frozen=True, slots=True)
class ExposureRef:
    """An exposure as tasks carry it: names only, about 200 bytes.

    Parameters
    ----------
    id : str
        Path below the inputs' common parent without the FITS suffix.
    chips : tuple of ChipRef
        In file order; all share one correction.
    fingerprint : str
        Digest of the files' sizes and header blocks; a changed input has another one.
    """

    id: str
    chips: tuple[ChipRef, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ExposureLevel:
    """What the set says of an exposure's flux scale and sky, beyond what the exposure says itself.

    Parameters
    ----------
    flux_scale : float
        What its pixels are multiplied by on top of exposure time and zero point.
    sky_offset : float
        What is left of its sky when its own estimate is taken off, in the units of its pixels.
    """

    flux_scale: float = 1.0
    sky_offset: float = 0.0


#: As the exposure itself has them.
AS_RECORDED = ExposureLevel()


class ChipRows(NamedTuple):
    """Rows of a chip, shape (n, nx), writable: all of them, or a few that stay in the cache.

    Attributes
    ----------
    pixels : float32 array
    mask, saturated : bool arrays
        As of a `Chip`.
    """

    pixels: Float32Array
    mask: BoolArray
    saturated: BoolArray

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> ChipRows:
        """Return rows to be written to."""
        return cls(np.empty(shape, np.float32), np.empty(shape, bool), np.empty(shape, bool))

    def part(self, rows: slice) -> ChipRows:
        """Return some of them, to be written to."""
        return ChipRows(self.pixels[rows], self.mask[rows], self.saturated[rows])


class ChipInRows(Protocol):
    """A chip whose pixels are looked at a few rows at a time, in memory or in an open file."""

    @property
    def name(self) -> str:
        """As in its `ChipRef`."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        ...

    @property
    def variance(self) -> Float32Array | None:
        """As of a `Chip`."""
        ...

    @property
    def gain(self) -> float | None:
        """As of a `Chip`."""
        ...

    def rows_into(self, y0: int, out: ChipRows) -> None:
        """Fill `out` with as many rows from `y0` on as it has."""
        ...


@dataclass(frozen=True, slots=True)
class Chip:
    """Pixels of a chip with all that is needed to use them.

    Parameters
    ----------
    name : str
        As in its `ChipRef`.
    pixels : float32 array, shape (ny, nx)
        Finite everywhere: bad pixels hold 0, and `mask` names them.
    variance : float32 array or None
        In the square of the pixels' units, positive where not masked; None if not known.
        Either the sky's or the total variance, as the file gives it.
    mask : bool array, shape (ny, nx)
        True = bad: not finite, bad quality, no weight, or saturated.
    saturated : bool array, shape (ny, nx)
        True = at or above the saturation level (these are masked too).
    wcs : CelestialWcs
    gain : float or None
        Electrons per unit of `pixels`; None if not known.
    """

    name: str
    pixels: Float32Array
    variance: Float32Array | None
    mask: BoolArray
    saturated: BoolArray
    wcs: CelestialWcs
    gain: float | None = None

    def __post_init__(self) -> None:
        for plane in (self.mask, self.saturated, self.variance):
            if plane is not None and plane.shape != self.pixels.shape:
                raise ValueError(
                    f"chip {self.name}: pixels have shape {self.pixels.shape}, "
                    f"a plane with them has {plane.shape}"
                )

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        ny, nx = self.pixels.shape
        return ny, nx

    def rows_into(self, y0: int, out: ChipRows) -> None:
        """Fill `out` with as many rows from `y0` on as it has."""
        rows = slice(y0, y0 + len(out.pixels))
        for plane, part in zip((self.pixels, self.mask, self.saturated), out, strict=True):
            np.copyto(part, plane[rows])


@dataclass(frozen=True, slots=True)
class Exposure:
    """All chips of an exposure, read into memory.

    Parameters
    ----------
    ref : ExposureRef
    chips : tuple of Chip
    exposure_time_s : float
        Seconds; 1 where the file does not say.
    flux_scale : float
        What a pixel is multiplied by to be on the run's common flux scale.
    filter_name : str
        Empty if not known.
    mid_time_mjd : float or None
        UTC; None if not known.
    """

    ref: ExposureRef
    chips: tuple[Chip, ...]
    exposure_time_s: float = 1.0
    flux_scale: float = 1.0
    filter_name: str = ""
    mid_time_mjd: float | None = None
