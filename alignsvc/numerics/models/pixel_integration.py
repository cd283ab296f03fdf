"""Profiles of one radial law, round or elliptical, integrated over pixels.

A profile of full width at half maximum F and ellipse E is ``(4 / F^2) p(t)`` with
``t = 4 d^T E^-1 d / F^2``: half of the peak is at t = 1. The integral over a pixel is a
Gauss-Legendre sum of n x n points, all pixels alike. A rule that looks at where the star is
(a finer one in the core, say) makes chi^2 jump as it moves, and fits stall; so n is chosen once,
by the width, and is a field of the profile. Errors relative to the peak fall as
``(constant / F)^(2 n)``: 1e-4 is what `NODES` promises, for all shapes within bounds.
A value at the middle of the pixel with its Laplacian / 24, the usual cheap rule, errs by 2e-3 of
the peak at F = 3 px.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.polynomial.legendre import leggauss

from alignsvc.domain.arrays import FloatArray
from alignsvc.errors import ConfigError
from alignsvc.numerics.models.ellipticity import ellipses
from alignsvc.numerics.models.profile import Places, ProfileColumns, ShapeParameter

#: Nodes along an axis, and the smallest FWHM [px] for which they integrate to 1e-4 of the peak.
NODES = {2: 7.0, 3: 2.6, 4: 1.6, 5: 1.15, 7: 0.8}
#: How much wider than that a profile is when its nodes are chosen: the fit may yet narrow it.
_MARGIN = 1.2
#: Values in one go: a dozen such arrays stay in the second-level cache.
_AT_ONCE = 1 << 14


def nodes_for(fwhm_px: float) -> int:
    """Return the nodes along an axis for stars of about this width; 7 below 1.4 px."""
    enough = (nodes for nodes, finest in NODES.items() if fwhm_px >= _MARGIN * finest)
    return next(enough, max(NODES))


def narrowest(nodes: int) -> float:
    """Return the smallest FWHM [px] for which `nodes` integrate to 1e-4 of the peak.

    Raises
    ------
    ConfigError
        No accuracy is known for as many.
    """
    if nodes not in NODES:
        raise ConfigError(f"profile: nodes {nodes}, wanted one of {', '.join(map(str, NODES))}")
    return NODES[nodes]


def width_parameter(nodes: int) -> ShapeParameter:
    """Return ``log_fwhm``, from the narrowest profile that `nodes` can integrate up to 60 px."""
    return ShapeParameter("log_fwhm", math.log(narrowest(nodes)), math.log(60), 0.3)


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

    def argument(self, own: FloatArray) -> tuple[FloatArray, float]:
        """Return factor (n,) and offset of what `terms` wants: ``factor t + offset``."""
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
    windows: Places, shape: FloatArray, law: RadialLaw, nodes: int, *, elliptical: bool
) -> ProfileColumns:
    """Return a radial law's columns.

    Parameters
    ----------
    windows : Places
    shape : float64 array, shape (n, k), or (1, k) for all, which is faster
        ``log_fwhm``, then ``e1, e2`` if `elliptical`, then the law's own.
    law : RadialLaw
    nodes : int
        Along each axis of the pixel.
    """
    n, side = len(windows), windows.side
    value, d_x, d_y = (np.empty((n, side, side)) for _ in range(3))
    columns = ProfileColumns(value, d_x, d_y, np.empty((n, shape.shape[1], side, side)))
    stars = _Stars.of(windows, shape, law, elliptical=elliptical)
    together = max(1, min(n, _AT_ONCE // side**2))
    summed = _SumOverPixels(law, nodes, (together, side, side), elliptical=elliptical)
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
        factor, offset = law.argument(own)
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
            factor=factor[:, None],
            offset=offset,
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
        x = self.x + right
        form = self.form * self.factor
        factors = [np.ones_like(x), form[:, :1] * x**2 + self.offset]
        if self.d_form.size:
            factors.append(2 * form[:, 1:2] * x)
        return np.stack(factors, axis=1)

    def along_y(self, up: float) -> FloatArray:
        """Return what varies along y: a product with `along_x` is the argument."""
        y = self.y + up
        factors = [self.form[:, 2:] * self.factor * y**2, np.ones_like(y)]
        if self.d_form.size:
            factors.append(y)
        return np.stack(factors, axis=2)


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

    def __init__(
        self, law: RadialLaw, nodes: int, shape: tuple[int, int, int], *, elliptical: bool
    ) -> None:
        place, weight = leggauss(nodes)
        self._law = law
        self._place, self._weight = place / 2, weight / 2
        self._order = 2 if elliptical else 1
        self._terms, self._totals = np.empty((2, law.count, *shape))
        self._argument, self._moved = np.empty((2, *shape))
        orders = [(a, b) for a in range(3) for b in range(3) if a + b <= self._order]
        self._moments = {each: np.empty(shape) for each in orders if each != (0, 0)}

    def __call__(self, stars: _Stars) -> _Sums:
        """Return the sums of these stars, which last until the next call."""
        count = len(stars.x)
        moment = {power: each[:count] for power, each in self._moments.items()}
        sums = _Sums(self._totals[:, :count], {**moment, (0, 0): self._totals[-1, :count]})
        for each in (sums.terms, *moment.values()):
            each[...] = 0
        columns = [stars.along_x(right) for right in self._place]
        last = len(self._place) - 1
        for j, up in enumerate(self._place):
            rows = stars.along_y(up)
            for i in range(last + 1):
                argument = np.matmul(rows, columns[i], out=self._argument[:count])
                weight = float(self._weight[i] * self._weight[j])
                self._take(sums, stars, argument, float(self._place[i]), weight)
            # A row's part is a difference of running sums: sum_j y_j (S_j - S_(j-1)).
            after = self._place[j + 1] if j < last else 0.0
            for a, b in self._moments:
                if b:
                    moved = self._moved[:count]
                    np.multiply(sums.moment[a, 0], up**b - after**b, out=moved)
                    np.add(moment[a, b], moved, out=moment[a, b])
        return sums

    def _take(
        self, sums: _Sums, stars: _Stars, argument: FloatArray, right: float, weight: float
    ) -> None:
        terms, moved = self._terms[:, : len(argument)], self._moved[: len(argument)]
        self._law.terms(argument, stars.own, weight, terms)
        np.add(sums.terms, terms, out=sums.terms)
        if right:
            for a in range(1, self._order + 1):
                np.multiply(terms[-1], right**a, out=moved)
                np.add(sums.moment[a, 0], moved, out=sums.moment[a, 0])


def _fill(columns: ProfileColumns, some: slice, stars: _Stars, sums: _Sums) -> None:
    """Write these stars' columns to their place in `columns`."""
    own = columns.d_shape[some, 1 + stars.d_form.shape[1] :].swapaxes(0, 1)
    outputs = (columns.value[some], columns.d_shape[some, 0], *own)
    for out, factors in zip(outputs, stars.combinations.swapaxes(0, 1), strict=True):
        first, *others = factors.T[..., None, None]
        np.multiply(first, sums.terms[0], out=out)
        for factor, term in zip(others, sums.terms[1:], strict=True):
            if factor.any():
                out += factor * term
    x, y, moment = stars.x[:, None, :], stars.y[:, :, None], sums.moment
    along_x, along_y = x * moment[0, 0], y * moment[0, 0]
    along_x += moment[1, 0]
    along_y += moment[0, 1]
    slope = stars.slope[:, None]
    xx, xy, yy = (2 * slope * stars.form).T[..., None, None]
    np.multiply(xx, along_x, out=columns.d_x[some])
    np.multiply(yy, along_y, out=columns.d_y[some])
    if stars.d_form.size:
        columns.d_x[some] += xy * along_y
        columns.d_y[some] += xy * along_x
        square_x = x * (along_x + moment[1, 0]) + moment[2, 0]
        square_y = y * (along_y + moment[0, 1]) + moment[0, 2]
        product = y * along_x + x * moment[0, 1] + moment[1, 1]
        for k in range(2):
            xx, xy, yy = (-slope * stars.d_form[:, k]).T[..., None, None]
            columns.d_shape[some, 1 + k] = xx * square_x + 2 * xy * product + yy * square_y
