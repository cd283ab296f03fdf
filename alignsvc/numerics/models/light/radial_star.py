"""What all stars have in common whose light is a law of the radius."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.models.light.ellipticity import ellipticity_parameters
from alignsvc.numerics.models.light.pixel_integration import (
    Pixelation,
    RadialLaw,
    integrated,
    width_parameter,
)
from alignsvc.numerics.models.light.profile import (
    Places,
    Precision,
    ProfileColumns,
    ShapeParameter,
    shape_rows,
)

#: Stars are rounder than this.
_MOST_ELLIPTICITY = 0.2


@dataclass(frozen=True, slots=True)
class RadialStar(ABC):
    """A star whose light falls with the radius, round or along ellipses.

    Parameters
    ----------
    elliptical : bool
        With ``e1, e2`` among the parameters; half as expensive again.
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
    @abstractmethod
    def law(self) -> RadialLaw:
        """How the light falls."""

    @property
    @abstractmethod
    def own_parameters(self) -> tuple[ShapeParameter, ...]:
        """The law's own, after the width and the ellipticity."""

    @property
    def parameters(self) -> tuple[ShapeParameter, ...]:
        """``log_fwhm`` [ln px], ``e1, e2`` if elliptical, then the law's own."""
        ellipse = ellipticity_parameters(_MOST_ELLIPTICITY) if self.elliptical else ()
        return (width_parameter(), *ellipse, *self.own_parameters)

    def __call__(self, windows: Places, shape: FloatArray) -> ProfileColumns:
        """Return the columns of stars; see `Profile`."""
        rows = shape_rows(windows, shape, len(self.parameters))
        return integrated(windows, rows, self.law, self._pixelation())

    def _pixelation(self) -> Pixelation:
        return Pixelation(self.nodes, self.precision, self.elliptical)
