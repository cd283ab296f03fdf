"""One Gaussian: the simplest star, and the limit of a Moffat without wings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.models.light.pixel_integration import RadialCoefficients, RadialLaw
from alignsvc.numerics.models.light.profile import ShapeParameter
from alignsvc.numerics.models.light.radial_star import RadialStar
from alignsvc.numerics.models.profiles import PROFILES


@PROFILES.register("gaussian")
@dataclass(frozen=True, slots=True)
class Gaussian(RadialStar):
    """A Gaussian; parameters as of `RadialStar`."""

    @property
    def law(self) -> RadialLaw:
        """A Gaussian's."""
        return _GaussianLaw()

    @property
    def own_parameters(self) -> tuple[ShapeParameter, ...]:
        """None."""
        return ()


@dataclass(frozen=True, slots=True)
class _GaussianLaw:
    """``p = 2^-t``. Terms: p ln p, p."""

    @property
    def count(self) -> int:
        return 2

    @property
    def offset(self) -> float:
        return 0.0

    def factor(self, own: FloatArray) -> FloatArray:
        return np.full(len(own), -math.log(2))

    def terms(self, argument: FloatArray, own: FloatArray, weight: float, out: FloatArray) -> None:
        stretch, value = out
        np.exp(argument, out=value)
        if weight != 1:
            value *= weight
        np.multiply(argument, value, out=stretch)

    def coefficients(self, own: FloatArray) -> RadialCoefficients:
        peak = np.full((len(own), 1), math.log(2) / math.pi)
        return RadialCoefficients(
            slope=peak[:, 0] * math.log(2),
            value=peak * [0.0, 1.0],
            stretch=peak * [1.0, 0.0],
            own=np.zeros((len(own), 0, 2)),
        )
