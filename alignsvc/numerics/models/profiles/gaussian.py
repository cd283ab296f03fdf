"""One Gaussian: the simplest star, and the limit of a Moffat without wings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.models.ellipticity import ellipticity_parameters
from alignsvc.numerics.models.pixel_integration import (
    Pixelation,
    RadialCoefficients,
    integrated,
    width_parameter,
)
from alignsvc.numerics.models.profile import (
    Places,
    Precision,
    ProfileColumns,
    ShapeParameter,
    shape_rows,
)
from alignsvc.numerics.models.profiles import PROFILES


@PROFILES.register("gaussian")
@dataclass(frozen=True, slots=True)
class Gaussian:
    """A Gaussian, round or elliptical.

    Parameters
    ----------
    elliptical : bool
        With ``e1, e2`` among the parameters.
    nodes : int
        Points in each pixel that its integral is made of (`pixel_rules.nodes_for`).
    precision : {'double', 'single'}
        What is computed in.
    """

    elliptical: bool = False
    nodes: int = 8
    precision: Precision = "double"

    def __post_init__(self) -> None:
        self._pixelation()

    @property
    def parameters(self) -> tuple[ShapeParameter, ...]:
        """``log_fwhm`` [ln px], and ``e1, e2`` if elliptical."""
        own = ellipticity_parameters(0.2) if self.elliptical else ()
        return (width_parameter(), *own)

    def __call__(self, windows: Places, shape: FloatArray) -> ProfileColumns:
        """Return the columns of stars; see `Profile`."""
        rows = shape_rows(windows, shape, len(self.parameters))
        return integrated(windows, rows, _GaussianLaw(), self._pixelation())

    def _pixelation(self) -> Pixelation:
        return Pixelation(self.nodes, self.precision, self.elliptical)


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
