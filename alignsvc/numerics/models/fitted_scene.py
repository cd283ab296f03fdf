"""What a model fit of a few exposures found."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import PixelBox, Points, SkyPoints
from alignsvc.numerics.models.joined_windows import JoinedWindow
from alignsvc.numerics.models.least_squares import PassRecord
from alignsvc.numerics.models.outcomes import Outcome
from alignsvc.numerics.models.scene import Scene
from alignsvc.numerics.models.scene_building import ExposureStart, SceneStart
from alignsvc.numerics.models.scene_fit import SceneFit
from alignsvc.numerics.models.scene_problem import SceneProblem
from alignsvc.numerics.models.scene_windows import WindowModel, window_models
from alignsvc.numerics.sky.corrected import corrected


@dataclass(frozen=True, slots=True)
class FittedNumber:
    """A parameter by its name, with its standard deviation (infinite: not determined)."""

    name: str
    value: float
    error: float


@dataclass(frozen=True, slots=True, eq=False)
class FittedExposure:
    """An exposure after the fit.

    Parameters
    ----------
    name : str
    correction : Correction or None
        In the plane about the middle of the sources, with its covariance: true if the model is,
        so if chi2/dof is 1. None where the outcome is no answer.
    psf : tuple of FittedNumber
        The shape of its stars.
    header : CelestialWcs
        Before.
    pixels, model : float64 arrays, shape (ny, nx)
        As given, and sources with sky; the model is NaN outside the windows.
    residual : float64 array, shape (ny, nx)
        Pixels less the model; NaN outside the windows and where masked.
    chi2 : float
    n_pixels : int
        That the fit used.
    windows : tuple of PixelBox
        A square for each source on the exposure; those that overlap are one window. They may
        reach beyond the image.
    """

    name: str
    correction: Correction | None
    psf: tuple[FittedNumber, ...]
    header: CelestialWcs
    pixels: FloatArray
    model: FloatArray
    residual: FloatArray
    chi2: float
    n_pixels: int
    windows: tuple[PixelBox, ...] = ()

    @property
    def wcs(self) -> CelestialWcs | None:
        """The corrected WCS; None without a correction.

        Raises
        ------
        HeaderError
            The projection cannot hold the correction; see `numerics.sky.corrected`.
        """
        return None if self.correction is None else corrected(self.header, self.correction)


@dataclass(frozen=True, slots=True, eq=False)
class FittedSources:
    """The sources after the fit.

    Parameters
    ----------
    sky : SkyPoints, shape (n,)
        ICRS degrees.
    covariance : float64 array, shape (n, 2, 2), or None
        Of the place, arcsec^2 (east, north); 0 if held, infinite if no pixel tells of it. None
        where the outcome is no answer.
    models : tuple of str
    shape : float64 array, shape (n, m)
        Of galaxies: ln of the half-light radius in arcsec, e1, e2 on the sky (from east towards
        north), then the profile's own. Columns beyond these, and rows of stars, mean nothing.
    shape_error : float64 array, shape (n, m)
    flux, flux_error : float64 arrays, shape (n, exposures)
        Units of the pixels; NaN with an infinite error where an exposure does not show a source.
    """

    sky: SkyPoints
    covariance: FloatArray | None
    models: tuple[str, ...]
    shape: FloatArray
    shape_error: FloatArray
    flux: FloatArray
    flux_error: FloatArray

    def __len__(self) -> int:
        return len(self.models)


@dataclass(frozen=True, slots=True, eq=False)
class FittedScene:
    """How a fit ended and what it found.

    Parameters
    ----------
    outcome : Outcome
    message : str
        The outcome in words, with names.
    exposures : tuple of FittedExposure
        Empty if nothing could be fitted.
    sources : FittedSources or None
    chi2 : float
    degrees_of_freedom : int
    history : tuple of PassRecord
        Of the last fit, after the weights were chosen.
    scene : Scene or None
        What was fitted, with the weights of the last fit.
    fit : SceneFit or None
        All unknowns with their covariance.
    """

    outcome: Outcome
    message: str
    exposures: tuple[FittedExposure, ...] = ()
    sources: FittedSources | None = None
    chi2: float = 0.0
    degrees_of_freedom: int = 0
    history: tuple[PassRecord, ...] = ()
    scene: Scene | None = None
    fit: SceneFit | None = None

    @property
    def chi2_per_degree(self) -> float:
        """chi2/dof; NaN without a degree of freedom."""
        return self.chi2 / self.degrees_of_freedom if self.degrees_of_freedom > 0 else np.nan

    @property
    def corrections(self) -> tuple[Correction | None, ...]:
        """Of the exposures."""
        return tuple(exposure.correction for exposure in self.exposures)


def without_a_fit(outcome: Outcome, detail: str = "") -> FittedScene:
    """Return the result where nothing could be fitted."""
    return FittedScene(outcome, f"{outcome.message}: {detail}" if detail else outcome.message)


def described(
    start: SceneStart,
    windows: tuple[tuple[JoinedWindow, ...], ...],
    scene: Scene,
    fit: SceneFit,
) -> FittedScene:
    """Return a fit, in windows of the exposures, in terms of the images and the sky."""
    problem = SceneProblem(scene)
    models = window_models(scene, problem.layout, fit.state)
    exposures = tuple(
        replace(
            _exposure(one, e, problem, fit, _painted(one, e, scene, models, windows[e])),
            windows=tuple(part for window in windows[e] for part in window.parts),
        )
        for e, one in enumerate(start.exposures)
    )
    return FittedScene(
        fit.outcome,
        fit.message,
        exposures,
        _sources(start, fit),
        fit.chi2,
        fit.degrees_of_freedom,
        fit.history,
        scene,
        fit,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Painted:
    """An exposure's model, NaN outside the windows, and how well it fits."""

    model: FloatArray
    chi2: float
    n_pixels: int


