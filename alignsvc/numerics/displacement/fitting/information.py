"""The equations that a displacement solves, and the covariances that follow from them.

The model of a cutout is ``E(p) = a T(p + d) + b``. Its four unknowns solve four equations,
``sum w z (E - a T - b) = 0``, one for each *instrument* z: the two slopes of a template, its
value, and 1. Where the instruments are those of T itself this is weighted least squares. A faint
template's slopes are mostly its own noise, though, and weighting with them lets noise in; so the
instruments may be those of a smoothed T, or of a Gaussian like it. Any instruments give an
estimate without bias, as the model itself is not smoothed: only its variance depends on them
(Wald 1940; "instrumental variables").
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray, contiguous
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.fitting.informed import Informed, PixelNoise, informed
from alignsvc.numerics.displacement.fitting.steps import Limits, stepped
from alignsvc.numerics.displacement.splines.spline import TemplateSpline
from alignsvc.numerics.displacement.splines.surface_sums import Boxes
from alignsvc.numerics.displacement.windows.noise import NoiseFactors
from alignsvc.numerics.displacement.windows.pairs import PairStack


@dataclass(frozen=True, slots=True, eq=False)
class Information:
    """What a measurement at a shift is worth.

    Parameters
    ----------
    own, template : float64 arrays, shape (n, 2, 2)
        Covariances from the noise of the exposure and of the template, px^2; NaN where the
        template carries none.
    flux : float64 array, shape (n,)
        a, the exposure's flux over the template's.
    share : float64 array, shape (n,)
        The exposure's part of the mosaic's weight, averaged with the pixels' information.
    informative : bool array, shape (n,)
    """

    own: FloatArray
    template: FloatArray
    flux: FloatArray
    share: FloatArray
    informative: BoolArray

    def select(self, which: BoolArray) -> Information:
        """Return the information of the sources that a mask names."""
        return Information(*(getattr(self, one.name)[which] for one in fields(self)))

    def with_rows(self, which: BoolArray, rows: Information) -> Information:
        """Return the information with the rows that a mask names replaced."""
        names = [one.name for one in fields(self)]
        return Information(
            *(replaced(getattr(self, name), which, getattr(rows, name)) for name in names)
        )


def replaced(column: NDArray[Any], which: BoolArray, rows: NDArray[Any]) -> NDArray[Any]:
    """Return a column with the rows that a mask names replaced."""
    whole = column.copy()
    whole[which] = rows
    return whole


@dataclass(frozen=True, slots=True, eq=False)
class Equations:
    """The equations for the displacements of many pairs.

    Parameters
    ----------
    pairs : PairStack
    instrument : TemplateSpline
        Whose slopes and value are the instruments: the template, the template smoothed, or what
        `instruments` makes of it.
    weight : float32 array, shape (n, side, side)
        w; 0 for pixels that take no part.
    factors : NoiseFactors
        Of the template with the instrument.
    variance : float64 array, shape (n,)
        The template's, all pixels together by their weights.
    boxes : Boxes
        Of the exposure's pixels with w.
    frees_background : bool
        Whether b is an unknown.
    """

    pairs: PairStack
    instrument: TemplateSpline
    weight: Float32Array
    factors: NoiseFactors
    variance: FloatArray
    boxes: Boxes
    frees_background: bool = True

    @classmethod
    def of(
        cls,
        pairs: PairStack,
        instrument: TemplateSpline,
        weight: Float32Array,
        factors: NoiseFactors,
    ) -> Equations:
        """Return the equations with all four unknowns."""
        rows = len(weight), pairs.side**2
        variance = np.vecdot(weight.reshape(rows), pairs.template_variance.reshape(rows))
        boxes = Boxes.of(pairs.pixels, weight)
        return cls(pairs, instrument, weight, factors, variance, boxes)

    def exchanged(self, instrument: TemplateSpline, factors: NoiseFactors) -> Equations:
        """Return the same equations with other instruments."""
        return replace(self, instrument=instrument, factors=factors)

    def without_background(self) -> Equations:
        """Return the same equations with a background of 0."""
        return replace(self, frees_background=False)

    @property
    def noise(self) -> FloatArray:
        """Expected products of the template's noise with the instruments', shape (n, 4)."""
        return self.expected(self.factors)

    def expected(self, factors: NoiseFactors) -> FloatArray:
        """Return the expected products of two versions of the template's noise, (n, 4)."""
        expected = np.zeros((len(self.variance), 4))
        expected[:, :2] = factors.slope * self.variance[:, None]
        expected[:, 2] = factors.value * self.variance
        return expected

    def select(self, which: BoolArray | IntArray) -> Equations:
        """Return the equations of the pairs that a mask or indices name."""
        return Equations(
            self.pairs.select(which),
            self.instrument.select(which),
            self.weight[which],
            NoiseFactors(self.factors.value[which], self.factors.slope[which]),
            self.variance[which],
            self.boxes.select(which),
            self.frees_background,
        )

    def fitted(self, start: Points, limits: Limits) -> tuple[Points, Information]:
        """Return where steps of Gauss and Newton end, NaN where nowhere, and what that is worth.

        Where they end nowhere, what an estimate at the start would be.
        """
        starts, noise = self.pairs.spline.checked(start, self.pairs.side), self._pixel_noise
        found = stepped(starts, self._splines, (self.boxes, noise), self.noise, limits)
        return Points(*found.place.T), self._worth(found.worth)

    def information(self, shift: Points) -> Information:
        """Return what an estimate that ends at `shift` is worth.

        With M the matrix of the equations, the error of the unknowns is ``M^-1 sum w z n``:
        from the exposure ``M^-1 (sum w^2 var_E z z^T) M^-T`` (the Cramér-Rao bound for
        instruments of the template itself and w = 1 / var_E), from the template the same with
        ``a^2 var_T``. The noise in the instruments belongs to the sum between, where it lets
        noise in; in M it would pass for signal, and is subtracted.
        """
        shifts, of = (
            self.pairs.spline.checked(shift, self.pairs.side),
            (self.boxes, self._pixel_noise),
        )
        return self._worth(informed(shifts, self._splines, of, self.noise, self.frees_background))

    def _worth(self, found: Informed) -> Information:
        with np.errstate(divide="ignore", invalid="ignore"):
            own = _symmetric(found.sums[:, 0:3]) / np.square(found.flux)[:, None, None]
        doubt = found.doubt[:, None, None]
        return Information(
            own=doubt * own,
            # The kernel passes the mosaic's noise as it passes its slopes.
            template=doubt * self.pairs.kernel.response**2 * _symmetric(found.sums[:, 3:6]),
            flux=found.flux,
            share=self._share(found.sums[:, 6], found.sums[:, 7]),
            informative=found.informative,
        )

    @property
    def _pixel_noise(self) -> PixelNoise:
        pairs = self.pairs
        return PixelNoise(
            contiguous(pairs.weight),
            contiguous(pairs.template_variance),
            contiguous(pairs.share),
            np.float32(0 if pairs.gain is None else 1 / pairs.gain),
        )

    @property
    def _splines(self) -> tuple[Float32Array, Float32Array]:
        return self.instrument.rows, self.pairs.spline.rows

    def _share(self, power: FloatArray, shared: FloatArray) -> FloatArray:
        """Return the exposure's part of what fixes the mosaic's position.

        Its weight's part s, and of slopes as steep as its own, which the matched template has:
        those of the others are less steep by the kernel's response R. So ``R s / (R s + 1 - s)``.
        """
        share = np.divide(shared, power, out=np.zeros(len(power)), where=power > 0)
        steeper = self.pairs.kernel.response * share
        part: FloatArray = steeper / (steeper + 1 - share)
        return part


def _symmetric(upper: FloatArray) -> FloatArray:
    """Return the matrices of xx, xy, yy, shape (n, 2, 2)."""
    return upper[:, [0, 1, 1, 2]].reshape(-1, 2, 2)
