"""Profiles of one radial law, round or elliptical, integrated over pixels.

A profile of full width at half maximum F and ellipse E is ``(4 / F^2) p(t)`` with
``t = 4 d^T E^-1 d / F^2``: half of the peak is at t = 1. The integral over a pixel is a sum over
the few nodes of a rule (`pixel_rules.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.models.light.ellipticity import ellipses
from alignsvc.numerics.models.light.pixel_rules import NARROWEST, narrowest, pixel_rule
from alignsvc.numerics.models.light.profile import (
    Places,
    Precision,
    ProfileColumns,
    ShapeParameter,
    number_type,
)

#: Bytes of an array of values, of which there are a dozen: with less calls cost as much as pixels.
_AT_ONCE = 1 << 18


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
    nodes = _Nodes.of(pixelation)
    stars = _Stars.of(windows, shape, law, nodes)
    together = max(1, min(n, _AT_ONCE // (dtype.itemsize * side**2)))
    summed = _SumOverPixels(law, nodes, np.empty((0, together, side, side), dtype))
    for first in range(0, n, together):
        some = slice(first, min(first + together, n))
        part = stars.part(some)
        _fill(columns, some, part, summed(part))
    return columns


@dataclass(frozen=True, slots=True)
class _Nodes:
    """Points of a rule, by the distances from the middle of a pixel that they have in common.

    Parameters
    ----------
    right, up : tuple of float
        All different distances.
    at : tuple of (int, int, float)
        Of each point: which of these, and its weight, in units of `weight`.
    weight : float
        That of the last point, which others have too: by 1 nothing need be multiplied.
    elliptical : bool
    single : bool
    """

    right: tuple[float, ...]
    up: tuple[float, ...]
    at: tuple[tuple[int, int, float], ...]
    weight: float
    elliptical: bool
    single: bool

    @classmethod
    @lru_cache
    def of(cls, pixelation: Pixelation) -> _Nodes:
        rule = pixel_rule(pixelation.nodes)
        x, y, weight = (each.tolist() for each in (rule.x, rule.y, rule.weight))
        right, up = tuple(sorted(set(x))), tuple(sorted(set(y)))
        at = [
            (right.index(a), up.index(b), w / weight[-1])
            for a, b, w in zip(x, y, weight, strict=True)
        ]
        is_single = pixelation.precision == "single"
        return cls(right, up, tuple(at), weight[-1], pixelation.elliptical, is_single)

    @property
    def number(self) -> np.dtype[Any]:
        """What arrays over pixels are made of."""
        return np.dtype(np.float32 if self.single else np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Stars:
    """Stars of n shapes, or of one: then everything but places has one row."""

    x: FloatArray  # (n, 1, side): middle of the pixel less the centre
    y: FloatArray  # (n, side, 1)
    along_x: FloatArray  # (distances, n, k, side): what of the law's argument varies along x, and
    along_y: FloatArray  # (distances, n, side, k) along y: their product is the argument
    own: FloatArray
    gradient: FloatArray  # (xx, xy, yy; n or 1, 1, 1): of t, times the slope's coefficient
    by_ellipse: FloatArray  # (e1, e2 or none; xx, xy, yy; n or 1, 1, 1)
    combinations: FloatArray  # (outputs, terms, n or 1, 1, 1): coefficients of terms

    @staticmethod
    def of(windows: Places, shape: FloatArray, law: RadialLaw, nodes: _Nodes) -> _Stars:
        step = np.arange(windows.side)
        # Places are subtracted in double precision: what is rounded is small.
        x, y = step - windows.x[:, None], step - windows.y[:, None]
        forms = _Forms.of(shape, elliptical=nodes.elliptical)
        own = shape[:, 3 if nodes.elliptical else 1 :]
        counts, number = law.coefficients(own), nodes.number
        # F enters by the peak, F^-2, and by t, F^-2.
        by_width = -2 * (counts.value + counts.stretch)
        combinations = np.concatenate(
            [counts.value[:, None], by_width[:, None], counts.own], axis=1
        )
        peak = nodes.weight * forms.peak
        slope = (counts.slope * peak)[:, None]
        factor = forms.matrix * law.factor(own)[:, None]
        return _Stars(
            x[:, None, :].astype(number),
            y[:, :, None].astype(number),
            _along_x(x, factor, law.offset, nodes),
            _along_y(y, factor, nodes),
            own.astype(number),
            _columns(2 * slope * forms.matrix, number),
            _columns(-slope[:, None] * forms.derivative, number),
            _columns(combinations * peak[:, None, None], number),
        )

    def part(self, some: slice) -> _Stars:
        """Return some of the stars."""
        shapes = some if len(self.own) > 1 else slice(None)
        return _Stars(
            self.x[some],
            self.y[some],
            self.along_x[:, some],
            self.along_y[:, some],
            self.own[shapes],
            self.gradient[:, shapes],
            self.by_ellipse[:, :, shapes],
            self.combinations[:, :, shapes],
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Forms:
    """The quadratic form that t is, in units of nothing; ``peak`` is ``4 / F^2``."""

    peak: FloatArray  # (n,)
    matrix: FloatArray  # (n, 3): xx, xy, yy
    derivative: FloatArray  # (n, 2 or 0, 3): by e1 and e2

    @staticmethod
    def of(shape: FloatArray, *, elliptical: bool) -> _Forms:
        peak = 4 * np.exp(-2 * shape[:, 0])
        if not elliptical:
            matrix = peak[:, None] * np.array([1.0, 0.0, 1.0])
            return _Forms(peak, matrix, np.zeros((len(shape), 0, 3)))
        inverse = ellipses(*shape[:, 1:3].T).inverse()
        derivative = np.stack([inverse.d_e1, inverse.d_e2], axis=1)
        return _Forms(peak, inverse.matrix * peak[:, None], derivative * peak[:, None, None])


def _columns(values: FloatArray, number: np.dtype[Any]) -> FloatArray:
    """Return values (n, ...) as (..., n, 1, 1): factors of stars' pixels."""
    return np.moveaxis(values, 0, -1)[..., None, None].astype(number)


