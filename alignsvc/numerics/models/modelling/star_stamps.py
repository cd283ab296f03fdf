"""Stars of a fitted scene by themselves: what an exposure shows of each, less all else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.models.light.profile import Places, ProfileColumns
from alignsvc.numerics.models.parameters import ParameterTable
from alignsvc.numerics.models.scene.scene import ExposureModel, Scene
from alignsvc.numerics.models.scene.scene_fit import SceneFit
from alignsvc.numerics.models.scene.scene_windows import WindowModel
from alignsvc.numerics.models.scene.window import cut_windows


@dataclass(frozen=True, slots=True, eq=False)
class Remainders:
    """What a fit leaves of each exposure, and with what weights.

    Parameters
    ----------
    residual, weight : tuple of float64 arrays, shape (ny, nx), one for each exposure
        0 outside the windows.
    """

    residual: tuple[FloatArray, ...]
    weight: tuple[FloatArray, ...]

    @classmethod
    def of(
        cls, scene: Scene, models: tuple[WindowModel, ...], shapes: tuple[tuple[int, int], ...]
    ) -> Remainders:
        """Return those of images with the given shapes; one model for each of the views."""
        return cls(*_painted(scene, models, shapes))


@dataclass(frozen=True, slots=True, eq=False)
class StarAxis:
    """One of the axes of stamps.

    Parameters
    ----------
    away : float64 array, shape (n, side, side)
        Of each pixel from its star, px.
    slope : float array, shape (n, side, side)
        What the model of unit flux changes when the star moves by a pixel.
    """

    away: FloatArray
    slope: FloatArray | Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class StarStamps:
    """Stars of an exposure, each alone in a square of pixels.

    Parameters
    ----------
    source : int64 array, shape (n,)
    pixels : float64 array, shape (n, side, side)
        Sky and neighbours taken away.
    residual, weight : float64 arrays, shape (n, side, side)
        Pixels less the star's own model; weights are 0 outside the windows of the fit.
    columns : ProfileColumns
        The star's model, of unit flux.
    at, on_chip : Points, shape (n,)
        The star's place in its stamp and in the exposure, pixels.
    flux, flux_error : float64 arrays, shape (n,)
    """

    source: IntArray
    pixels: FloatArray
    residual: FloatArray
    weight: FloatArray
    columns: ProfileColumns
    at: Points
    on_chip: Points
    flux: FloatArray
    flux_error: FloatArray

    @property
    def side(self) -> int:
        """Pixels along a stamp."""
        return int(self.pixels.shape[-1])

    @property
    def across(self) -> StarAxis:
        """Along x."""
        step = np.arange(self.side) - self.at.x[:, None]
        return StarAxis(np.broadcast_to(step[:, None, :], self.pixels.shape), self.columns.d_x)

    @property
    def up(self) -> StarAxis:
        """Along y."""
        step = np.arange(self.side) - self.at.y[:, None]
        return StarAxis(np.broadcast_to(step[:, :, None], self.pixels.shape), self.columns.d_y)

    @property
    def distance2(self) -> FloatArray:
        """Square of the distance of each pixel from the star, px^2, shape (n, side, side)."""
        return np.asarray(self.across.away**2 + self.up.away**2)


def star_stamps(
    scene: Scene, fit: SceneFit, which: int, left: Remainders, side: int, *, least: float
) -> StarStamps:
    """Return the stars of an exposure whose flux is `least` standard deviations or more.

    Parameters
    ----------
    scene, fit
        `fit` with views.
    which : int
        The exposure.
    left : Remainders
    side : int
        Of the stamps; odd.
    least : float
    """
    exposure, views = scene.exposures[which], fit.views
    assert views is not None
    rows = _bright_stars(scene, fit, which, least)
    source, flux = views.source[rows], views.flux[rows]
    numbers = numbers_of(scene, fit, which)
    first = exposure.placing.size
    place = Points(fit.place.x[source], fit.place.y[source])
    pixel = exposure.geometry(place, numbers[:first]).pixel
    cut = cut_windows(left.residual[which], left.weight[which], pixel, side)
    at = Points(pixel.x - cut.corner[:, 0], pixel.y - cut.corner[:, 1])
    shape = _shape(exposure, numbers[first : first + exposure.psf_shape.size], pixel)
    columns = exposure.psf(Places(at.x, at.y, side), shape)
    own = flux[:, None, None] * columns.value
    pixels = np.where(cut.weight > 0, cut.pixels + own, 0.0)
    weight = np.asarray(cut.weight, np.float64)
    residual = np.asarray(cut.pixels, np.float64)
    error = views.flux_error[rows]
    return StarStamps(source, pixels, residual, weight, columns, at, pixel, flux, error)


def numbers_of(scene: Scene, fit: SceneFit, which: int) -> FloatArray:
    """Return all numbers of an exposure, as in `ExposureModel.numbers`."""
    table = ParameterTable([exposure.numbers for exposure in scene.exposures])
    return table.values(which, fit.value)


def _painted(
    scene: Scene, models: tuple[WindowModel, ...], shapes: tuple[tuple[int, int], ...]
) -> tuple[tuple[FloatArray, ...], tuple[FloatArray, ...]]:
    residual = tuple(np.zeros(shape) for shape in shapes)
    weight = tuple(np.zeros(shape) for shape in shapes)
    for views, model in zip(scene.views, models, strict=True):
        left = views.windows.pixels - model.total
        for k, (e, (x0, y0)) in enumerate(zip(views.exposure, views.windows.corner, strict=True)):
            rows, columns = np.nonzero(views.windows.weight[k])
            at = (rows + y0, columns + x0)
            residual[e][at] = left[k][rows, columns]
            weight[e][at] = views.windows.weight[k][rows, columns]
    return residual, weight


def _bright_stars(scene: Scene, fit: SceneFit, which: int, least: float) -> IntArray:
    """Return rows of the views: bright and not lost; beside a galaxy only for want of others."""
    views, is_star = fit.views, scene.sources.kind == 0
    assert views is not None
    assert scene.group is not None
    good = (views.exposure == which) & is_star[views.source] & ~views.lost
    good &= np.isfinite(views.flux_error) & (views.flux > least * views.flux_error)
    alone = good & ~np.isin(scene.group, scene.group[~is_star])[views.source]
    return np.flatnonzero(alone if alone.any() else good).astype(np.int64)


def _shape(exposure: ExposureModel, numbers: FloatArray, pixel: Points) -> FloatArray:
    """Return the stars' shape, (k,), or (n, k) where it varies over the field."""
    k = len(exposure.psf.parameters)
    if len(numbers) == k:
        return numbers
    middle, along_x, along_y = numbers.reshape(3, k)
    x, y = exposure.relative(pixel.x, pixel.y)
    return np.asarray(middle + x[:, None] * along_x + y[:, None] * along_y)