def _painted(
    one: ExposureStart,
    e: int,
    scene: Scene,
    models: tuple[WindowModel, ...],
    windows: tuple[JoinedWindow, ...],
) -> _Painted:
    model, chi2, n_pixels = np.full(one.exposure.shape, np.nan), 0.0, 0
    frame = PixelBox(0, 0, *one.exposure.shape[::-1])
    of_members = {window.members: window for window in windows}
    for views, made in zip(scene.views, models, strict=True):
        for k in np.flatnonzero(views.exposure == e):
            window = of_members[tuple(int(source) for source in views.source[k])]
            both = window.box.intersect(frame)
            if not both.is_empty:
                of_box = both.slices_in(window.box)
                inside = window.inside[of_box]
                model[both.slices_in(frame)][inside] = made.total[k][of_box][inside] + one.level
            weight = views.windows.weight[k]
            chi2 += float(np.sum(weight * (views.windows.pixels[k] - made.total[k]) ** 2))
            n_pixels += int(np.count_nonzero(weight))
    return _Painted(model, chi2, n_pixels)


def _exposure(
    one: ExposureStart,
    e: int,
    problem: SceneProblem,
    fit: SceneFit,
    painted: _Painted,
) -> FittedExposure:
    pixels = np.asarray(one.exposure.pixels, np.float64)
    return FittedExposure(
        one.name,
        _correction(one, e, problem, fit) if fit.outcome.is_answer else None,
        _psf(e, problem, fit),
        one.map.wcs,
        pixels,
        painted.model,
        np.where(one.exposure.good, pixels - painted.model, np.nan),
        painted.chi2,
        painted.n_pixels,
    )


def _correction(one: ExposureStart, e: int, problem: SceneProblem, fit: SceneFit) -> Correction:
    geometry = Geometry.SHIFT if one.geometry == "none" else Geometry(one.geometry)
    numbers, spread = _numbers(e, problem, fit)
    return Correction.from_parameters(one.map.plane, numbers[:6], geometry, spread[:6, :6])


def _psf(e: int, problem: SceneProblem, fit: SceneFit) -> tuple[FittedNumber, ...]:
    """Return the shape of an exposure's stars; in the middle of the field where it varies."""
    exposure = problem.scene.exposures[e]
    numbers, spread = _numbers(e, problem, fit)
    first = exposure.placing.size
    error = np.sqrt(np.diagonal(spread))
    return tuple(
        FittedNumber(p.name, float(numbers[first + k]), float(error[first + k]))
        for k, p in enumerate(exposure.psf.parameters)
    )


def _numbers(e: int, problem: SceneProblem, fit: SceneFit) -> tuple[FloatArray, FloatArray]:
    """Return all numbers of an exposure and their covariance; infinite where there is none."""
    table = problem.layout.table
    numbers, by = table.values(e, fit.value), table.jacobian(e, fit.value)
    if fit.covariance is None:
        unknown = np.where((by != 0).any(axis=1), np.inf, 0.0)
        return numbers, np.diag(unknown)
    index = table.index[e]
    return numbers, by @ fit.covariance[np.ix_(index, index)] @ by.T


def _sources(start: SceneStart, fit: SceneFit) -> FittedSources:
    n, m = fit.shape.shape
    flux = np.full((n, len(start.exposures)), np.nan)
    error = np.full(flux.shape, np.inf)
    if fit.views is not None:
        seen = fit.views.n_pixels > 0
        at = (fit.views.source[seen], fit.views.exposure[seen])
        flux[at], error[at] = fit.views.flux[seen], fit.views.flux_error[seen]
        flux[np.isinf(error)] = np.nan
    shape_error = np.full((n, m), np.inf)
    covariance = None
    if fit.source_covariance is not None and fit.outcome.is_answer:
        covariance = fit.source_covariance[:, :2, :2]
        diagonal = np.diagonal(fit.source_covariance, axis1=1, axis2=2)[:, 2:]
        shape_error = np.sqrt(diagonal)
    return FittedSources(
        start.plane.to_sky(Points(fit.place.x, fit.place.y)),
        covariance,
        start.models,
        fit.shape,
        shape_error,
        flux,
        error,
    )
