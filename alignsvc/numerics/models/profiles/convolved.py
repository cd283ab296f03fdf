"""Galaxies as an exposure sees them: elliptical, behind its PSF, on its pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.models.galaxies import Galaxy
from alignsvc.numerics.models.light.ellipticity import Ellipses, ellipses, ellipticity_parameters
from alignsvc.numerics.models.light.mixtures import GaussianMixture
from alignsvc.numerics.models.light.profile import (
    Places,
    Precision,
    ProfileColumns,
    ShapeParameter,
    number_type,
    shape_rows,
)
from alignsvc.numerics.models.light.sersic_mixtures import RadialMixture
from alignsvc.numerics.models.profiles import PROFILES

#: Bytes of all Gaussians in one go: they stay in the second-level cache.
_AT_ONCE = 1 << 19
#: Columns of sums for each shape parameter: a constant, and the terms of a quadratic form.
_PER_PARAMETER = 4


@PROFILES.register("convolved")
@dataclass(frozen=True, slots=True, eq=False)
class Convolved:
    """A galaxy convolved with a PSF: Gaussians times Gaussians, each elliptical.

    Parameters
    ----------
    galaxy : Galaxy
    psf : GaussianMixture
        The PSF with the pixel in it (`mixtures.mixture_of`).
    precision : {'double', 'single'}
        What is computed in.
    """

    galaxy: Galaxy
    psf: GaussianMixture
    precision: Precision = "double"

    def __post_init__(self) -> None:
        number_type(self.precision)

    @property
    def parameters(self) -> tuple[ShapeParameter, ...]:
        """``log_radius`` [ln px], ``e1``, ``e2``, then the galaxy's own.

        The radius holds half of the light; of an ellipse it is the geometric mean of the axes.
        """
        return (
            ShapeParameter("log_radius", math.log(0.2), math.log(40), 0.3),
            *ellipticity_parameters(0.6),
            *self.galaxy.parameters,
        )

    def __call__(self, windows: Places, shape: FloatArray) -> ProfileColumns:
        """Return the columns of galaxies; see `Profile`."""
        rows = shape_rows(windows, shape, len(self.parameters))
        n, side = len(windows), windows.side
        dtype = number_type(self.precision)
        value, d_x, d_y = (np.empty((n, side, side), dtype) for _ in range(3))
        columns = ProfileColumns(value, d_x, d_y, np.empty((n, rows.shape[1], side, side), dtype))
        gaussians = _Gaussians.of(rows, self.galaxy(rows[:, 3:]), self.psf)
        values = gaussians.sums.shape[2] * side**2
        together = max(1, min(n, _AT_ONCE // (values * dtype.itemsize)))
        for first in range(0, n, together):
            some = slice(first, min(first + together, n))
            _fill(columns, some, windows, gaussians.part(some))
        return columns


@dataclass(frozen=True, slots=True, eq=False)
class _Gaussians:
    """All pairs of the galaxy's and the PSF's Gaussians, M of them, of n shapes or of one.

    A Gaussian g of covariance C and ``L = C^-1`` changes with its centre by ``g L d`` and with C
    by ``g (d^T L dC L d - tr(L dC)) / 2``: sums of g with the elements of L, and for each
    parameter with a constant and the elements of ``L dC L``.
    """

    form: FloatArray  # (n or 1, M, 3): what multiplies dx^2, dx dy, dy^2 in the exponent
    sums: FloatArray  # (n or 1, 4 + 4 k, M)

    @staticmethod
    def of(rows: FloatArray, galaxy: RadialMixture, psf: GaussianMixture) -> _Gaussians:
        ellipse = ellipses(rows[:, 1], rows[:, 2])
        size = np.exp(2 * rows[:, :1]) * galaxy.variance  # (n, galaxy's)
        ones = np.ones_like(psf.flux)

        def pairs(of_galaxy: FloatArray, of_psf: FloatArray) -> FloatArray:
            return (of_galaxy[:, :, None] * of_psf).reshape(len(rows), size.shape[1] * len(ones))

        widened = [
            pairs(size * ellipse.matrix[:, [k]], ones)
            + pairs(np.ones_like(size), psf.covariance[:, k])
            for k in range(3)
        ]
        area = widened[0] * widened[2] - widened[1] ** 2
        inverse = (widened[2] / area, -widened[1] / area, widened[0] / area)
        unit = 1 / (2 * math.pi * np.sqrt(area))
        peak = pairs(galaxy.flux, psf.flux) * unit
        sums = [peak, *(peak * each for each in inverse)]
        for d_flux, d_size in _changes(rows, galaxy, size, ellipse):
            trace, form = _sandwiched(inverse, [pairs(each, ones) for each in d_size])
            sums.append(pairs(d_flux, psf.flux) * unit - 0.5 * peak * trace)
            sums += [peak * part for part in (0.5 * form[0], form[1], 0.5 * form[2])]
        exponent = np.stack([-0.5 * inverse[0], -inverse[1], -0.5 * inverse[2]], axis=2)
        return _Gaussians(exponent, np.stack(sums, axis=1))

    def part(self, some: slice) -> _Gaussians:
        """Return those of some of the windows."""
        return self if len(self.form) == 1 else _Gaussians(self.form[some], self.sums[some])


def _changes(
    rows: FloatArray, galaxy: RadialMixture, size: FloatArray, ellipse: Ellipses
) -> list[tuple[FloatArray, list[FloatArray]]]:
    """Return by each parameter the changes of the galaxy's fluxes and covariances (xx, xy, yy)."""
    none = np.zeros_like(size)
    by_shape = [(2 * size, ellipse.matrix), (size, ellipse.d_e1), (size, ellipse.d_e2)]
    changes = [(none, [of * form[:, [k]] for k in range(3)]) for of, form in by_shape]
    for k in range(galaxy.d_flux.shape[1]):
        d_size = np.exp(2 * rows[:, :1]) * galaxy.d_variance[:, k]
        changes.append((galaxy.d_flux[:, k], [d_size * ellipse.matrix[:, [i]] for i in range(3)]))
    return changes


