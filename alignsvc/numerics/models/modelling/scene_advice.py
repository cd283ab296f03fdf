"""What to say of a fit of a scene that is no answer: what was found, where, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from alignsvc.numerics.models.modelling.scene_building import SceneStart
from alignsvc.numerics.models.modelling.scene_input import SceneExposure
from alignsvc.numerics.models.outcomes import Outcome
from alignsvc.numerics.models.scene.scene_fit import SceneFit

#: So many stars, not in a row, tell all that is free of a correction.
_STARS = {"none": 0, "placing": 0, "shift": 1, "rshift": 2, "rscale": 2, "general": 3}
#: Standard deviations of flux from which a star tells of a place.
_SEEN = 5.0
#: So many exposures are named; of the others there are more.
_NAMED = 5
#: Sources closer than this part of the stars' width are one to any fit.
_ONE_PLACE = 0.05


def no_pixels(exposures: Sequence[SceneExposure]) -> str:
    """Return what is wrong with the pixels of each exposure."""
    said = []
    for e, one in enumerate(exposures):
        finite = np.isfinite(one.pixels)
        counts = {"not finite": np.count_nonzero(~finite)}
        if one.mask is not None:
            counts["masked"] = np.count_nonzero(one.mask)
        if one.saturation is not None:
            counts["saturated"] = np.count_nonzero(one.pixels[finite] >= one.saturation)
        if one.variance is not None:
            sound = np.isfinite(one.variance) & (np.asarray(one.variance) > 0)
            bad = np.count_nonzero(~np.broadcast_to(sound, one.shape))
            counts["without a positive variance"] = bad
        found = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        constant = "no noise: the variance has to be given"
        said.append(f"{one.name or f'exposure {e}'}: of {finite.size} pixels {found or constant}")
    return listed(said, "; ")


def no_sources(given: int | None, threshold: float) -> str:
    """Return why there is none; `given` None: they were to be found."""
    if given is None:
        return (
            f"nothing stands out by {threshold:g} standard deviations on the exposure that is "
            "held; lower threshold, or give sources"
        )
    if given == 0:
        return "an empty list was given; give None to have them found"
    return f"none of the {given} given lies on an exposure; do places and headers fit?"


def advised(start: SceneStart, fit: SceneFit) -> SceneFit:
    """Return the fit with what to do next in its message."""
    if fit.outcome is Outcome.ILL_CONDITIONED:
        return replace(fit, message=f"{fit.message}; {_undetermined(start, fit)}")
    if fit.outcome is Outcome.LOST:
        more = (
            "are headers off by more than reach_px or turn_deg, sources elsewhere, or fainter "
            "than the noise?"
        )
        return replace(fit, message=f"{fit.message}; {more}")
    if not fit.outcome.is_answer and fit.degrees_of_freedom > 0:
        more = (
            f"chi2/dof {fit.chi2 / fit.degrees_of_freedom:.2f}; far above 1 stars may be saturated "
            "(saturation, mask), sources no stars (model) or crowded; else give "
            "search=LevenbergMarquardt(max_passes=...) more"
        )
        return replace(fit, message=f"{fit.message}; {more}")
    return fit


def _undetermined(start: SceneStart, fit: SceneFit) -> str:
    views, said = fit.views, []
    assert views is not None
    free = {one.correction_name: one.geometry for one in start.exposures}
    if not {"none", "placing"} & set(free.values()) and not start.held.any():
        said.append(
            "every exposure is free to move and no place is held: nothing holds the frame; give "
            "one the geometry 'none', or hold sources"
        )
    for e, one in enumerate(start.exposures):
        mine = views.exposure == e
        if not (views.n_pixels[mine] > 0).any():
            said.append(
                f"{one.name}: no good pixel in the window of any source; leave it out, or is its "
                "header far off?"
            )
            continue
        name = one.correction_name
        sharing = [k for k, f in enumerate(start.exposures) if f.correction_name == name]
        with np.errstate(invalid="ignore"):
            seen = np.isin(views.exposure, sharing) & (views.flux > _SEEN * views.flux_error)
        stars, wanted = len(np.unique(views.source[seen])), _STARS[one.geometry]
        if stars < wanted:
            said.append(
                f"{one.name}: {stars} source{'s' * (stars != 1)} seen, geometry "
                f"'{one.geometry}' needs {wanted}; give it more, or a stiffer geometry"
            )
    return listed(said, "; ") or "hold, share or leave out what is named, or give more sources"


def same_places(start: SceneStart) -> tuple[str, ...]:
    """Return a sentence on sources of one model that begin at one place, if any do."""
    width = min(one.fwhm_px * one.map.wcs.pixel_scale_arcsec for one in start.exposures)
    near = cKDTree(np.stack(start.place, axis=1)).query_pairs(_ONE_PLACE * width)
    pairs = sorted(pair for pair in near if start.models[pair[0]] == start.models[pair[1]])
    if not pairs:
        return ()
    named = listed([f"{first} and {second}" for first, second in pairs], ", ")
    return (
        f"sources {named} begin at one place: which has how much of the light is not known; leave "
        "one of each two out",
    )


def listed(said: Sequence[str], between: str) -> str:
    """Return the first few of many things, and how many more there are."""
    more = f"{between}and {len(said) - _NAMED} more" if len(said) > _NAMED else ""
    return between.join(said[:_NAMED]) + more
