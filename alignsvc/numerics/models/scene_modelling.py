"""The steps of a model fit for people: start, scene, fit, noise, fit again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from alignsvc.errors import ConfigError
from alignsvc.numerics.models.fitted_scene import FittedScene, described, without_a_fit
from alignsvc.numerics.models.outcomes import Outcome
from alignsvc.numerics.models.reweighting import CauchyWeights, ModelVariance, noise_per_flux
from alignsvc.numerics.models.scene import Scene
from alignsvc.numerics.models.scene_building import (
    SceneStart,
    build_scene,
    windows_of,
    with_psf,
)
from alignsvc.numerics.models.scene_fit import FitsScenes, SceneFit
from alignsvc.numerics.models.scene_input import SceneExposure, SceneSources
from alignsvc.numerics.models.scene_problem import SceneProblem
from alignsvc.numerics.models.scene_starting import begin
from alignsvc.numerics.models.scene_windows import WindowModel, window_models

if TYPE_CHECKING:
    from alignsvc.numerics.models.scene_settings import SceneSettings

#: So often the noise of sources is made of the model before: the second changes 1e-3 of it.
_NOISE_ROUNDS = 2
#: A source of so many standard deviations in one exposure has so many at least in others, or it is
#: not there; with this part of its sources missing an exposure is not where the fit has it.
_CLEAR, _SEEN, _DARK_PART = 20.0, 5.0, 0.5
#: So often pixels that stand out are trusted less, at most; it ends when nothing moves by this
#: part of its error.
_ROBUST_ROUNDS, _AT_REST = 15, 0.02


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
    if not exposures:
        raise ConfigError("scene: no exposure was given")
    names = [exposure.name for exposure in exposures if exposure.name]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"scene: two exposures are named {name}; give each a name of its own")
    if not any(exposure.good.any() for exposure in exposures):
        return without_a_fit(Outcome.NO_PIXELS)
    if not all(exposure.has_invertible_wcs for exposure in exposures):
        return without_a_fit(Outcome.DEGENERATE_GEOMETRY, "a CD matrix has no inverse")
    start = begin(exposures, sources, settings)
    if start is None:
        return without_a_fit(Outcome.NO_SOURCES)
    if not (np.isfinite(start.place.x).all() and np.isfinite(start.place.y).all()):
        return without_a_fit(Outcome.DEGENERATE_GEOMETRY, "sources on both sides of the sky")
    if not start.is_star.any() and settings.fwhm_px is None:
        return without_a_fit(Outcome.NO_PSF)
    if start.kinds and start.is_star.any():
        start = _with_psf_of_stars(start, settings, fitter)
    scene = build_scene(start, settings)
    final, fit = _fitted(start, scene, settings, fitter)
    windows = tuple(windows_of(start, one, settings) for one in start.exposures)
    return described(start, windows, final, _doubted(start, fit))


def _doubted(start: SceneStart, fit: SceneFit) -> SceneFit:
    """Return the fit, as lost where an exposure hardly shows what the others show clearly.

    A header off by the distance of two stars puts one upon the other; the rest come to lie on
    empty sky, which a flux of zero explains.
    """
    if fit.views is None or not fit.outcome.is_answer:
        return fit
    views = fit.views
    significance = np.full((len(start.models), len(start.exposures)), np.nan)
    seen = views.n_pixels > 0
    significance[views.source[seen], views.exposure[seen]] = (views.flux / views.flux_error)[seen]
    names = []
    for e, one in enumerate(start.exposures):
        others = np.nan_to_num(np.delete(significance, e, axis=1), nan=0.0).max(axis=1, initial=0)
        expected = np.isfinite(significance[:, e]) & (others > _CLEAR)
        dark = significance[expected, e] < _SEEN
        if dark.size and dark.mean() >= _DARK_PART and one.geometry != "none":
            names.append(one.name)
    if not names:
        return fit
    message = f"{Outcome.LOST.message}: {', '.join(names)}"
    return replace(fit, outcome=Outcome.LOST, message=message)


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
