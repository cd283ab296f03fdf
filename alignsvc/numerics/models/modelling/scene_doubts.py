"""What speaks against a fit that ended well: exposures lost, chi2 too large, lopsided stars."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.numerics.models.modelling.lopsidedness import Lopsidedness, lopsidedness
from alignsvc.numerics.models.modelling.scene_advice import listed, same_places
from alignsvc.numerics.models.modelling.scene_building import SceneStart
from alignsvc.numerics.models.modelling.scene_settings import SceneSettings
from alignsvc.numerics.models.modelling.star_stamps import Remainders
from alignsvc.numerics.models.outcomes import Outcome
from alignsvc.numerics.models.scene.scene import Scene
from alignsvc.numerics.models.scene.scene_fit import FitsScenes, SceneFit
from alignsvc.numerics.models.scene.scene_problem import SceneProblem
from alignsvc.numerics.models.scene.scene_windows import WindowModel, window_models

#: A source of so many standard deviations in one exposure has so many at least in others, or it is
#: not there; with this part of its sources missing an exposure is not where the fit has it.
_CLEAR, _SEEN, _DARK_PART = 20.0, 5.0, 0.5
#: chi2 is more than noise makes of it beyond so many of its standard deviations, and worth a
#: word where errors change by 5 %.
_BEYOND_NOISE, _WORTH_A_WORD = 4.0, 1.1
#: Stars are lopsided in different ways beyond so many standard deviations, and so many pixels.
_LOPSIDED, _LEAST_PX = 4.0, 0.005


def doubted(start: SceneStart, fit: SceneFit) -> SceneFit:
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


@dataclass(frozen=True, slots=True, eq=False)
class TestedFit:
    """A fit whose stated errors are those that its chi2 allows.

    Parameters
    ----------
    scene : Scene
        As it was fitted.
    fit : SceneFit
    models : tuple of WindowModel
        Of the scene's views.
    chi2 : float64 array, shape (exposures,)
        With the weights of the fit.
    n_pixels : int64 array, shape (exposures,)
    per_degree : float64 array, shape (exposures,)
        chi2 per degree of freedom, each exposure having its pixels' part of these; NaN without.
    excess : float64 array, shape (exposures,)
        What the variances were multiplied by; 1 where chi2 is what noise makes it.
    """

    scene: Scene
    fit: SceneFit
    models: tuple[WindowModel, ...]
    chi2: FloatArray
    n_pixels: IntArray
    per_degree: FloatArray
    excess: FloatArray

    @property
    def significant(self) -> FloatArray:
        """How many of its standard deviations chi2 is above what is expected; 0 without any."""
        degrees = self.n_pixels * _part(self.fit, self.n_pixels)
        off = (self.per_degree - 1) * np.sqrt(degrees / 2)
        return np.nan_to_num(off, nan=0.0)


def tested(scene: Scene, fit: SceneFit, settings: SceneSettings, fitter: FitsScenes) -> TestedFit:
    """Return the fit with the errors of exposures whose variance is what chi2 says it is.

    Where chi2 exceeds the noise the variance counts chi2/dof times. What was found stays: it is
    stated anew what is known of it.
    """
    found = _judged(scene, fit)
    if settings.errors == "given" or not fit.outcome.is_answer or fit.views is None:
        return found
    excess = np.where(found.significant > _BEYOND_NOISE, found.per_degree, 1.0)
    if (excess == 1).all():
        return found
    weights = [
        np.asarray(views.windows.weight, np.float64) / excess[views.exposure, None, None]
        for views in scene.views
    ]
    # A single pass gives the equations where the fit ended.
    last = fitter.looking()(scene.with_weights(weights), fit.state)
    if last.covariance is None or last.views is None:
        return found
    restated = replace(
        fit,
        covariance=last.covariance,
        source_covariance=last.source_covariance,
        views=replace(fit.views, flux_error=last.views.flux_error),
    )
    return replace(found, fit=restated, excess=excess)


def _judged(scene: Scene, fit: SceneFit) -> TestedFit:
    n = len(scene.exposures)
    chi2, count = np.zeros(n), np.zeros(n)
    models = window_models(scene, SceneProblem(scene).layout, fit.state)
    for views, model in zip(scene.views, models, strict=True):
        left = views.windows.weight * (views.windows.pixels - model.total) ** 2
        of = left.sum(axis=(1, 2), dtype=np.float64)
        chi2 += np.bincount(views.exposure, weights=of, minlength=n)
        count += np.bincount(views.exposure, weights=views.windows.n_pixels, minlength=n)
    n_pixels = count.astype(np.int64)
    degrees = n_pixels * _part(fit, n_pixels)
    per_degree = np.where(degrees > 0, chi2 / np.where(degrees > 0, degrees, 1), np.nan)
    return TestedFit(scene, fit, models, chi2, n_pixels, per_degree, np.ones(n))


def _part(fit: SceneFit, n_pixels: IntArray) -> float:
    """Return how many degrees of freedom there are to a pixel."""
    return max(fit.degrees_of_freedom, 0) / max(int(n_pixels.sum()), 1)


def lopsided_stars(start: SceneStart, found: TestedFit) -> tuple[Lopsidedness | None, ...]:
    """Return how lopsided the stars of each exposure are; None where no star tells."""
    if not found.fit.outcome.is_answer or found.fit.views is None:
        return (None,) * len(start.exposures)
    shapes = tuple(one.exposure.shape for one in start.exposures)
    left = Remainders.of(found.scene, found.models, shapes)
    return tuple(
        lopsidedness(found.scene, found.fit, e, left, one.fwhm_px)
        for e, one in enumerate(start.exposures)
    )


def warnings_of(
    start: SceneStart, found: TestedFit, lopsided: tuple[Lopsidedness | None, ...]
) -> tuple[str, ...]:
    """Return what a person should know before believing the errors, a sentence each."""
    if not found.fit.outcome.is_answer:
        return ()
    said = [*same_places(start)]
    names = np.array([one.name for one in start.exposures])
    ratio, sigmas = found.per_degree, found.significant
    with np.errstate(invalid="ignore"):
        large = (sigmas > _BEYOND_NOISE) & (ratio > _WORTH_A_WORD)
        small = (sigmas < -_BEYOND_NOISE) & (ratio < 1 / _WORTH_A_WORD)
    # The numbers of a measured PSF are in no count of degrees of freedom.
    small &= [one.psf is None for one in start.exposures]
    if large.any():
        stated = (
            "stated errors are as the variance has them, too small"
            if (found.excess[large] == 1).all()
            else "their variance counts so many times in stated errors"
        )
        said.append(
            f"chi2/dof {_each(names[large], ratio[large])}, wanted 1: the variance is too small, "
            f"or the model leaves light; {stated}; look at the residual: rings about stars ask for "
            "another star (empirical), spots for a mask or robust, dipoles for a freer geometry"
        )
    if small.any():
        said.append(
            f"chi2/dof {_each(names[small], ratio[small])}, wanted 1: the variance is too large, "
            "or neighbouring pixels share their noise, as in a resampled image: then stated errors "
            "are too small; give the variance of pixels that are not resampled"
        )
    return (*said, *_lopsided_warning(start, lopsided))


def _each(names: NDArray[np.str_], ratio: FloatArray) -> str:
    return listed([f"{r:.2f} of {name}" for r, name in zip(ratio, names, strict=True)], ", ")


def _lopsided_warning(
    start: SceneStart, lopsided: tuple[Lopsidedness | None, ...]
) -> tuple[str, ...]:
    """Return a sentence on the two exposures whose stars differ most, if they do."""
    worst, said = _LOPSIDED, ""
    known = [(e, one) for e, one in enumerate(lopsided) if one is not None]
    for (e, one), (f, other) in combinations(known, 2):
        differ = one.differs_from(other)
        scale = start.exposures[f].map.wcs.pixel_scale_arcsec
        away = differ.arcsec / scale
        if differ.arcsec > worst * differ.error and away > _LEAST_PX:
            worst = differ.arcsec / differ.error
            names = f"{start.exposures[e].name} and {start.exposures[f].name}"
            said = (
                f"exposures {names}: stars are lopsided in different ways: from core to wings "
                f"their centres part by {away:.3f} +- {differ.error / scale:.3f} px; what is a "
                "lopsided star's place is a convention, so that the shift between these exposures "
                f"is uncertain by {away:.3f} px and more, which no stated error holds"
            )
    return (said,) if said else ()
