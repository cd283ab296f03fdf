"""The catalogue of sources on the mosaic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import FloatArray, IntArray, read_only

#: Columns that hold whole numbers.
_WHOLE = frozenset({"id", "component", "area", "flags", "segment"})


@dataclass(frozen=True, slots=True, eq=False)
class SourceCatalog:
    """Sources as a struct of arrays, all of one length, in order of `id`.

    Parameters
    ----------
    id : int64
        Stays with the source across full passes.
    component : int64
        Component of the mosaic that the source lies in.
    x, y : float64
        Windowed centroid, 0-based pixels of the component's grid.
    ra, dec : float64
        ICRS degrees.
    flux, flux_error : float64
        Sum over the isophote above the background, in the mosaic's units.
    snr : float64
        flux / flux_error.
    fwhm : float64
        Grid pixels, of the circle with the same second moments (Gaussian).
    a, b : float64
        Major and minor rms axes, grid pixels.
    theta : float64
        Radians from +x toward +y, of the major axis.
    peak : float64
        Highest pixel above the background.
    area : int64
        Pixels of the isophote.
    radius : float64
        Half side of the box that holds the isophote, grid pixels: sizes the cutout.
    weight : float64
        From a user's catalogue; 1 otherwise.
    flags : int64
        Bits of `SourceFlag`.
    """

    id: IntArray
    component: IntArray
    x: FloatArray
    y: FloatArray
    ra: FloatArray
    dec: FloatArray
    flux: FloatArray
    flux_error: FloatArray
    snr: FloatArray
    fwhm: FloatArray
    a: FloatArray
    b: FloatArray
    theta: FloatArray
    peak: FloatArray
    area: IntArray
    radius: FloatArray
    weight: FloatArray
    flags: IntArray

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"source catalogue: columns differ in length: {lengths}")
        for name, column in self.columns():
            object.__setattr__(self, name, read_only(column))

    def __len__(self) -> int:
        return len(self.id)

    def columns(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield each column's name and values, in the order of the fields."""
        for field in fields(self):
            yield field.name, getattr(self, field.name)

    def select(self, which: NDArray[Any]) -> Self:
        """Return the sources named by a mask or by indices, in that order."""
        return replace(self, **{name: column[which] for name, column in self.columns()})

    @classmethod
    def empty(cls) -> Self:
        """Return a catalogue without sources."""
        columns: list[Any] = [
            np.zeros(0, np.int64 if f.name in _WHOLE else np.float64) for f in fields(cls)
        ]
        return cls(*columns)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return all sources of `parts`, in that order."""
        if not parts:
            return cls.empty()
        names = [f.name for f in fields(cls)]
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSources(SourceCatalog):
    """Sources whose pixels are known.

    Parameters
    ----------
    segment : int64
        What the source's pixels hold in the segmentation of its component.
    """

    segment: IntArray

    @classmethod
    def of(cls, catalog: SourceCatalog, segment: IntArray) -> LabelledSources:
        """Return the sources of a catalogue with their labels, in its order."""
        return cls(segment=segment, **dict(catalog.columns()))
