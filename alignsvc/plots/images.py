"""Pixels as pictures: stretches, and images whose pixels' middles have whole coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from alignsvc.domain.arrays import Float32Array, FloatArray
from alignsvc.plots.figures import BLANK

#: Light is stretched by asinh above so many standard deviations of the sky.
_SOFTENING = 2.0
#: Shades for light, bright is dark as on plates; for what may have either sign.
LIGHT = colormaps["gray_r"].with_extremes(bad=BLANK)
SIGNED = colormaps["RdBu_r"].with_extremes(bad=BLANK)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Light to shades: linear in the noise, logarithmic in stars.

    Parameters
    ----------
    level, noise : float
        Of the sky, units of the pixels.
    high : float
        What the brightest shade stands for, stretched.
    """

    level: float
    noise: float
    high: float

    @classmethod
    def of(cls, image: FloatArray | Float32Array) -> Stretch:
        """Return the stretch for an image: its sky from percentiles, its brightest pixel black."""
        values = image[np.isfinite(image)]
        if not values.size:
            return cls(0.0, 1.0, 1.5)
        low, level, top = (float(v) for v in np.percentile(values, [16, 50, 100]))
        noise = max(level - low, 1e-9 * max(abs(level), 1.0))
        high = float(np.arcsinh((top - level) / (_SOFTENING * noise)))
        return cls(level, noise, max(high, 1.5))

    def __call__(self, image: FloatArray | Float32Array) -> FloatArray:
        """Return an image as `draw_light` wants it."""
        return np.asarray(np.arcsinh((image - self.level) / (_SOFTENING * self.noise)))


def draw_light(
    axes: Axes,
    image: FloatArray | Float32Array,
    stretch: Stretch | None = None,
    extent: tuple[float, float, float, float] | None = None,
) -> AxesImage:
    """Draw an image of light; None: with its own stretch, in pixels."""
    stretch = stretch or Stretch.of(image)
    return axes.imshow(
        stretch(image),
        cmap=LIGHT,
        vmin=-1.5,
        vmax=stretch.high,
        origin="lower",
        interpolation="none",
        extent=extent,
    )
