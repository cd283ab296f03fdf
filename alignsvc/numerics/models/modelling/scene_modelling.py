"""The steps of a model fit for people: start, scene, fit, noise, fit again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from alignsvc.errors import ConfigError
from alignsvc.numerics.models.modelling.fitted_scene import (
    FittedScene,
    described,
    in_own_units,
    without_a_fit,
)
from alignsvc.numerics.models.modelling.measured_psf import MeasuredPsfs, Stamp
from alignsvc.numerics.models.modelling.scene_advice import advised, no_pixels, no_sources
from alignsvc.numerics.models.modelling.scene_building import (
    SceneStart,
    build_scene,
    windows_of,
    with_psf,
)
from alignsvc.numerics.models.modelling.scene_determined import determined
from alignsvc.numerics.models.modelling.scene_doubts import doubted, tested
from alignsvc.numerics.models.modelling.scene_input import SceneExposure, SceneSources
from alignsvc.numerics.models.modelling.scene_settings import SceneSettings
from alignsvc.numerics.models.modelling.scene_starting import begin
from alignsvc.numerics.models.modelling.star_stamps import Remainders
from alignsvc.numerics.models.outcomes import Outcome
from alignsvc.numerics.models.parameters import ParameterTable
from alignsvc.numerics.models.profiles.empirical import Empirical
from alignsvc.numerics.models.scene.reweighting import CauchyWeights, ModelVariance, noise_per_flux
from alignsvc.numerics.models.scene.scene import Scene
from alignsvc.numerics.models.scene.scene_fit import FitsScenes, SceneFit
from alignsvc.numerics.models.scene.scene_problem import SceneProblem
from alignsvc.numerics.models.scene.scene_windows import WindowModel, window_models

#: So often the noise of sources is made of the model before: the second changes 1e-3 of it.
_NOISE_ROUNDS = 2
#: So often pixels that stand out are trusted less, at most; it ends when nothing moves by this
#: part of its error.
_ROBUST_ROUNDS, _AT_REST = 15, 0.02
#: So often PSFs are measured: the places of sharp stars by a Moffat follow the pixel's phase, and
#: the PSF that they give does, by half as much; a third PSF gains a fifth of what the second does.
_PSF_ROUNDS = 2
_NO_WIDTH = "all sources are galaxies; give a star among them, or fwhm_px"
#: What `star: empirical` lacks.
_TOO_FEW = (
    "no star of 20 standard deviations whose place agrees with the others', to measure it from, in "
    "{}; give brighter stars, or another star than empirical"
)


def fit_exposures(
    exposures: tuple[SceneExposure, ...],
    sources: SceneSources | None,
    settings: SceneSettings,
    fitter: FitsScenes,
) -> FittedScene:
    """Return the joint fit; see `SceneSettings`.

    Raises
    ------
    ConfigError
        No exposure, two of one name, or a setting that does not suit them.
    """
    _require_consistent(exposures, settings)
    start = _started(tuple(one.of_scale_1 for one in exposures), sources, settings, fitter)
    if isinstance(start, FittedScene):
        return start
    final, fit = _fitted(start, _first_scene(start, settings), settings, fitter)
    for _ in range(_PSF_ROUNDS if settings.star == "empirical" else 0):
        if not fit.outcome.is_answer:
            break
        start = _with_measured_psf(start, final, fit, settings)
        unknown = [one.name for one in start.exposures if one.psf is None]
        if unknown:
            return without_a_fit(Outcome.NO_PSF, _TOO_FEW.format(", ".join(unknown)))
        final, fit = _fitted(start, build_scene(start, settings), settings, fitter)
    windows = tuple(windows_of(start, one, settings) for one in start.exposures)
    fit = determined(final, doubted(start, fit))
    found = tested(final, advised(start, fit), settings, fitter)
    fitted = described(start, windows, found, settings)
    return in_own_units(fitted, tuple(one.flux_scale for one in exposures))


def _require_consistent(exposures: tuple[SceneExposure, ...], settings: SceneSettings) -> None:
    """Raise a ConfigError where exposures do not go with each other or the settings."""
    if not exposures:
        raise ConfigError("scene: no exposure was given")
    names = [exposure.name for exposure in exposures if exposure.name]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"scene: two exposures are named {name}; give each a name of its own")
    if settings.star == "empirical" and any(one.psf_shape is not None for one in exposures):
        raise ConfigError(
            "scene: psf_shape found with star 'empirical', which is measured; leave out one of both"
        )


def _started(
    exposures: tuple[SceneExposure, ...],
    sources: SceneSources | None,
    settings: SceneSettings,
    fitter: FitsScenes,
) -> SceneStart | FittedScene:
    """Return where the fit begins, or how it ended if it cannot."""
    if not any(exposure.good.any() for exposure in exposures):
        return without_a_fit(Outcome.NO_PIXELS, no_pixels(exposures))
    flat = [k for k, exposure in enumerate(exposures) if not exposure.has_invertible_wcs]
    if flat:
        which = ", ".join(exposures[k].name or f"exposure {k}" for k in flat)
        detail = f"CRVAL, CRPIX or CD of {which} are not finite, or CD has no inverse"
        return without_a_fit(Outcome.DEGENERATE_GEOMETRY, detail)
    start = begin(exposures, sources, settings)
    if start is None:
        given = None if sources is None else len(sources)
        return without_a_fit(Outcome.NO_SOURCES, no_sources(given, settings.threshold))
    if not (np.isfinite(start.place.x).all() and np.isfinite(start.place.y).all()):
        return without_a_fit(Outcome.DEGENERATE_GEOMETRY, "sources on both sides of the sky")
    if not start.is_star.any() and settings.fwhm_px is None:
        return without_a_fit(Outcome.NO_PSF, _NO_WIDTH)
    if start.kinds and start.is_star.any():
        return _with_psf_of_stars(start, settings, fitter)
    return start


def _first_scene(start: SceneStart, settings: SceneSettings) -> Scene:
    """Return the scene at the start, in which what has one name is one thing.

    Raises
    ------
    ConfigError
        Placings or shapes of stars that name two things alike.
    """
    scene = build_scene(start, settings)
    try:
        ParameterTable([exposure.numbers for exposure in scene.exposures])
    except ValueError as error:
        raise ConfigError(f"scene: {error}; give both the same, or two names") from error
    return scene


def _with_psf_of_stars(
    start: SceneStart, settings: SceneSettings, fitter: FitsScenes
) -> SceneStart:
    """Return the start with the PSF that stars alone, in windows without galaxies, tell."""
    scene = build_scene(start, settings)
    assert scene.group is not None
    alone = ~np.isin(scene.group, scene.group[~start.is_star])
    if not alone.any():
        return start
    fit = fitter(scene.of_sources(alone))
    if not fit.outcome.is_answer:
        return start
    table = SceneProblem(scene).layout.table
    shapes = []
    for e, exposure in enumerate(scene.exposures):
        first = exposure.placing.size
        numbers = table.values(e, fit.value)[first : first + len(exposure.psf.parameters)]
        shapes.append(tuple(float(number) for number in numbers))
    return with_psf(start, tuple(shapes))


def _with_measured_psf(
    start: SceneStart, scene: Scene, fit: SceneFit, settings: SceneSettings
) -> SceneStart:
    """Return the start with the PSF that an exposure's stars tell; without it where they do not."""
    stamps = tuple(
        Stamp(
            "" if settings.psf == "shared" else one.name,
            settings.psf_side(one.fwhm_px),
            one.fwhm_px,
            None if one.psf is None else one.psf.psf,
        )
        for one in start.exposures
    )
    shapes = tuple(one.exposure.shape for one in start.exposures)
    found = MeasuredPsfs()(scene, fit, Remainders.of(scene, _models(scene, fit), shapes), stamps)
    # Exposures with one PSF share the object: their windows are computed together.
    profiles = {id(psf): Empirical(psf) for psf in found if psf is not None}
    exposures = tuple(
        replace(one, psf=profiles.get(id(psf)))
        for one, psf in zip(start.exposures, found, strict=True)
    )
    return replace(start, exposures=exposures)


