"""Several concentric Gaussians of one ellipticity: a core with wings that bends to any profile."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.errors import ConfigError
from alignsvc.numerics.models.light.pixel_integration import RadialCoefficients, RadialLaw
from alignsvc.numerics.models.light.profile import ShapeParameter
from alignsvc.numerics.models.light.radial_star import RadialStar
from alignsvc.numerics.models.profiles import PROFILES

#: Wide Gaussians hold at most this share of the flux: the narrow one stays in charge.
_WIDE_SHARE = 0.9


@PROFILES.register("gaussians")
@dataclass(frozen=True, slots=True)
class Gaussians(RadialStar):
    """A sum of Gaussians, each wider than the one before, all of one ellipticity.

    Parameters
    ----------
    count : int
        How many, 2 to 4. The others are those of `RadialStar`.

    Notes
    -----
    ``log_fwhm`` is that of the narrowest Gaussian, somewhat less than that of the sum.
    """

    count: int = 2

    def __post_init__(self) -> None:
        # Slots make a new class, in which super() without arguments is lost.
        RadialStar.__post_init__(self)
        if not 2 <= self.count <= 4:
            raise ConfigError(f"profile gaussians: count {self.count}, wanted 2, 3 or 4")

    @property
    def law(self) -> RadialLaw:
        """That of the sum."""
        return _GaussiansLaw(self.count)

    @property
    def own_parameters(self) -> tuple[ShapeParameter, ...]:
        """Two for each wide Gaussian.

        ``log_ratio_j`` is the logarithm of its width over that of the one before, ``share_j``
        its part of the flux.
        """
        largest = _WIDE_SHARE / (self.count - 1)
        return tuple(
            parameter
            for j in range(2, self.count + 1)
            for parameter in (
                ShapeParameter(f"log_ratio_{j}", math.log(1.2), math.log(4), 0.3),
                ShapeParameter(f"share_{j}", 0.0, largest, 0.2),
            )
        )


@dataclass(frozen=True, slots=True)
class _GaussiansLaw:
    """``p = sum_j f_j g_j / R_j^2`` with ``g_j = 2^(-t / R_j^2)``.

    Terms: all g_j, all ``g_j ln g_1``, and ``sum_j f_j g_j / R_j^4``.
    """

    gaussians: int

    @property
    def count(self) -> int:
        return 2 * self.gaussians + 1

    @property
    def offset(self) -> float:
        return 0.0

    def factor(self, own: FloatArray) -> FloatArray:
        return np.full(len(own), -math.log(2))

    def terms(self, argument: FloatArray, own: FloatArray, weight: float, out: FloatArray) -> None:
        values, stretches, slope = out[: self.gaussians], out[self.gaussians : -1], out[-1]
        narrowing, share = _narrowing(own), _shares(own)
        slope[...] = 0
        for j, (value, stretch) in enumerate(zip(values, stretches, strict=True)):
            np.multiply(argument, narrowing[:, j, None, None], out=value)
            np.exp(value, out=value)
            if weight != 1:
                value *= weight
            np.multiply(value, (share * narrowing**2)[:, j, None, None], out=stretch)
            slope += stretch
            np.multiply(argument, value, out=stretch)

    def coefficients(self, own: FloatArray) -> RadialCoefficients:
        n, m = len(own), self.gaussians
        narrowing, share = _narrowing(own), _shares(own)
        value, stretch = np.zeros((2, n, self.count))
        value[:, :m] = share * narrowing
        stretch[:, m:-1] = share * narrowing**2
        by_own = np.zeros((n, 2 * (m - 1), self.count))
        for j in range(1, m):
            # A ratio widens all from the j-th on: dp/d ln R = -2 (p_j + t dp_j/dt).
            by_own[:, 2 * j - 2, j:m] = -2 * value[:, j:m]
            by_own[:, 2 * j - 2, m + j : -1] = -2 * stretch[:, m + j : -1]
            by_own[:, 2 * j - 1, 0] = -1
            by_own[:, 2 * j - 1, j] = narrowing[:, j]
        peak = math.log(2) / math.pi
        return RadialCoefficients(
            slope=np.full(n, peak * math.log(2)),
            value=peak * value,
            stretch=peak * stretch,
            own=peak * by_own,
        )


def _narrowing(own: FloatArray) -> FloatArray:
    """Return ``1 / R_j^2``: (n, gaussians), 1 for the first."""
    log_width = np.cumsum(own[:, 0::2], axis=1)
    return np.concatenate([np.ones((len(own), 1)), np.exp(-2 * log_width)], axis=1)


def _shares(own: FloatArray) -> FloatArray:
    """Return the flux f_j of each: (n, gaussians), in all 1."""
    wide = own[:, 1::2]
    return np.concatenate([1 - wide.sum(axis=1, keepdims=True), wide], axis=1)
