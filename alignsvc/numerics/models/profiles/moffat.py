"""Moffat's (1969, A&A 3, 455) profile of stars seen through air: a core with wings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.models.light.pixel_integration import RadialCoefficients, RadialLaw
from alignsvc.numerics.models.light.profile import ShapeParameter
from alignsvc.numerics.models.light.radial_star import RadialStar
from alignsvc.numerics.models.profiles import PROFILES


@PROFILES.register("moffat")
@dataclass(frozen=True, slots=True)
class Moffat(RadialStar):
    """``(1 + r^2 / a^2)^(-1/v)``; parameters as of `RadialStar`.

    Notes
    -----
    The shape's own parameter is the inverse index v, in which a fit is nearly linear and v = 0 a
    Gaussian. Above 0.6 a profile has hardly a flux: at 0.6 a tenth of it lies beyond 4 FWHM.
    """

    @property
    def law(self) -> RadialLaw:
        """Moffat's."""
        return _MoffatLaw()

    @property
    def own_parameters(self) -> tuple[ShapeParameter, ...]:
        """``inverse_index``."""
        return (ShapeParameter("inverse_index", 0.05, 0.6, 0.1),)


@dataclass(frozen=True, slots=True)
class _MoffatLaw:
    """``p = D^(-1/v)`` with ``D = 1 + k t``, ``k = 2^v - 1``: p(1) = 1/2. Terms: p, p ln D, p/D."""

    @property
    def count(self) -> int:
        return 3

    @property
    def offset(self) -> float:
        return 1.0

    def factor(self, own: FloatArray) -> FloatArray:
        k: FloatArray = np.expm1(own[:, 0] * math.log(2))
        return k

    def terms(self, argument: FloatArray, own: FloatArray, weight: float, out: FloatArray) -> None:
        value, log, slope = out
        np.log(argument, out=log)
        np.multiply(log, -1 / own[:, :1, None], out=value)
        np.exp(value, out=value)
        if weight != 1:
            value *= weight
        log *= value
        np.divide(value, argument, out=slope)

    def coefficients(self, own: FloatArray) -> RadialCoefficients:
        v = own[:, 0]
        k = np.expm1(v * math.log(2))
        d_k = (k + 1) * math.log(2)
        peak = k * (1 / v - 1) / math.pi
        d_peak = d_k / k - 1 / (v * (1 - v))  # of its logarithm
        zero, one = np.zeros_like(v), np.ones_like(v)
        d_v = d_k / (v * k)
        return RadialCoefficients(
            slope=peak * k / v,
            value=peak[:, None] * np.stack([one, zero, zero], axis=-1),
            stretch=peak[:, None] * np.stack([-1 / v, zero, 1 / v], axis=-1),
            own=(peak[:, None] * np.stack([d_peak - d_v, 1 / v**2, d_v], axis=-1))[:, None],
        )
