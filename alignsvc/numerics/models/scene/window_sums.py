"""Sums over the pixels of windows: all that a fit needs to know of them.

The columns of a window are the derivatives of its members' profiles of unit flux (x, y, shape),
the profiles themselves, the sky's terms, and what the data leave over the present model. Their
Gram matrix, weighted by the inverse variance, holds chi2, the best fluxes and sky, the gradient
and the Gauss-Newton matrix. What an exposure's geometry changes is a combination of the columns
x and y, so it is never formed on pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray
from alignsvc.numerics.models.light.profile import ProfileColumns
from alignsvc.numerics.models.scene.window import WindowStack

#: BLAS multiplies by fours of rows; odd ones cost three times as much.
_ROWS = 4
#: A column that those before it explain to this part of its square takes no part.
_DEPENDENT = 1e-11


@dataclass(frozen=True, slots=True, eq=False)
class LinearValues:
    """Present values of what a window's model is linear in.

    Parameters
    ----------
    flux : float64 array, shape (n, m)
        Of the members.
    sky : float64 array, shape (n, t)
        Level, and for t = 3 the change from the window's middle to its edges in x and in y.
    """

    flux: FloatArray
    sky: FloatArray


def window_gram(
    windows: WindowStack, members: Sequence[ProfileColumns], values: LinearValues
) -> FloatArray:
    """Return the weighted Gram matrices of windows, shape (n, c, c).

    Parameters
    ----------
    windows : WindowStack
    members : sequence of ProfileColumns
        Profiles of unit flux, all with n windows.
    values : LinearValues
        At which the residual, the last column, is taken.

    Returns
    -------
    float64 array
        Columns: x, y and shape of the first member, of the second, ...; the members' profiles;
        the sky's terms; the residual. What is weighted 0 counts nothing.
    """
    columns = _weighted_columns(windows, members, values)
    count = sum(3 + member.d_shape.shape[1] for member in members) + values.sky.shape[1] + 1
    # The product of an array with its own transpose: BLAS computes half of it.
    gram = np.matmul(columns, columns.swapaxes(1, 2))
    return np.asarray(gram[:, :count, :count], np.float64)


def _weighted_columns(
    windows: WindowStack, members: Sequence[ProfileColumns], values: LinearValues
) -> FloatArray | Float32Array:
    n, side, n_sky = len(windows), windows.side, values.sky.shape[1]
    n_shape = sum(2 + member.d_shape.shape[1] for member in members)
    dtype = np.result_type(windows.pixels.dtype, *(member.value.dtype for member in members))
    count = n_shape + len(members) + n_sky + 1
    columns = np.empty((n, -(-count // _ROWS) * _ROWS, side, side), dtype)
    columns[:, count:] = 0
    root, left = np.sqrt(windows.weight), columns[:, count - 1]
    seen: FloatArray | Float32Array = windows.pixels
    at = 0
    for k, member in enumerate(members):
        np.multiply(member.d_x, root, out=columns[:, at])
        np.multiply(member.d_y, root, out=columns[:, at + 1])
        n_own = member.d_shape.shape[1]
        np.multiply(member.d_shape, root[:, None], out=columns[:, at + 2 : at + 2 + n_own])
        at += 2 + n_own
        light = columns[:, n_shape + k]
        np.multiply(member.value, values.flux[:, k, None, None].astype(dtype), out=light)
        seen = np.subtract(seen, light, out=left)
        np.multiply(member.value, root, out=light)
    at = n_shape + len(members)
    for term, level in zip(sky_terms(side, n_sky), values.sky.T, strict=True):
        # The first term, often the only one, is 1.
        slope = term.astype(dtype) if at > n_shape + len(members) else dtype.type(1)
        seen = np.subtract(seen, level[:, None, None].astype(dtype) * slope, out=left)
        np.multiply(root, slope, out=columns[:, at])
        at += 1
    np.multiply(seen, root, out=left)
    return columns.reshape(n, -1, side * side)


def sky_terms(side: int, count: int) -> FloatArray:
    """Return 1 and slopes in x and y, -1 and 1 at a window's edges: (count, side, side)."""
    ramp = np.linspace(-1.0, 1.0, side) if side > 1 else np.zeros(1)
    terms = np.ones((3, side, side))
    terms[1], terms[2] = ramp[None, :], ramp[:, None]
    return terms[:count]


@dataclass(frozen=True, slots=True, eq=False)
class Swept:
    """Gram matrices with some columns eliminated.

    Parameters
    ----------
    gram : float64 array, shape (n, c, c)
        Of the columns that stay: what is left of them beside the eliminated ones. In rows of
        eliminated columns: their coefficients in each of the others; among themselves minus
        their covariance.
    determined : bool array, shape (n, q)
        Whether the data determine the coefficient of each eliminated column; where not, it
        takes no part and its coefficient is 0.
    """

    gram: FloatArray
    determined: BoolArray


def sweep(gram: FloatArray, first: int, last: int) -> Swept:
    """Return Gram matrices with the columns ``first <= k < last`` eliminated by least squares.

    Notes
    -----
    The symmetric sweep operator (Goodnight 1979, The American Statistician 33, 149).
    """
    swept = gram.copy()
    diagonal = np.diagonal(gram, axis1=1, axis2=2)
    determined = np.zeros((len(gram), last - first), bool)
    for k in range(first, last):
        pivot = swept[:, k, k].copy()
        good = pivot > _DEPENDENT * diagonal[:, k]
        determined[:, k - first] = good
        inverse = np.where(good, 1.0 / np.where(good, pivot, 1.0), 0.0)
        row = swept[:, k, :].copy()
        scaled = row * inverse[:, None]
        swept -= row[:, :, None] * scaled[:, None, :]
        swept[:, k, :] = scaled
        swept[:, :, k] = scaled
        swept[:, k, k] = -inverse
    return Swept(swept, determined)
