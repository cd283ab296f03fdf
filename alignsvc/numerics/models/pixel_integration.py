"""Profiles of one radial law, round or elliptical, integrated over pixels.

A profile of full width at half maximum F and ellipse E is ``(4 / F^2) p(t)`` with
``t = 4 d^T E^-1 d / F^2``: half of the peak is at t = 1. The integral over a pixel is a sum over
the few nodes of a rule (`pixel_rules.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.models.ellipticity import ellipses
from alignsvc.numerics.models.pixel_rules import NARROWEST, narrowest, pixel_rule
from alignsvc.numerics.models.profile import (
    Places,
    Precision,
    ProfileColumns,
    ShapeParameter,
    number_type,
)

#: Bytes of an array of values: a dozen such arrays stay in the second-level cache.
_AT_ONCE = 1 << 17


@dataclass(frozen=True, slots=True)
class Pixelation:
    """How a law is put on pixels.

    Parameters
    ----------
    nodes : int
        In each pixel.
    precision : Precision
    elliptical : bool
        Whether shapes have ``e1, e2``.
    """

    nodes: int
    precision: Precision
    elliptical: bool

    def __post_init__(self) -> None:
        narrowest(self.nodes, elliptical=self.elliptical)
        number_type(self.precision)


def width_parameter() -> ShapeParameter:
    """Return ``log_fwhm``, from the narrowest star that any rule is for up to 60 px."""
    return ShapeParameter("log_fwhm", math.log(min(NARROWEST.values())), math.log(60), 0.3)


@dataclass(frozen=True, slots=True, eq=False)
class RadialCoefficients:
    """How value and derivatives are made of terms, so that ``p`` integrates to 1 over the plane.

    Parameters
    ----------
    slope : float64 array, shape (n,)
        Factor that makes ``-dp/dt`` of the last term.
    value, stretch : float64 array, shape (n, terms)
        p, and ``t dp/dt``.
    own : float64 array, shape (n, parameters of the law, terms)
        ``dp`` by the law's own parameters at fixed t.
    """

    slope: FloatArray
    value: FloatArray
    stretch: FloatArray
    own: FloatArray


class RadialLaw(Protocol):
    """A radial function with parameters of its own, `own`: (n, count).

    It comes as terms, of which value and derivatives are linear combinations with coefficients
    that depend on the shape alone: only terms have to be summed over a pixel's nodes.
    """

    @property
    def count(self) -> int:
        """How many terms there are."""
        ...

    @property
    def offset(self) -> float:
        """The argument that `terms` wants at t = 0."""
        ...

    def factor(self, own: FloatArray) -> FloatArray:
        """Return what that argument grows by with t, (n,)."""
        ...

    def terms(self, argument: FloatArray, own: FloatArray, weight: float, out: FloatArray) -> None:
        """Write the terms at points (c, side, side), times `weight`, into `out` (count, ...).

        The last is proportional to ``-dp/dt``. `argument` may be used up.
        """
        ...

    def coefficients(self, own: FloatArray) -> RadialCoefficients:
        """Return what the terms count for."""
        ...


def integrated(
    windows: Places, shape: FloatArray, law: RadialLaw, pixelation: Pixelation
) -> ProfileColumns:
    """Return a radial law's columns.

    Parameters
    ----------
    windows : Places
    shape : float64 array, shape (n, k), or (1, k) for all, which is faster
        ``log_fwhm``, then ``e1, e2`` if elliptical, then the law's own.
    law : RadialLaw
    pixelation : Pixelation
    """
    n, side = len(windows), windows.side
    dtype = number_type(pixelation.precision)
    value, d_x, d_y = (np.empty((n, side, side), dtype) for _ in range(3))
    columns = ProfileColumns(value, d_x, d_y, np.empty((n, shape.shape[1], side, side), dtype))
    stars = _Stars.of(windows, shape, law, elliptical=pixelation.elliptical)
    together = max(1, min(n, _AT_ONCE // (dtype.itemsize * side**2)))
    summed = _SumOverPixels(law, pixelation, (together, side, side))
    for first in range(0, n, together):
        some = slice(first, min(first + together, n))
        part = stars.part(some)
        _fill(columns, some, part, summed(part))
    return columns


@dataclass(frozen=True, slots=True, eq=False)
class _Stars:
    """Stars of n shapes, or of one: then everything but places has one row."""

    x: FloatArray  # (n, side): middle of the pixel less the centre
    y: FloatArray
    form: FloatArray  # (n or 1, 3): xx, xy, yy of t
    d_form: FloatArray  # (n or 1, 2 or 0, 3): by e1 and e2
    own: FloatArray
    factor: FloatArray  # (n or 1, 1) and
    offset: float  # of the law's argument
    slope: FloatArray  # (n or 1,), and coefficients of terms, (n or 1, outputs, terms)
    combinations: FloatArray

    @staticmethod
    def of(windows: Places, shape: FloatArray, law: RadialLaw, *, elliptical: bool) -> _Stars:
        step = np.arange(windows.side)
        peak = 4 * np.exp(-2 * shape[:, :1])
        e1, e2 = shape[:, 1:3].T if elliptical else np.zeros((2, len(shape)))
        inverse = ellipses(e1, e2).inverse()
        d_form = np.stack([inverse.d_e1, inverse.d_e2], axis=1) * peak[..., None]
        own = shape[:, 3 if elliptical else 1 :]
        counts = law.coefficients(own)
        # F enters by the peak, F^-2, and by t, F^-2.
        by_width = -2 * (counts.value + counts.stretch)
        combinations = np.concatenate(
            [counts.value[:, None], by_width[:, None], counts.own], axis=1
        )
        return _Stars(
            x=step - windows.x[:, None],
            y=step - windows.y[:, None],
            form=inverse.matrix * peak,
            d_form=d_form if elliptical else d_form[:, :0],
            own=own,
            factor=law.factor(own)[:, None],
            offset=law.offset,
            slope=counts.slope * peak[:, 0],
            combinations=combinations * peak[..., None],
        )

    def part(self, some: slice) -> _Stars:
        """Return some of the stars."""
        shapes = some if len(self.form) > 1 else slice(None)
        return _Stars(
            self.x[some],
            self.y[some],
            self.form[shapes],
            self.d_form[shapes],
            self.own[shapes],
            self.factor[shapes],
            self.offset,
            self.slope[shapes],
            self.combinations[shapes],
        )

    def along_x(self, right: float) -> FloatArray:
        """Return what of the law's argument varies along x, `right` of the middle of pixels."""
        x, form = self.x + right, self.form * self.factor
        factors = np.ones((len(x), 3 if self.d_form.size else 2, x.shape[1]))
        factors[:, 1] = form[:, :1] * x**2 + self.offset
        if self.d_form.size:
            factors[:, 2] = 2 * form[:, 1:2] * x
        return factors

    def along_y(self, up: float) -> FloatArray:
        """Return what varies along y: a product with `along_x` is the argument."""
        y = self.y + up
        factors = np.ones((*y.shape, 3 if self.d_form.size else 2))
        factors[:, :, 0] = self.form[:, 2:] * self.factor * y**2
        if self.d_form.size:
            factors[:, :, 2] = y
        return factors


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Sums over each pixel's nodes of the terms, and moments of the slope, the last of them.

    ``moment[a, b]`` is the sum of the slope times the node's place, from the middle of the
    pixel, to the power a in x and b in y. Second moments are for ellipses only.
    """

    terms: FloatArray  # (terms, c, side, side)
    moment: dict[tuple[int, int], FloatArray]  # (c, side, side) each


class _SumOverPixels:
    """Memory for sums, taken once and used for one part of the stars after the other."""

    def __init__(self, law: RadialLaw, pixelation: Pixelation, shape: tuple[int, int, int]) -> None:
        self._law, self._rule = law, pixel_rule(pixelation.nodes)
        dtype = number_type(pixelation.precision)
        self._terms, self._totals = np.empty((2, law.count, *shape), dtype)
        self._argument, self._moved = np.empty((2, *shape), dtype)
        highest = 2 if pixelation.elliptical else 1
        powers = [(a, b) for a in range(3) for b in range(3) if 1 <= a + b <= highest]
        self._moments = {power: np.empty(shape, dtype) for power in powers}

    def __call__(self, stars: _Stars) -> _Sums:
        """Return the sums of these stars, which last until the next call."""
        count, dtype = len(stars.x), self._moved.dtype
        argument, moved = self._argument[:count], self._moved[:count]
        terms, totals = self._terms[:, :count], self._totals[:, :count]
        moments = {power: each[:count] for power, each in self._moments.items()}
        for each in (totals, *moments.values()):
            each[...] = 0
        nodes = [each.tolist() for each in (self._rule.x, self._rule.y, self._rule.weight)]
        # Places are subtracted in double precision: what is rounded is small.
        columns = {right: stars.along_x(right).astype(dtype) for right in set(nodes[0])}
        rows = {up: stars.along_y(up).astype(dtype) for up in set(nodes[1])}
        own = stars.own.astype(dtype)
        for right, up, weight in zip(*nodes, strict=True):
            np.matmul(rows[up], columns[right], out=argument)
            self._law.terms(argument, own, weight, terms)
            np.add(totals, terms, out=totals)
            for (a, b), moment in moments.items():
                factor = right**a * up**b
                if factor:
                    np.multiply(terms[-1], factor, out=moved)
                    np.add(moment, moved, out=moment)
        return _Sums(totals, {**moments, (0, 0): totals[-1]})


def _fill(columns: ProfileColumns, some: slice, stars: _Stars, sums: _Sums) -> None:
    """Write these stars' columns to their place in `columns`."""
    dtype: np.dtype[Any] = columns.value.dtype
    own = columns.d_shape[some, 1 + stars.d_form.shape[1] :].swapaxes(0, 1)
    outputs = (columns.value[some], columns.d_shape[some, 0], *own)
    for out, factors in zip(outputs, stars.combinations.swapaxes(0, 1), strict=True):
        first, *others = factors.T[..., None, None].astype(dtype)
        np.multiply(first, sums.terms[0], out=out)
        for factor, term in zip(others, sums.terms[1:], strict=True):
            if factor.any():
                out += factor * term
    x, y = stars.x[:, None, :].astype(dtype), stars.y[:, :, None].astype(dtype)
    moment = sums.moment
    along_x, along_y = x * moment[0, 0], y * moment[0, 0]
    along_x += moment[1, 0]
    along_y += moment[0, 1]
    slope = stars.slope[:, None]
    xx, xy, yy = (2 * slope * stars.form).T[..., None, None].astype(dtype)
    np.multiply(xx, along_x, out=columns.d_x[some])
    np.multiply(yy, along_y, out=columns.d_y[some])
    if stars.d_form.size:
        columns.d_x[some] += xy * along_y
        columns.d_y[some] += xy * along_x
        square_x = x * (along_x + moment[1, 0]) + moment[2, 0]
        square_y = y * (along_y + moment[0, 1]) + moment[0, 2]
        product = y * along_x + x * moment[0, 1] + moment[1, 1]
        for k in range(2):
            xx, xy, yy = (-slope * stars.d_form[:, k]).T[..., None, None].astype(dtype)
            columns.d_shape[some, 1 + k] = xx * square_x + 2 * xy * product + yy * square_y
