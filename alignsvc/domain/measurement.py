"""Displacements of sources in an exposure, and the factors that the reducer solves."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import FloatArray, IntArray, read_only


@dataclass(frozen=True, slots=True, eq=False)
class Displacements:
    """What one exposure measured: a struct of arrays, in order of (chip, source).

    A displacement is what must be *added* to the position in the exposure to obtain the
    position in the reference (the mosaic of all the others).

    Parameters
    ----------
    source : int64, shape (n,)
        Source ids.
    chip : int64, shape (n,)
        Index of the chip in the exposure.
    x, y : float64, shape (n,)
        Where the source should lie in the chip by the present WCS, 0-based pixels.
    dx, dy : float64, shape (n,)
        Displacement in pixels of the chip; NaN where flagged as not measured.
    own_covariance, template_covariance : float64, shape (n, 3)
        xx, xy, yy in px^2: from the exposure's own noise, and from the template's.
    weight_share : float64, shape (n,)
        ``w_is / W_s``: this exposure's part of the mosaic's effective weight at the source.
    peak : float64, shape (n,)
        Height of the correlation's peak (1 = identical, for the normalised ones).
    flags : int64, shape (n,)
        Bits of `DisplacementFlag`.
    profile_error : float64, shape (n, 2, k)
        Errors of the places in the exposure, px along x and y, that the rows of a chip have in
        common: what k independent numbers of unit variance, the chip's own, do to each place. They
        come with the chip's profile, and are not in `own_covariance`. Left out: there are none.
    convention_error : float64, shape (n, 2, c)
        The same of c numbers that all exposures have in common: what a place is.
    """

    source: IntArray
    chip: IntArray
    x: FloatArray
    y: FloatArray
    dx: FloatArray
    dy: FloatArray
    own_covariance: FloatArray
    template_covariance: FloatArray
    weight_share: FloatArray
    peak: FloatArray
    flags: IntArray
    profile_error: FloatArray = dataclasses.field(default_factory=lambda: np.zeros((0, 2, 0)))
    convention_error: FloatArray = dataclasses.field(default_factory=lambda: np.zeros((0, 2, 0)))

    def __post_init__(self) -> None:
        _without_common_errors(self, len(self.source))
        lengths = {name: len(column) for name, column in self.columns()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"displacements: columns differ in length: {lengths}")
        for name, column in self.columns():
            object.__setattr__(self, name, read_only(column))

    def __len__(self) -> int:
        return len(self.source)

    def columns(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield each column's name and values, in the order of the fields."""
        for field in fields(self):
            yield field.name, getattr(self, field.name)

    def select(self, which: NDArray[Any]) -> Displacements:
        """Return the rows named by a mask or by indices, in that order."""
        return replace(self, **{name: column[which] for name, column in self.columns()})

    @classmethod
    def concatenate(cls, parts: Sequence[Displacements]) -> Displacements:
        """Return all rows of `parts`, in that order; no rows if there are no parts.

        Where some have more errors in common than others, these have zeros.
        """
        if not parts:
            none, whole, triple = np.zeros(0), np.zeros(0, np.int64), np.zeros((0, 3))
            return cls(whole, whole, none, none, none, none, triple, triple, none, none, whole)
        names = [field.name for field in fields(cls)]
        return cls(*(_joined([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """Displacements of one exposure in the common plane of its component, ready to solve.

    ``residual = jacobian @ step + c_source + noise``, where `step` is the change of the
    exposure's six `PARAMETERS` and ``c_source`` the offset of the source in the mosaic.

    Parameters
    ----------
    exposure : int
        Index of the exposure in the solve.
    source : int64, shape (n,)
        Source ids, shared between exposures.
    residual : float64, shape (n, 2)
        arcsec, (east, north) in the component's plane: what must be added to the position.
    jacobian : float64, shape (n, 2, 6)
        Change of the source's position in that plane per unit of each parameter.
    information : float64, shape (n, 2, 2)
        Inverse covariance of the residual, arcsec^-2.
    weight_share : float64, shape (n,)
        As in `Displacements`.
    use : bool, shape (n,)
        False = held out or flagged: not in the fit.
    held_out : bool, shape (n,)
        True = sound, but kept out of the fit to test it.
    chip : int64, shape (n,)
        Index of the chip in the exposure; left out, all are of the first.
    profile_error, convention_error : float64, shapes (n, 2, k), (n, 2, c)
        Errors that rows have in common, as in `Displacements`, arcsec in the plane; they are not in
        `information`. Left out: there are none.
    """

    exposure: int
    source: IntArray
    residual: FloatArray
    jacobian: FloatArray
    information: FloatArray
    weight_share: FloatArray
    use: NDArray[np.bool_]
    held_out: NDArray[np.bool_]
    chip: IntArray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    profile_error: FloatArray = dataclasses.field(default_factory=lambda: np.zeros((0, 2, 0)))
    convention_error: FloatArray = dataclasses.field(default_factory=lambda: np.zeros((0, 2, 0)))

    def __post_init__(self) -> None:
        _without_common_errors(self, len(self.source))
        if not len(self.chip):
            object.__setattr__(self, "chip", read_only(np.zeros(len(self.source), np.int64)))

    def __len__(self) -> int:
        return len(self.source)

    def with_held_out(self) -> Factors:
        """Return factors in which the sources that were held out serve the fit too."""
        return replace(
            self,
            use=read_only(self.use | self.held_out),
            held_out=read_only(np.zeros_like(self.held_out)),
        )


def _without_common_errors(table: Displacements | Factors, n: int) -> None:
    """Give errors that were left out the number of rows."""
    for name in ("profile_error", "convention_error"):
        if not getattr(table, name).size:
            object.__setattr__(table, name, read_only(np.zeros((n, 2, 0))))


def _joined(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return columns one below the other, those of fewer errors filled with zeros."""
    if columns[0].ndim < 3:
        return np.concatenate(columns)
    width = max(one.shape[2] for one in columns)
    return np.concatenate(
        [np.pad(one, ((0, 0), (0, 0), (0, width - one.shape[2]))) for one in columns]
    )
