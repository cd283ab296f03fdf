"""The profile that a chip's stars have in common, by a joint fit to the best of them.

Each star has its own place, flux and sky, and all of them one shape, or one that changes linearly
over the chip where that is likelier: a scene whose only shared unknowns are those of the shape
(`scene_fit.py`). What is then left of them on one side is the `odd_part`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.splines.spline import Surface
from alignsvc.numerics.displacement.stars.psf_from_stars import KnownStars
from alignsvc.numerics.displacement.stars.star_fit import Psf, StarStack
from alignsvc.numerics.models.least_squares import LevenbergMarquardt
from alignsvc.numerics.models.light.pixel_rules import nodes_for
from alignsvc.numerics.models.light.profile import Places, Profile, ProfileColumns
from alignsvc.numerics.models.on_chip.chip_field import ChipField
from alignsvc.numerics.models.on_chip.odd_part import LopsidedStars, OddPart, OddPartFromStars
from alignsvc.numerics.models.parameters import Fixed, Free, Joined, Quantity, Unknown
from alignsvc.numerics.models.profiles import PROFILES
from alignsvc.numerics.models.scene.geometry import AffineMap, CorrectedPlane
from alignsvc.numerics.models.scene.reweighting import ModelVariance
from alignsvc.numerics.models.scene.scene import ExposureModel, Scene, Sources, Views, free_shape
from alignsvc.numerics.models.scene.scene_fit import FittedViews, SceneFit, SceneFitter
from alignsvc.numerics.models.scene.window import WindowStack

#: The chip is the plane: nothing moves.
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
        In the middle of the field.
    slopes : float64 array, shape (2, k), or None
        Its change towards x and y, per half size of the field; None: it is the same everywhere.
    field : ChipField or None
        Needed where anything varies.
    odd : OddPart or None
        What is not point-symmetric; None: nothing.
    """

    profile: Profile
    shape: FloatArray
    slopes: FloatArray | None = None
    field: ChipField | None = None
    odd: OddPart | None = None

    @property
    def fwhm_px(self) -> float:
        """Of its only or its narrowest part."""
        return float(math.exp(self.shape[0]))

    def at(self, centre: Points, side: int) -> Surface:
        """Return symmetric stars of unit flux in the middle of the field, as a surface.

        Parameters
        ----------
        centre : Points, shape (n,)
            Place of each star in its window, 0-based pixels.
        side : int
            Pixels along a side of the windows.
        """
        return surface(self.profile(Places(centre.x, centre.y, side), self.shape))

    def select(self, which: BoolArray | IntArray) -> ChipProfile:
        """Return the profile: in the middle of the field all stars are the same."""
        return self

    def seen_at(self, on_chip: Points) -> Psf:
        """Return what stars at n places of the chip look like, which are asked for in this order.

        Asked for n m places, the first m are those of the first star.
        """
        shape = self.shape
        if self.slopes is not None and self.field is not None:
            lowest, highest = (
                [getattr(one, bound) for one in self.profile.parameters]
                for bound in ("lowest", "highest")
            )
            terms = self.field.terms(on_chip)
            shape = np.clip(shape + terms[:, 1:] @ self.slopes, lowest, highest)
        symmetric = StarsOnField(self.profile, shape)
        return symmetric if self.odd is None else LopsidedStars(symmetric, self.odd, on_chip)