def _sandwiched(
    inverse: tuple[FloatArray, FloatArray, FloatArray], change: list[FloatArray]
) -> tuple[FloatArray, tuple[FloatArray, FloatArray, FloatArray]]:
    """Return ``tr(L dC)`` and ``L dC L`` as (xx, xy, yy), of symmetric 2x2 matrices."""
    l_xx, l_xy, l_yy = inverse
    c_xx, c_xy, c_yy = change
    xx, xy = l_xx * c_xx + l_xy * c_xy, l_xx * c_xy + l_xy * c_yy
    yx, yy = l_xy * c_xx + l_yy * c_xy, l_xy * c_xy + l_yy * c_yy
    return xx + yy, (xx * l_xx + xy * l_xy, xx * l_xy + xy * l_yy, yx * l_xy + yy * l_yy)


def _fill(columns: ProfileColumns, some: slice, windows: Places, gaussians: _Gaussians) -> None:
    """Write some windows' columns to their place in `columns`."""
    side = windows.side
    step = np.arange(side)
    count = len(windows.x[some])
    dtype: np.dtype[Any] = columns.value.dtype
    grid = np.empty((count, 5, side, side), dtype)
    grid[:, 0] = (step - windows.x[some, None])[:, None, :]
    grid[:, 1] = (step - windows.y[some, None])[:, :, None]
    x, y = grid[:, 0], grid[:, 1]
    for k, (one, other) in enumerate(((x, x), (x, y), (y, y))):
        np.multiply(one, other, out=grid[:, 2 + k])
    flat = grid.reshape(count, 5, side**2)
    light = gaussians.form.astype(dtype) @ flat[:, 2:]
    np.exp(light, out=light)
    sums = (gaussians.sums.astype(dtype) @ light).reshape(count, -1, side, side)
    columns.value[some] = sums[:, 0]
    columns.d_x[some] = sums[:, 1] * x + sums[:, 2] * y
    columns.d_y[some] = sums[:, 2] * x + sums[:, 3] * y
    for k in range(columns.d_shape.shape[1]):
        first = 4 + _PER_PARAMETER * k
        column = sums[:, first]
        for i in range(3):
            column += sums[:, first + 1 + i] * grid[:, 2 + i]
        columns.d_shape[some, k] = column
