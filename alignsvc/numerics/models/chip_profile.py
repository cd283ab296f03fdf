"""The profile that a chip's stars have in common, by a joint fit to the best of them.

Each star has its own place, flux and sky, and all of them one shape: a scene whose only shared
unknowns are those of the shape (`scene_fit.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.psf_from_stars import KnownStars
from alignsvc.numerics.displacement.spline import Surface
from alignsvc.numerics.displacement.star_fit import StarStack
from alignsvc.numerics.models.geometry import AffineMap, CorrectedPlane
from alignsvc.numerics.models.least_squares import LevenbergMarquardt
from alignsvc.numerics.models.parameters import Fixed
from alignsvc.numerics.models.pixel_rules import nodes_for
from alignsvc.numerics.models.profile import Places, Profile, ProfileColumns
from alignsvc.numerics.models.profiles import PROFILES
from alignsvc.numerics.models.reweighting import ModelVariance
from alignsvc.numerics.models.scene import ExposureModel, Scene, Sources, Views, free_shape
from alignsvc.numerics.models.scene_fit import FittedViews, SceneFit, SceneFitter
from alignsvc.numerics.models.window import WindowStack

#: A window's own frame is the plane: nothing moves.
_UNMOVED = CorrectedPlane(AffineMap())
_UNIT = Fixed((0.0, 0.0, 1.0, 0.0, 0.0, 1.0))
#: Where shapes begin, but for the width; what is not named, in the middle of its bounds.
_OUTSET = {"e1": 0.0, "e2": 0.0, "inverse_index": 0.3, "log_ratio_2": math.log(2), "share_2": 0.3}


@dataclass(frozen=True, slots=True, eq=False)
class ChipProfile:
    """What stars look like on a chip.

    Parameters
    ----------
    profile : Profile
    shape : float64 array, shape (k,)
    """

    profile: Profile
    shape: FloatArray

    @property
    def fwhm_px(self) -> float:
        """Of its only or its narrowest part."""
        return float(math.exp(self.shape[0]))

    def at(self, centre: Points, side: int) -> Surface:
        """Return stars of unit flux, and how their values change along x and y of the pixel.

        Parameters
        ----------
        centre : Points, shape (n,)
            Place of each star in its window, 0-based pixels.
        side : int
            Pixels along a side of the windows.
        """
        return surface(self.profile(Places(centre.x, centre.y, side), self.shape))

    def select(self, which: BoolArray | IntArray) -> ChipProfile:
        """Return the profile: all stars have the same."""
        return self


def surface(columns: ProfileColumns) -> Surface:
    """Return sources of unit flux as surfaces."""
    n, side = len(columns.value), columns.value.shape[-1]
    planes = np.ones((n, 4, side, side), np.float32)
    # A profile tells what a centre that moves does, a surface what a pixel that moves sees.
    np.negative(columns.d_x, out=planes[:, 0], casting="same_kind")
    np.negative(columns.d_y, out=planes[:, 1], casting="same_kind")
    planes[:, 2] = columns.value
    return Surface(planes)


@dataclass(frozen=True, slots=True)
class ProfileFromStars:
    """How a chip's profile is found.

    Parameters
    ----------
    families : tuple of str
        Of profiles, by name. Of several the likeliest is taken, each parameter paid for (BIC);
        which stars count is the first one's to say.
    fewest_stars : int
        With fewer there is no profile.
    rounds : int
        How often stars that are none are looked for, with a fit each.
    least_excess : float
        A star is none if the part of its light that the profile leaves is this many times that of
        the typical one, beyond what noise may leave.
    search : LevenbergMarquardt
    """

    families: tuple[str, ...] = ("moffat",)
    fewest_stars: int = 3
    rounds: int = 4
    least_excess: float = 4.0
    search: LevenbergMarquardt = field(default_factory=LevenbergMarquardt)

    def __call__(self, stars: Sequence[KnownStars], fwhm_px: float) -> ChipProfile | None:
        """Return the profile; None for want of stars, or if no fit of one ends well.

        Parameters
        ----------
        stars : sequence of KnownStars
            Of one chip; sizes of windows may differ.
        fwhm_px : float
            Of the stars, about.
        """
        best: _Fitted | None = None
        for family in self.families:
            if best is None:
                found = self._clipped(family, stars, fwhm_px)
            else:
                # Each with stars of its own, the profile that throws out most would seem best.
                found = self._once(family, best.stars, best.profile.fwhm_px)
            if found is not None and (best is None or found.criterion < best.criterion):
                best = found
        return None if best is None else best.profile

    def _clipped(self, family: str, stars: Sequence[KnownStars], fwhm_px: float) -> _Fitted | None:
        """Return the profile of a family, found from the stars that agree with it."""
        chosen, found = tuple(stars), None
        for _ in range(self.rounds):
            if sum(len(one.stack) for one in chosen) < self.fewest_stars:
                return None
            found = self._once(family, chosen, fwhm_px if found is None else found.profile.fwhm_px)
            if found is None:
                return None
            alike = found.alike(self.least_excess)
            if alike.all():
                break
            ends = np.cumsum([len(one.stack) for one in chosen])[:-1]
            parts = zip(chosen, np.split(alike, ends), strict=True)
            chosen = tuple(one.select(rows) for one, rows in parts)
        return found

    def _once(self, family: str, stars: Sequence[KnownStars], fwhm_px: float) -> _Fitted | None:
        """Return a profile fitted to all of the stars; None if the fit has no answer."""
        profile = _profile(family, fwhm_px)
        start = [
            math.log(fwhm_px)
            if one.name == "log_fwhm"
            else _OUTSET.get(one.name, 0.5 * (one.lowest + one.highest))
            for one in profile.parameters
        ]
        exposure = ExposureModel(
            "chip", _UNMOVED, _UNIT, profile, free_shape(profile, "psf", start)
        )
        places = Points(
            np.concatenate([one.begin.x for one in stars]),
            np.concatenate([one.begin.y for one in stars]),
        )
        scene = Scene((exposure,), Sources.stars(places), _views(stars))
        gain = stars[0].stack.gain
        fitter = SceneFitter(self.search, None if gain is None else ModelVariance(gain))
        fit = fitter(scene)
        if not fit.outcome.is_answer or fit.views is None:
            return None
        return _Fitted(ChipProfile(profile, fit.value), tuple(stars), fit, fit.views)


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    """A profile, and the fit and the stars that it comes from."""

    profile: ChipProfile
    stars: tuple[KnownStars, ...]
    fit: SceneFit
    views: FittedViews

    @property
    def criterion(self) -> float:
        """Schwarz's (1978), of the parameters that all stars share."""
        return self.fit.chi2 + len(self.fit.value) * math.log(max(self.views.n_pixels.sum(), 1))

    def alike(self, least_excess: float) -> BoolArray:
        """Return which stars, in their order, leave no more of their light than most do."""
        order = np.argsort(self.views.source)
        noise = np.sqrt(2.0 * self.views.n_pixels[order])
        excess = self.views.chi2[order] - self.views.n_pixels[order]
        light = (self.views.flux / self.views.flux_error)[order] ** 2
        light = np.maximum(light, 1.0)
        typical = max(float(np.median(excess / light)), 0.0)
        alike: BoolArray = excess - 4.0 * noise <= least_excess * typical * light
        return alike


def _profile(family: str, fwhm_px: float) -> Profile:
    nodes = nodes_for(fwhm_px, elliptical=True)
    return PROFILES.build(family, {"elliptical": True, "nodes": nodes})


def _views(stars: Sequence[KnownStars]) -> tuple[Views, ...]:
    """Return the windows of each size, one source to a window."""
    views, first = [], 0
    for one in stars:
        n = len(one.stack)
        windows = _windows(one.stack)
        source = first + np.arange(n)[:, None]
        views.append(Views(windows, np.zeros(n, np.int64), source))
        first += n
    return tuple(views)


def _windows(stack: StarStack) -> WindowStack:
    return WindowStack(
        stack.pixels, stack.weight * stack.window, np.zeros((len(stack), 2), np.int64)
    )