@dataclass(frozen=True, slots=True, eq=False)
class StarsOnField:
    """Point-symmetric stars of one shape or of n; a `Psf`.

    Parameters
    ----------
    profile : Profile
    shape : float64 array, shape (k,) or (n, k)
    """

    profile: Profile
    shape: FloatArray

    def at(self, centre: Points, side: int) -> Surface:
        """Return stars of unit flux; of n m places the first m are those of the first star."""
        shape = self.shape
        if shape.ndim == 2:
            shape = np.repeat(shape, len(centre.x) // max(len(shape), 1), axis=0)
        return surface(self.profile(Places(centre.x, centre.y, side), shape))

    def select(self, which: BoolArray | IntArray) -> StarsOnField:
        """Return some of the n."""
        return self if self.shape.ndim == 1 else replace(self, shape=self.shape[which])


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
    fewest_for_slopes : int
        With fewer stars the shape is the same all over the chip; with so many it may change
        linearly, if that is likelier with every parameter paid for.
    odd : OddPartFromStars
    search : LevenbergMarquardt
    """

    families: tuple[str, ...] = ("moffat",)
    fewest_stars: int = 3
    rounds: int = 4
    least_excess: float = 4.0
    fewest_for_slopes: int = 9
    odd: OddPartFromStars = field(default_factory=OddPartFromStars)
    search: LevenbergMarquardt = field(default_factory=LevenbergMarquardt)

    def __call__(
        self, stars: Sequence[KnownStars], fwhm_px: float, smoothed_px: float | None = None
    ) -> ChipProfile | None:
        """Return the profile; None for want of stars, or if no fit of one ends well.

        Parameters
        ----------
        stars : sequence of KnownStars
            Of one chip; sizes of windows may differ.
        fwhm_px : float
            Of the stars, about.
        smoothed_px : float or None
            See `OddPartFromStars`; None: what is not point-symmetric is not looked for.
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
        if best is None:
            return None
        best = self._varying(best) or best
        if smoothed_px is None:
            return best.profile
        around = ChipField.around([one.on_chip for one in best.stars])
        odd = self.odd(best.profile, best.stars, around, smoothed_px)
        return replace(best.profile, odd=odd)

    def _varying(self, constant: _Fitted) -> _Fitted | None:
        """Return a profile whose shape changes over the chip; None if that is no likelier."""
        if constant.count < self.fewest_for_slopes:
            return None
        around = ChipField.around([one.on_chip for one in constant.stars])
        return constant.unless_better(self._fitted(constant.profile, constant.stars, around))

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
        return self._fitted(ChipProfile(profile, np.array(start)), stars, None)

    def _fitted(
        self, begin: ChipProfile, stars: Sequence[KnownStars], around: ChipField | None
    ) -> _Fitted | None:
        """Return a profile fitted to all of the stars, of a shape that varies on a field."""
        profile, k = begin.profile, len(begin.shape)
        shape: Quantity = free_shape(profile, "psf", begin.shape.tolist())
        if around is not None:
            shape = Joined((shape, _slopes(profile)))
        exposure = ExposureModel("chip", _UNMOVED, _UNIT, profile, shape)
        if around is not None:
            middle, half = (around.x, around.y), around.half_size
            exposure = replace(exposure, middle=middle, half_size=half)
        corners = [_corner(one) for one in stars]
        x, y = (
            np.concatenate(
                [one.begin[axis] + at[:, axis] for one, at in zip(stars, corners, strict=True)]
            )
            for axis in (0, 1)
        )
        scene = Scene((exposure,), Sources.stars(Points(x, y)), _views(stars, corners))
        gain = stars[0].stack.gain
        fitter = SceneFitter(self.search, None if gain is None else ModelVariance(gain))
        fit = fitter(scene)
        if not fit.outcome.is_answer or fit.views is None:
            return None
        slopes = None if around is None else fit.value[k:].reshape(2, k)
        found = ChipProfile(profile, fit.value[:k], slopes, around)
        return _Fitted(found, tuple(stars), fit, fit.views)


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    """A profile, and the fit and the stars that it comes from."""

    profile: ChipProfile
    stars: tuple[KnownStars, ...]
    fit: SceneFit
    views: FittedViews

    @property
    def count(self) -> int:
        """Of the stars."""
        return sum(len(one.stack) for one in self.stars)

    def unless_better(self, other: _Fitted | None) -> _Fitted | None:
        """Return another fit of the same stars; None unless it is likelier than this one.

        By Schwarz's criterion, where chi2 has the scale of what the other leaves: of stars that no
        profile describes everything else seems to be an improvement.
        """
        if other is None:
            return None
        n_pixels = max(float(self.views.n_pixels.sum()), 1.0)
        gain = (self.fit.chi2 - other.fit.chi2) / max(other.fit.chi2 / n_pixels, 1.0)
        price = (len(other.fit.value) - len(self.fit.value)) * math.log(n_pixels)
        return other if gain > price else None

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


def _slopes(profile: Profile) -> Free:
    """Return how a shape changes over the field, at the start not at all."""
    return Free(
        tuple(
            Unknown(f"psf {one.name} along {axis}", 0.0, -one.step, one.step, one.step)
            for axis in ("x", "y")
            for one in profile.parameters
        )
    )


def _corner(stars: KnownStars) -> IntArray:
    """Return where on the chip windows begin, (n, 2), x and y: to a pixel is enough."""
    x, y = (place - known for place, known in zip(stars.on_chip, stars.known, strict=True))
    return np.rint(np.stack([x, y], axis=1)).astype(np.int64)


def _views(stars: Sequence[KnownStars], corners: Sequence[IntArray]) -> tuple[Views, ...]:
    """Return the windows of each size, one source to a window."""
    views, first = [], 0
    for one, corner in zip(stars, corners, strict=True):
        n = len(one.stack)
        windows = _windows(one.stack, corner)
        source = first + np.arange(n)[:, None]
        views.append(Views(windows, np.zeros(n, np.int64), source))
        first += n
    return tuple(views)


def _windows(stack: StarStack, corner: IntArray) -> WindowStack:
    return WindowStack(stack.pixels, stack.weight * stack.window, corner)
