"""Distortions of the projection plane: between the CD matrix and the projection.

Three conventions put a polynomial there: TPV (40 terms an axis, in PVi_m), and the TNX and ZPX of
IRAF (a surface an axis, in WATi_nnn).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from alignsvc.domain.arrays import FloatArray, read_only
from alignsvc.domain.geometry import Points

N_TPV = 40
#: Terms that are odd powers of r = hypot(x, y): index -> power.
TPV_RADIAL = {3: 1, 11: 3, 23: 5, 39: 7}


def _tpv_powers() -> tuple[tuple[int, int], ...]:
    # Degree by degree, x's power falling; a radial term ends each odd degree: as the registered
    # convention numbers them (1, x, y, r, x^2, xy, y^2, x^3, ..., y^3, r^3, x^4, ...).
    powers: list[tuple[int, int]] = []
    for degree in range(8):
        powers += [(degree - k, k) for k in range(degree + 1)]
        if degree % 2:
            powers.append((0, 0))
    return tuple(powers)


#: Powers of (own axis, other axis) of each TPV term; (0, 0) for the radial ones.
TPV_POWERS = _tpv_powers()


def _tpv_exchange() -> tuple[int, ...]:
    where = {p: k for k, p in enumerate(TPV_POWERS) if k not in TPV_RADIAL}
    return tuple(k if k in TPV_RADIAL else where[(p[1], p[0])] for k, p in enumerate(TPV_POWERS))


#: sigma: the term that term k becomes when the two axes are exchanged (1<->2, 4<->6, ...).
TPV_EXCHANGE = _tpv_exchange()


@dataclass(frozen=True, slots=True, eq=False)
class TpvSurface:
    """The TPV polynomials: each axis's new coordinate, not its increment.

    Parameters
    ----------
    first, second : float64 arrays, shape (40,)
        PV1_k and PV2_k; term k of `second` is in powers of (axis 2, axis 1).

    Notes
    -----
    The TPV convention of the FITS registry (Shaw et al. 2012); plane coordinates in degrees, in
    the header's order of axes.
    """

    first: FloatArray
    second: FloatArray

    def __post_init__(self) -> None:
        for name in ("first", "second"):
            values = np.array(getattr(self, name), dtype=float)
            if values.shape != (N_TPV,) or not np.isfinite(values).all():
                raise ValueError(f"TPV: {name} must be {N_TPV} finite numbers")
            object.__setattr__(self, name, read_only(values))

    @classmethod
    def from_pv(cls, pv: tuple[tuple[int, int, float], ...]) -> TpvSurface:
        """Return the surface of ``(axis, m, value)``; an absent PVi_1 is 1, the others 0."""
        rows = np.zeros((2, N_TPV))
        rows[:, 1] = 1.0
        for axis, m, value in pv:
            if axis not in (1, 2) or not 0 <= m < N_TPV:
                raise ValueError(f"TPV knows PV1_0 to PV2_39, not PV{axis}_{m}")
            rows[axis - 1, m] = value
        return cls(rows[0], rows[1])

    @property
    def pv(self) -> tuple[tuple[int, int, float], ...]:
        """``(axis, m, value)`` of every term that is not 0, and of both PVi_1."""
        return tuple(
            (axis, m, float(value))
            for axis, row in ((1, self.first), (2, self.second))
            for m, value in enumerate(row)
            if value != 0.0 or m == 1
        )

    def distorted(self, plane: Points) -> Points:
        """Return distorted plane coordinates, degrees, of those that the CD matrix gives."""
        x, y = np.asarray(plane.x, float), np.asarray(plane.y, float)
        return Points(_tpv(self.first, x, y), _tpv(self.second, y, x))

    def mixed(self, matrix: FloatArray) -> TpvSurface:
        """Return the surface whose output is `matrix`, shape (2, 2), times this one's.

        PV1'_k = m11 PV1_k + m12 PV2_sigma(k): row 2 is in powers of (axis 2, axis 1), so to stand
        in row 1 its terms change places; likewise the other way round.
        """
        sigma = np.array(TPV_EXCHANGE)
        first = matrix[0, 0] * self.first + matrix[0, 1] * self.second[sigma]
        second = matrix[1, 1] * self.second + matrix[1, 0] * self.first[sigma]
        return TpvSurface(first, second)


def _tpv(coefficients: FloatArray, own: FloatArray, other: FloatArray) -> FloatArray:
    total = np.zeros(np.broadcast(own, other).shape)
    radius = np.hypot(own, other)
    for k in np.nonzero(coefficients)[0].tolist():
        if k in TPV_RADIAL:
            term = radius ** TPV_RADIAL[k]
        else:
            p, q = TPV_POWERS[k]
            term = own**p * other**q
        total += coefficients[k] * term
    return total


class SurfaceKind(IntEnum):
    """IRAF's numbers for the functions of its surfaces."""

    CHEBYSHEV = 1
    LEGENDRE = 2
    POLYNOMIAL = 3