def _fitted(
    start: SceneStart, scene: Scene, settings: SceneSettings, fitter: FitsScenes
) -> tuple[Scene, SceneFit]:
    """Return the scene with its last weights, and the fit with them."""
    fit = fitter(scene)
    noisy = [one.exposure.variance is None for one in start.exposures]
    final = scene
    for _ in range(_NOISE_ROUNDS if any(noisy) else 0):
        if not fit.outcome.is_answer:
            return final, fit
        final = _with_photon_noise(start, scene, _models(final, fit))
        fit = fitter(final, fit.state)
    if settings.robust is None:
        return final, fit
    trusted = final
    for _ in range(_ROBUST_ROUNDS):
        if not fit.outcome.is_answer:
            break
        lower = CauchyWeights(settings.robust)
        weights = [
            lower(views.windows, model)
            for views, model in zip(trusted.views, _models(final, fit), strict=True)
        ]
        final, before = trusted.with_weights(weights), fit
        fit = fitter(final, fit.state)
        if fit.covariance is not None:
            error = np.sqrt(np.diagonal(fit.covariance))
            if (np.abs(fit.value - before.value) <= _AT_REST * error).all():
                break
    return final, fit


def _models(scene: Scene, fit: SceneFit) -> tuple[WindowModel, ...]:
    return window_models(scene, SceneProblem(scene).layout, fit.state)


def _with_photon_noise(start: SceneStart, scene: Scene, models: tuple[WindowModel, ...]) -> Scene:
    """Return the scene with the sources' noise in the weights of exposures without a variance."""
    weights = [np.asarray(views.windows.weight, np.float64) for views in scene.views]
    for e, one in enumerate(start.exposures):
        if one.exposure.variance is not None:
            continue
        # All windows of a view are of one exposure: that is how they were cut.
        mine = [k for k, views in enumerate(scene.views) if (views.exposure == e).all()]
        gain = one.exposure.gain
        if gain is None:
            parts = [
                (
                    weights[k].ravel(),
                    (scene.views[k].windows.pixels - models[k].total).ravel(),
                    models[k].sources.ravel(),
                )
                for k in mine
            ]
            if not parts:
                continue
            added = noise_per_flux(*(np.concatenate(part) for part in zip(*parts, strict=True)))
            gain = 1 / added if added > 0 else np.inf
        for k in mine:
            weights[k] = ModelVariance(gain)(scene.views[k].windows, models[k])
    return scene.with_weights(weights)
