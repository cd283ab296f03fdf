"""What a model fit of a few exposures found."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import PixelBox, Points, SkyPoints
from alignsvc.numerics.models.least_squares import PassRecord
from alignsvc.numerics.models.light.profile import Places
from alignsvc.numerics.models.modelling.joined_windows import JoinedWindow
from alignsvc.numerics.models.modelling.lopsidedness import Lopsidedness
from alignsvc.numerics.models.modelling.scene_building import ExposureStart, SceneStart
from alignsvc.numerics.models.modelling.scene_doubts import TestedFit, lopsided_stars, warnings_of
from alignsvc.numerics.models.modelling.scene_settings import SceneSettings
from alignsvc.numerics.models.outcomes import Outcome
from alignsvc.numerics.models.parameters import ParameterTable
from alignsvc.numerics.models.scene.scene import Scene
from alignsvc.numerics.models.scene.scene_fit import SceneFit
from alignsvc.numerics.models.scene.scene_windows import WindowModel
from alignsvc.numerics.sky.corrected import corrected

#: What has no geometry of its own name: nothing is free, or anything.
_GEOMETRY = {"none": Geometry.SHIFT, "placing": Geometry.GENERAL}


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
        In the plane about the middle of the sources, with its covariance, in which the variance
        counts `excess` times. None where the outcome is no answer.
    psf : tuple of FittedNumber
        The shape of its stars; empty where it was measured (``star: empirical``).
    header : CelestialWcs
        Before.
    pixels, model : float64 arrays, shape (ny, nx)
        As given, and sources with sky; the model is NaN outside the windows.
    residual : float64 array, shape (ny, nx)
        Pixels less the model; NaN outside the windows and where masked.
    chi2 : float
        With the variance as it was given or found.
    n_pixels : int
        That the fit used.
    excess : float
        By what its variance was multiplied for the stated errors: chi2/dof where that is more
        than noise makes it, else 1.
    windows : tuple of PixelBox
        A square for each source on the exposure; those that overlap are one window. They may
        reach beyond the image.
    psf_stamp : float64 array, shape (side, side)
        A star of unit flux in the middle of a stamp, as the exposure's pixels see it; where it
        varies, in the middle of the field.
    lopsided : Lopsidedness or None
        How far the centre of the stars' wings is from that of their cores. Places are centres of
        symmetry, for all models of stars; of lopsided stars that is a convention, and exposures
        whose stars are lopsided in different ways disagree by about as much. None: no bright star.
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
    excess: float
    windows: tuple[PixelBox, ...]
    psf_stamp: FloatArray
    lopsided: Lopsidedness | None

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
        Errors are those with places and shapes as they are, and what that exposure alone tells,
        of a flux that a band shares too.
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
    warnings : tuple of str
        Of an answer: what speaks against it or its errors, a sentence each.
    chi2 : float
        Of the exposures together.
    degrees_of_freedom : int
    history : tuple of PassRecord
        Of the last fit, after the weights were chosen.
    scene : Scene or None
        What was fitted, with the weights of the last fit; pixels of `SceneExposure.flux_scale` 1.
    fit : SceneFit or None
        All unknowns with their covariance.
    """

    outcome: Outcome
    message: str
    exposures: tuple[FittedExposure, ...] = ()
    sources: FittedSources | None = None
    warnings: tuple[str, ...] = ()
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


def in_own_units(fitted: FittedScene, flux_scale: tuple[float, ...]) -> FittedScene:
    """Return a fit of pixels of scale 1 in terms of the exposures' own."""
    if fitted.sources is None or all(k == 1 for k in flux_scale):
        return fitted
    exposures = tuple(
        replace(one, pixels=k * one.pixels, model=k * one.model, residual=k * one.residual)
        for one, k in zip(fitted.exposures, flux_scale, strict=True)
    )
    found, scale = fitted.sources, np.array(flux_scale)
    sources = replace(found, flux=found.flux * scale, flux_error=found.flux_error * scale)
    return replace(fitted, exposures=exposures, sources=sources)


def described(
    start: SceneStart,
    windows: tuple[tuple[JoinedWindow, ...], ...],
    found: TestedFit,
    settings: SceneSettings,
) -> FittedScene:
    """Return a fit, in windows of the exposures, in terms of the images and the sky."""
    scene, fit = found.scene, found.fit
    table = ParameterTable([exposure.numbers for exposure in scene.exposures])
    lopsided = lopsided_stars(start, found)
    painted = tuple(
        _painted(one, e, scene, found.models, windows[e]) for e, one in enumerate(start.exposures)
    )
    exposures = tuple(
        FittedExposure(
            one.name,
            _correction(one, e, scene, table, fit) if fit.outcome.is_answer else None,
            _psf(e, scene, table, fit),
            one.map.wcs,
            np.asarray(one.exposure.pixels, np.float64),
            model,
            np.where(one.exposure.good, one.exposure.pixels - model, np.nan),
            chi2=float(found.chi2[e]),
            n_pixels=int(found.n_pixels[e]),
            excess=float(found.excess[e]),
            windows=tuple(part for window in windows[e] for part in window.parts),
            psf_stamp=_psf_stamp(e, scene, table, fit, settings.psf_side(one.fwhm_px)),
            lopsided=lopsided[e],
        )
        for e, (one, model) in enumerate(zip(start.exposures, painted, strict=True))
    )
    return FittedScene(
        fit.outcome,
        fit.message,
        exposures,
        _sources(start, fit),
        warnings_of(start, found, lopsided),
        float(found.chi2.sum()),
        fit.degrees_of_freedom,
        fit.history,
        scene,
        fit,
    )


def _painted(
    one: ExposureStart,
    e: int,
    scene: Scene,
    models: tuple[WindowModel, ...],
    windows: tuple[JoinedWindow, ...],
) -> FloatArray:
    """Return an exposure's model, NaN outside the windows."""
    model = np.full(one.exposure.shape, np.nan)
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
    return model


def _psf_stamp(e: int, scene: Scene, table: ParameterTable, fit: SceneFit, side: int) -> FloatArray:
    """Return a star of unit flux in the middle of a stamp."""
    exposure = scene.exposures[e]
    numbers = table.values(e, fit.value)[exposure.placing.size :]
    middle = Places(np.array([side // 2]), np.array([side // 2]), side)
    shape = numbers[: len(exposure.psf.parameters)]
    return np.asarray(exposure.psf(middle, shape).value[0], np.float64)


def _correction(
    one: ExposureStart, e: int, scene: Scene, table: ParameterTable, fit: SceneFit
) -> Correction:
    geometry = _GEOMETRY.get(one.geometry) or Geometry(one.geometry)
    numbers, spread = _numbers(e, scene, table, fit)
    return Correction.from_parameters(one.map.plane, numbers[:6], geometry, spread[:6, :6])


def _psf(e: int, scene: Scene, table: ParameterTable, fit: SceneFit) -> tuple[FittedNumber, ...]:
    """Return the shape of an exposure's stars; in the middle of the field where it varies."""
    exposure = scene.exposures[e]
    numbers, spread = _numbers(e, scene, table, fit)
    first = exposure.placing.size
    error = np.sqrt(np.diagonal(spread))
    return tuple(
        FittedNumber(p.name, float(numbers[first + k]), float(error[first + k]))
        for k, p in enumerate(exposure.psf.parameters)
    )


def _numbers(
    e: int, scene: Scene, table: ParameterTable, fit: SceneFit
) -> tuple[FloatArray, FloatArray]:
    """Return all numbers of an exposure and their covariance; infinite where there is none."""
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