class CrossTerms(IntEnum):
    """IRAF's numbers for which products of powers a surface has."""

    NONE = 0  #: x alone and y alone
    FULL = 1  #: all products
    HALF = 2  #: products whose total power is below the larger order


@dataclass(frozen=True, slots=True, eq=False)
class SurfacePolynomial:
    """One IRAF surface: degrees to be added to one plane coordinate.

    Parameters
    ----------
    kind : SurfaceKind
    x_order, y_order : int
        Numbers of terms (highest power + 1).
    cross_terms : CrossTerms
    x_range, y_range : tuple of float
        Degrees; Chebyshev and Legendre arguments run from -1 to 1 over them. The plain
        polynomials of IRAF are not normalised.
    coefficients : float64 array, shape (n_terms,)
        x's power runs fastest, in the order of WATi_nnn.
    """

    kind: SurfaceKind
    x_order: int
    y_order: int
    cross_terms: CrossTerms
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    coefficients: FloatArray

    def __post_init__(self) -> None:
        values = np.array(self.coefficients, dtype=float)
        if self.x_order < 1 or self.y_order < 1:
            raise ValueError(f"surface: orders {self.x_order}, {self.y_order} must be at least 1")
        n_terms = len(self.terms)
        if values.shape != (n_terms,) or not np.isfinite(values).all():
            raise ValueError(
                f"surface: {values.size} coefficients; orders {self.x_order} x {self.y_order} with "
                f"{self.cross_terms.name} cross terms need {n_terms} finite ones"
            )
        object.__setattr__(self, "coefficients", read_only(values))

    @property
    def terms(self) -> tuple[tuple[int, int], ...]:
        """Powers ``(i, j)`` of x and y of each coefficient, in their order."""
        highest = max(self.x_order, self.y_order) - 1
        return tuple(
            (i, j)
            for j in range(self.y_order)
            for i in range(self.x_order)
            if self.cross_terms is CrossTerms.FULL
            or (self.cross_terms is CrossTerms.HALF and i + j <= highest)
            or (self.cross_terms is CrossTerms.NONE and (i == 0 or j == 0))
        )

    def __call__(self, xi: FloatArray, eta: FloatArray) -> FloatArray:
        """Return degrees to add, at plane coordinates in degrees; any shape."""
        along_x = _basis(self.kind, self.x_order, xi, self.x_range)
        along_y = _basis(self.kind, self.y_order, eta, self.y_range)
        total = np.zeros(np.broadcast(xi, eta).shape)
        for value, (i, j) in zip(self.coefficients, self.terms, strict=True):
            total += value * along_x[i] * along_y[j]
        return total


def _basis(
    kind: SurfaceKind, order: int, value: FloatArray, limits: tuple[float, float]
) -> list[FloatArray]:
    low, high = limits
    x = np.asarray(value, float)
    if kind is not SurfaceKind.POLYNOMIAL:
        x = (2.0 * x - (low + high)) / (high - low)
    basis = [np.ones_like(x), x]
    for n in range(1, order - 1):
        if kind is SurfaceKind.CHEBYSHEV:
            basis.append(2.0 * x * basis[n] - basis[n - 1])
        elif kind is SurfaceKind.LEGENDRE:
            basis.append(((2 * n + 1) * x * basis[n] - n * basis[n - 1]) / (n + 1))
        else:
            basis.append(x * basis[n])
    return basis


@dataclass(frozen=True, slots=True, eq=False)
class PlaneSurface:
    """The surfaces of a TNX or ZPX header: ``xi + lngcor(xi, eta)``, ``eta + latcor(xi, eta)``.

    Parameters
    ----------
    lngcor, latcor : SurfacePolynomial or None
        Of the longitude and the latitude axis; None adds nothing.
    """

    lngcor: SurfacePolynomial | None
    latcor: SurfacePolynomial | None

    def distorted(self, plane: Points) -> Points:
        """Return distorted (longitude, latitude) plane coordinates, degrees."""
        xi, eta = np.asarray(plane.x, float), np.asarray(plane.y, float)
        return Points(
            xi if self.lngcor is None else xi + self.lngcor(xi, eta),
            eta if self.latcor is None else eta + self.latcor(xi, eta),
        )
