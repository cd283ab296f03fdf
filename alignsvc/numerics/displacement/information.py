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

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray, contiguous
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.noise import NoiseFactors
from alignsvc.numerics.displacement.pairs import PairStack
from alignsvc.numerics.displacement.posed import LEAST_SIGNAL, MOST_NOISE, Limits, posed, stepped
from alignsvc.numerics.displacement.spline import TemplateSpline
from alignsvc.numerics.displacement.surfaces import (
    Boxes,
    PixelNoise,
    noise_sums,
    trial_sums,
)

#: How well the power of the template's noise is known: over the pixels of an aperture, a few
#: hundred with neighbours that share noise, it scatters by a tenth, and its
#: texture is measured to another tenth or two.
_NOISE_DOUBT = 0.2
#: How far the power of slopes less that of noise can be off, in parts of the noise, where it is to
#: tell a width: the noise of these few pixels may be more, too.
_POWER_DOUBT = 0.3
#: Of the aperture of a source at the limit, in widths of its core (1.8 FWHM are 4.2 sigma), and how
#: well that tells the square of the width.
_WIDTHS_OF_APERTURE, _WIDTH_DOUBT = 4.0, 0.7
#: Place of a among the unknowns, which are a dx, a dy, a, b.
_VALUE = 2


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Sums over the pixels at one trial shift.

    Parameters
    ----------
    matrix : float64 array, shape (n, 4, 4)
        Instruments times (slopes, value and 1 of the template), the expected products of the
        template's own noise subtracted.
    solution : float64 array, shape (n, 4)
        a dx, a dy, a, b; NaN where not informative.
    informative : bool array, shape (n,)
        Whether enough of the power is signal; where not, `matrix` is the unit matrix.
    """

    matrix: FloatArray
    solution: FloatArray
    informative: BoolArray


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
class Outset:
    """Templates at the start of a fit.

    Parameters
    ----------
    template : float32 array, shape (n, side, side)
    model : float32 array, shape (n, side, side)
        Template times the flux that fits.
    width_px : float64 array, shape (n,)
        Sigma of the Gaussian with the same ``sum T^2 / sum |dT|^2``: it follows the core that
        carries the information, not the wings.
    slope_noise : float64 array, shape (n,)
        Power of the slopes that is noise, over that which is signal.
    """

    template: Float32Array
    model: Float32Array
    width_px: FloatArray
    slope_noise: FloatArray


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
    frees_background : bool
        Whether b is an unknown.
    noise : float64 array, shape (n, 4)
        Expected products of the template's noise with the instruments'; follows from the others,
        as `boxes` do.
    """

    pairs: PairStack
    instrument: TemplateSpline
    weight: Float32Array
    factors: NoiseFactors
    frees_background: bool = True
    noise: FloatArray = field(init=False)
    boxes: Boxes = field(init=False)

    def __post_init__(self) -> None:
        total = np.vecdot(*_rows(self.weight, self.pairs.template_variance))
        slope_x, slope_y = (self.factors.slope * total[:, None]).T
        value = self.factors.value * total
        noise = np.stack([slope_x, slope_y, value, np.zeros_like(total)], axis=1)
        object.__setattr__(self, "noise", noise)
        boxes = Boxes.of(self.pairs.pixels, self.weight)
        object.__setattr__(self, "boxes", boxes)

    def select(self, which: BoolArray | IntArray) -> Equations:
        """Return the equations of the pairs that a mask or indices name."""
        return Equations(
            self.pairs.select(which),
            self.instrument.select(which),
            self.weight[which],
            NoiseFactors(self.factors.value[which], self.factors.slope[which]),
            self.frees_background,
        )

    def outset(self, shift: Points) -> Outset:
        """Return what can be said of the templates before the fit."""
        trial = self.at(shift)
        template = self.pairs.spline.values(shift, self.pairs.side)
        flux = np.nan_to_num(trial.solution()[:, _VALUE]).astype(np.float32)
        along_x, along_y, value, _ = np.diagonal(trial.matrix, axis1=1, axis2=2).T
        power, noise = along_x + along_y, self.noise
        spurious = noise[:, 0] + noise[:, 1]
        height = np.maximum(value - noise[:, _VALUE], LEAST_SIGNAL * value)
        signal = self._signal(power, spurious, height)
        seen = signal > 0
        return Outset(
            template=template,
            model=flux[:, None, None] * template,
            width_px=np.sqrt(np.divide(height, signal, out=np.ones_like(signal), where=seen)),
            slope_noise=np.divide(spurious, signal, out=np.zeros_like(signal), where=seen),
        )

    def _signal(self, power: FloatArray, noise: FloatArray, height: FloatArray) -> FloatArray:
        """Return what of the slopes' power is signal, given ``sum T^2`` without noise.

        The difference of two nearly equal numbers for a faint template, known to
        `_POWER_DOUBT` of the noise; there the aperture tells how wide a source is.
        """
        expected = height * (_WIDTHS_OF_APERTURE / np.maximum(self.pairs.aperture_px, 1.0)) ** 2
        doubt2, prior2 = (_POWER_DOUBT * noise) ** 2, (_WIDTH_DOUBT * expected) ** 2
        known = np.divide(prior2, prior2 + doubt2, out=np.ones_like(doubt2), where=prior2 > 0)
        signal = known * (power - noise) + (1 - known) * expected
        # Wider than half of its aperture no source is.
        return np.maximum(signal, 0.25 * expected)

    def at(self, shift: Points) -> Trial:
        """Return the equations about `shift`."""
        bands = self.pairs.spline.bands(shift, self.pairs.side)
        splines = self.instrument.rows, self.pairs.spline.rows
        sums = trial_sums(bands, *splines, self.boxes).astype(np.float64)
        return Trial(self, shift, sums)

    def stepped(self, start: Points, limits: Limits) -> tuple[Points, Trial]:
        """Return where steps of Gauss and Newton end, NaN where nowhere, and the last trials.

        Where they end nowhere the trial is that of the start.
        """
        splines = self.instrument.rows, self.pairs.spline.rows
        found = stepped(
            np.stack([start.x, start.y], axis=1), splines, self.boxes, self.noise, limits
        )
        last = Trial(self, Points(*found.trial.T), found.sums)
        return Points(*found.place.T), last

    def information(self, shift: Points) -> Information:
        """Return what an estimate that ends at `shift` is worth."""
        return self.at(shift).information()


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Equations about trial shifts.

    Parameters
    ----------
    equations : Equations
    shift : Points, shape (n,)
    sums : float64 array, shape (n, 4, 5)
        Of instruments times slopes, value and 1 of the template, and times E.
    """

    equations: Equations
    shift: Points
    sums: FloatArray

    @property
    def matrix(self) -> FloatArray:
        """Sums of instruments times slopes, value and 1 of the template, shape (n, 4, 4)."""
        return self.sums[:, :, :4]

    @property
    def data(self) -> FloatArray:
        """Sums of instruments times E, shape (n, 4)."""
        return self.sums[:, :, 4]

    def solution(self) -> FloatArray:
        """Return the Gauss-Newton solution (a dx, a dy, a, b), shape (n, 4)."""
        return self._sums(most_noise=MOST_NOISE).solution

    def information(self) -> Information:
        """Return what an estimate that ends here is worth.

        With M the matrix of the equations, the error of the unknowns is ``M^-1 sum w z n``:
        from the exposure ``M^-1 (sum w^2 var_E z z^T) M^-T`` (the Cramér-Rao bound for
        instruments of the template itself and w = 1 / var_E), from the template the same with
        ``a^2 var_T``. The noise in the instruments belongs to the sum between, where it lets
        noise in; in M it would pass for signal, and is subtracted.
        """
        pairs = self.equations.pairs
        sums = self._sums(most_noise=1.0)
        flux = sums.solution[:, _VALUE]
        informative = sums.informative & (flux > 0)
        inverse = np.linalg.inv(sums.matrix)[:, :2]
        inverse[~informative] = np.nan
        noise = self._noise_sums(inverse.astype(np.float32), np.nan_to_num(flux))
        with np.errstate(divide="ignore", invalid="ignore"):
            own = _symmetric(noise[:, 0:3]) / np.square(flux)[:, None, None]
        doubt = self._doubt(sums)[:, None, None]
        return Information(
            own=doubt * own,
            # The kernel passes the mosaic's noise as it passes its slopes.
            template=doubt * pairs.kernel.response**2 * _symmetric(noise[:, 3:6]),
            flux=flux,
            share=self._share(noise[:, 6], noise[:, 7]),
            informative=informative,
        )

    def _noise_sums(self, inverse: Float32Array, flux: FloatArray) -> FloatArray:
        """Return what the pixels' errors add up to, shape (n, 8); see `noise_sums`."""
        equations, pairs = self.equations, self.equations.pairs
        noise = PixelNoise(
            contiguous(inverse),
            contiguous(np.maximum(flux, 0).astype(np.float32)),
            contiguous(pairs.weight),
            contiguous(pairs.template_variance),
            contiguous(pairs.share),
            np.float32(0 if pairs.gain is None else 1 / pairs.gain),
        )
        bands = pairs.spline.bands(self.shift, pairs.side)
        splines = equations.instrument.rows, pairs.spline.rows
        sums = noise_sums(bands, *splines, (equations.boxes, noise))
        return sums.astype(np.float64)

    def _doubt(self, sums: Sums) -> FloatArray:
        """Return by how much covariances grow, as the signal is what the noise leaves, shape (n,).

        A relative error e of the noise's power N is one of ``e N / S`` in that of the signal S,
        and in the displacement; to the next order, as 1 / S is what counts. The axis with the
        least signal tells of both.
        """
        signal = np.diagonal(sums.matrix, axis1=1, axis2=2)[:, :2]
        of_noise = np.where(sums.informative[:, None], self.equations.noise[:, :2] / signal, 0.0)
        relative2 = (_NOISE_DOUBT * of_noise.max(axis=1, initial=0.0)) ** 2
        return np.asarray(1.0 + relative2 + relative2**2)

    def _share(self, power: FloatArray, shared: FloatArray) -> FloatArray:
        """Return the exposure's part of what fixes the mosaic's position.

        Its weight's part s, and of slopes as steep as its own, which the matched template has:
        those of the others are less steep by the kernel's response R. So ``R s / (R s + 1 - s)``.
        """
        share = np.divide(shared, power, out=np.zeros(len(power)), where=power > 0)
        steeper = self.equations.pairs.kernel.response * share
        part: FloatArray = steeper / (steeper + 1 - share)
        return part

    def _sums(self, *, most_noise: float) -> Sums:
        frees = self.equations.frees_background
        return Sums(*posed(self.sums, self.equations.noise, most_noise, frees))


def _symmetric(upper: FloatArray) -> FloatArray:
    """Return the matrices of xx, xy, yy, shape (n, 2, 2)."""
    return upper[:, [0, 1, 1, 2]].reshape(-1, 2, 2)


def _rows(*planes: Float32Array) -> tuple[Float32Array, ...]:
    """Return the pixels of each plane of stacks as one row, shape (n, pixels)."""
    return tuple(plane.reshape(len(plane), plane.shape[-1] ** 2) for plane in planes)