def _along_x(x: FloatArray, form: FloatArray, offset: float, nodes: _Nodes) -> FloatArray:
    varying = 3 if nodes.elliptical else 2
    factors = np.ones((len(nodes.right), len(x), varying, x.shape[1]), nodes.number)
    for of_node, right in zip(factors, nodes.right, strict=True):
        of_node[:, 1] = form[:, :1] * (x + right) ** 2 + offset
        if nodes.elliptical:
            of_node[:, 2] = 2 * form[:, 1:2] * (x + right)
    return factors


def _along_y(y: FloatArray, form: FloatArray, nodes: _Nodes) -> FloatArray:
    varying = 3 if nodes.elliptical else 2
    factors = np.ones((len(nodes.up), *y.shape, varying), nodes.number)
    for of_node, up in zip(factors, nodes.up, strict=True):
        of_node[:, :, 0] = form[:, 2:] * (y + up) ** 2
        if nodes.elliptical:
            of_node[:, :, 2] = y + up
    return factors


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Sums over each pixel's nodes of the terms, and moments of the slope, the last of them.

    ``moment[a, b]`` is the sum of the slope times the node's place, from the middle of the
    pixel, to the power a in x and b in y. Second moments are for ellipses only.
    """

    terms: FloatArray  # (terms, c, side, side)
    moment: dict[tuple[int, int], FloatArray]  # (c, side, side) each
    free: FloatArray  # (2, c, side, side): not needed any more


class _SumOverPixels:
    """Memory for sums, taken once and used for one part of the stars after the other."""

    def __init__(self, law: RadialLaw, nodes: _Nodes, like: FloatArray) -> None:
        self._law, self._nodes = law, nodes
        shape, dtype = like.shape[1:], like.dtype
        self._terms, self._totals = np.empty((2, law.count, *shape), dtype)
        self._free = np.empty((2, *shape), dtype)
        self._moments = [(of, np.empty(shape, dtype)) for of in _moments_of(nodes)]

    def __call__(self, stars: _Stars) -> _Sums:
        """Return the sums of these stars, which last until the next call."""
        count = len(stars.x)
        free, terms, totals = self._free[:, :count], self._terms[:, :count], self._totals[:, :count]
        moments = [(of, each[:count]) for of, each in self._moments]
        for k, (right, up, weight) in enumerate(self._nodes.at):
            np.matmul(stars.along_y[up], stars.along_x[right], out=free[0])
            found = terms if k else totals
            self._law.terms(free[0], stars.own, weight, found)
            for of, moment in moments:
                of.add(k, found[-1], moment)
            if k:
                np.add(totals, terms, out=totals)
        known = {(0, 0): totals[-1]}
        for of, moment in moments:
            moment *= of.size
            if of.power in known:
                known[of.power] += moment
            else:
                known[of.power] = moment
        return _Sums(totals, known, free)


@dataclass(frozen=True, slots=True)
class _Moment:
    """The nodes that add to a moment, or take from it, the same times their slope.

    Parameters
    ----------
    power : (int, int)
        Of the node's place in x and in y.
    size : float
        Of that product.
    sign : tuple of int
        1, -1, or 0, of each node.
    """

    power: tuple[int, int]
    size: float
    sign: tuple[int, ...]

    def add(self, node: int, slope: FloatArray, moment: FloatArray) -> None:
        """Add what a node has, or take it off; the first overwrites what was there."""
        sign = self.sign[node]
        if sign and not any(self.sign[:node]):
            np.multiply(slope, sign, out=moment)
        elif sign:
            (np.add if sign > 0 else np.subtract)(moment, slope, out=moment)


@lru_cache
def _moments_of(nodes: _Nodes) -> tuple[_Moment, ...]:
    """Return what makes all moments: nodes as far from the middle need but be added up."""
    highest = 2 if nodes.elliptical else 1
    found = []
    for a, b in [(a, b) for a in range(3) for b in range(3) if 1 <= a + b <= highest]:
        factors = [nodes.right[i] ** a * nodes.up[j] ** b for i, j, _ in nodes.at]
        for size in dict.fromkeys(abs(factor) for factor in factors if factor):
            sign = tuple(int(math.copysign(abs(one) == size, one)) for one in factors)
            found.append(_Moment((a, b), size, sign))
    return tuple(found)


def _fill(columns: ProfileColumns, some: slice, stars: _Stars, sums: _Sums) -> None:
    """Write these stars' columns to their place in `columns`."""
    d_shape, free = columns.d_shape[some].swapaxes(0, 1), sums.free
    ellipse = len(stars.by_ellipse)
    outputs = (columns.value[some], d_shape[0], *d_shape[1 + ellipse :])
    for out, factors in zip(outputs, stars.combinations, strict=True):
        _combine(sums.terms, factors, out, free[0])
    moment = sums.moment
    along_x, along_y = free
    np.multiply(stars.x, moment[0, 0], out=along_x)
    along_x += moment[1, 0]
    np.multiply(stars.y, moment[0, 0], out=along_y)
    along_y += moment[0, 1]
    xx, xy, yy = stars.gradient
    np.multiply(xx, along_x, out=columns.d_x[some])
    np.multiply(yy, along_y, out=columns.d_y[some])
    if ellipse:
        columns.d_x[some] += xy * along_y
        columns.d_y[some] += xy * along_x
        square_x = stars.x * (along_x + moment[1, 0]) + moment[2, 0]
        square_y = stars.y * (along_y + moment[0, 1]) + moment[0, 2]
        product = stars.y * along_x + stars.x * moment[0, 1] + moment[1, 1]
        for k, (xx, xy, yy) in enumerate(stars.by_ellipse):
            d_shape[1 + k] = xx * square_x + 2 * xy * product + yy * square_y


def _combine(terms: FloatArray, factors: FloatArray, out: FloatArray, free: FloatArray) -> None:
    """Write the sum of terms times factors to `out`, by way of `free`; most factors are 0."""
    used = [k for k in range(len(terms)) if factors[k].any()]
    if not used:
        out[...] = 0
    for k in used:
        np.multiply(terms[k], factors[k], out=free if k != used[0] else out)
        if k != used[0]:
            out += free
