"""From images, headers and start values to the scene that is fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.errors import ConfigError
from alignsvc.numerics.models.galaxies import GALAXIES
from alignsvc.numerics.models.light.mixtures import GaussianMixture, mixture_of
from alignsvc.numerics.models.light.pixel_rules import nodes_for
from alignsvc.numerics.models.light.profile import Profile
from alignsvc.numerics.models.modelling.joined_windows import (
    JoinedWindow,
    cut_views,
    joined_windows,
)
from alignsvc.numerics.models.modelling.scene_input import STAR, SceneExposure
from alignsvc.numerics.models.modelling.scene_settings import SceneSettings
from alignsvc.numerics.models.modelling.sky_map import SkyMap
from alignsvc.numerics.models.parameters import Fixed, Free, Joined, Quantity, Rotated, Unknown
from alignsvc.numerics.models.profiles.convolved import Convolved
from alignsvc.numerics.models.profiles.empirical import Empirical
from alignsvc.numerics.models.scene.geometry import CorrectedPlane
from alignsvc.numerics.models.scene.scene import (
    ExposureModel,
    FluxModel,
    Scene,
    SkyModel,
    Sources,
    free_shape,
)

#: How far a shift, a turn and a matrix may go in one step.
_SHIFT_STEP_PX, _TURN_STEP = 5.0, 0.1
#: Galaxies have wings: their windows are this much wider, in their own FWHM.
_GALAXY_WINDOW = 1.5
#: Where a shape begins that the pixels do not tell at a glance; the middle of the usual.
_SHAPE_START = {"inverse_index": 0.33, "e1": 0.0, "e2": 0.0, "index": 1.5}
_RATIO_START, _SHARE_START = math.log(2.0), 0.25
#: What a sum of Gaussians is narrower than its sum at the narrowest.
_NARROWEST_PART = 0.9
_UNIT = ((1.0, 0.0), (0.0, 1.0))


@dataclass(frozen=True, slots=True, eq=False)
class ExposureStart:
    """An exposure and where its numbers begin.

    Parameters
    ----------
    exposure : SceneExposure
    name : str
    map : SkyMap
    geometry : str
        What is free of its correction; ``none``: nothing; ``placing``: what its placing says.
    level : float
        Of the sky; taken off before the fit, which finds what is left.
    weight : float64 array, shape (ny, nx)
        Inverse variance; 0 = masked.
    fwhm_px : float
    psf_shape : tuple of float or None
        None: from the width.
    psf : Empirical or None
        Of its stars, once it was measured.
    shift : tuple of float
        arcsec, east and north.
    turn : float
        Radians, from east towards north.
    """

    exposure: SceneExposure
    name: str
    map: SkyMap
    geometry: str
    level: float
    weight: FloatArray
    fwhm_px: float
    psf_shape: tuple[float, ...] | None = None
    psf: Empirical | None = None
    shift: tuple[float, float] = (0.0, 0.0)
    turn: float = 0.0

    @property
    def correction_name(self) -> str:
        """What its correction is known by: its own, or that of all chips of a camera."""
        return self.exposure.correction or self.name

    @property
    def numbers(self) -> FloatArray:
        """The six numbers of its correction at the start."""
        placing = self.exposure.placing
        if placing is not None:
            return placing.values(np.array([unknown.start for unknown in placing.unknowns]))
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        return np.array([*self.shift, cos, -sin, sin, cos])

    def pixels_of(self, place: Points) -> Points:
        """Return where places on the plane lie at the start; NaN where they do not."""
        return CorrectedPlane(self.map)(place, self.numbers).pixel


@dataclass(frozen=True, slots=True, eq=False)
class SceneStart:
    """All that a scene is built from.

    Parameters
    ----------
    plane : TangentPlane
    place : Points, shape (n,)
        Of the sources, arcsec on the plane.
    held : bool array, shape (n,)
        Which places stay.
    models : tuple of str
    width_arcsec : float64 array, shape (n,)
        FWHM on the sky, PSF included; NaN where it is that of stars.
    exposures : tuple of ExposureStart
    """

    plane: TangentPlane
    place: Points
    held: BoolArray
    models: tuple[str, ...]
    width_arcsec: FloatArray
    exposures: tuple[ExposureStart, ...]

    @property
    def mean_fwhm_px(self) -> float:
        """Geometric mean of the exposures' widths: where a width that they share begins."""
        return math.exp(np.mean([math.log(one.fwhm_px) for one in self.exposures]))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The galaxies' models that occur, sorted."""
        return tuple(sorted(set(self.models) - {STAR}))

    @property
    def is_star(self) -> BoolArray:
        """Which sources are stars, shape (n,)."""
        return np.array([model == STAR for model in self.models], bool)


def build_scene(start: SceneStart, settings: SceneSettings) -> Scene:
    """Return the scene with windows where the start puts the sources."""
    stars: dict[int, Profile] = {}
    models = []
    for e, one in enumerate(start.exposures):
        nodes = nodes_for(one.fwhm_px, elliptical=settings.elliptical)
        star = one.psf or stars.setdefault(nodes, settings.star_profile(nodes))
        models.append(_exposure_model(start, e, star, settings))
    views = tuple(
        view
        for e, one in enumerate(start.exposures)
        for view in cut_views(
            one.exposure.pixels.astype(np.float64) - one.level,
            one.weight,
            windows_of(start, one, settings),
            e,
        )
    )
    sky = SkyModel.EXPOSURE if settings.sky == "exposure_plane" else SkyModel(settings.sky)
    return Scene(tuple(models), _sources(start), views, sky, FluxModel(settings.flux))


def shape_at_start(profile: Profile, fwhm_px: float) -> tuple[float, ...]:
    """Return where a star's shape begins, within its bounds."""
    narrow = any(p.name.startswith("share") for p in profile.parameters)
    width = math.log(fwhm_px * (_NARROWEST_PART if narrow else 1.0))
    first = {"log_fwhm": width, **_SHAPE_START}
    return tuple(
        min(
            max(
                first.get(p.name, _SHARE_START if p.name.startswith("share") else _RATIO_START),
                p.lowest,
            ),
            p.highest,
        )
        for p in profile.parameters
    )


def windows_of(
    start: SceneStart, one: ExposureStart, settings: SceneSettings
) -> tuple[JoinedWindow, ...]:
    """Return the windows about the sources that lie on an exposure."""
    at = one.pixels_of(start.place)
    wide = start.width_arcsec / one.map.wcs.pixel_scale_arcsec * _GALAXY_WINDOW
    width = np.fmax(wide, one.fwhm_px)
    side = np.ceil(settings.window_fwhm * width).astype(np.int64) | 1
    if settings.window_px is not None:
        side = np.full(len(side), settings.window_px | 1, np.int64)
    ny, nx = one.exposure.shape
    with np.errstate(invalid="ignore"):
        inside = (at.x >= -0.5) & (at.x <= nx - 0.5) & (at.y >= -0.5) & (at.y <= ny - 0.5)
    return joined_windows(at, side, np.flatnonzero(inside).astype(np.int64))


def _exposure_model(
    start: SceneStart, e: int, star: Profile, settings: SceneSettings
) -> ExposureModel:
    one = start.exposures[e]
    width = start.mean_fwhm_px if settings.psf == "shared" else one.fwhm_px
    shape = () if one.psf else one.psf_shape or _given_shape(one) or shape_at_start(star, width)
    ny, nx = one.exposure.shape
    known = start.is_star.any()
    galaxies: tuple[Profile, ...] = ()
    if start.kinds:
        mixture = mixture_of(star, np.array(shape))
        galaxies = tuple(_galaxy(kind, mixture) for kind in start.kinds)
    return ExposureModel(
        one.name,
        CorrectedPlane(one.map),
        _placing(one),
        star,
        _psf_shape(star, one, shape, settings) if known else Fixed(shape),
        galaxies,
        _sky(one.name, settings),
        _band(start, e),
        ((nx - 1) / 2, (ny - 1) / 2),
        max(nx, ny) / 2,
    )


def _band(start: SceneStart, e: int) -> int:
    """Return the number of an exposure's band."""
    bands = sorted({one.exposure.band for one in start.exposures})
    return bands.index(start.exposures[e].exposure.band)


def _galaxy(kind: str, psf: GaussianMixture) -> Profile:
    return Convolved(GALAXIES.build(kind, {}), psf)


def _placing(one: ExposureStart) -> Quantity:
    """Return shift and matrix, free as far as the geometry or a placing of its own says."""
    if one.exposure.placing is not None:
        return one.exposure.placing
    shift, matrix = tuple(one.numbers[:2]), tuple(one.numbers[2:])
    if one.geometry == "none":
        return Fixed((*shift, *matrix))
    name = one.correction_name
    step = _SHIFT_STEP_PX * one.map.wcs.pixel_scale_arcsec
    moved = Free(
        tuple(
            Unknown(f"{name} shift {axis}", value, step=step)
            for axis, value in zip(("x", "y"), shift, strict=True)
        )
    )
    if one.geometry == "shift":
        return Joined((moved, Fixed(matrix)))
    if one.geometry == "general":
        elements = zip(("m11", "m12", "m21", "m22"), matrix, strict=True)
        return Joined(
            (moved, Free(tuple(Unknown(f"{name} {m}", v, step=_TURN_STEP) for m, v in elements)))
        )
    angle = Unknown(f"{name} angle", one.turn, step=_TURN_STEP)
    scale = (
        Unknown(f"{name} scale", 1.0, 0.5, 2.0, _TURN_STEP) if one.geometry == "rscale" else None
    )
    return Joined((moved, Rotated(_UNIT, angle, "sky", scale)))


def _given_shape(one: ExposureStart) -> tuple[float, ...]:
    """Return where the shape begins that was given with an exposure; empty without one."""
    given = one.exposure.psf_shape
    if given is None:
        return ()
    start = np.array([unknown.start for unknown in given.unknowns], float)
    return tuple(given.values(start).tolist())


def _psf_shape(
    star: Profile, one: ExposureStart, shape: tuple[float, ...], settings: SceneSettings
) -> Quantity:
    """Return the shape of an exposure's stars as unknowns."""
    given, name = one.exposure.psf_shape, one.name
    if given is not None:
        if given.size not in (len(star.parameters), 3 * len(star.parameters)):
            names = ", ".join(p.name for p in star.parameters)
            raise ConfigError(
                f"exposure {name}: psf_shape of {given.size} numbers found, wanted "
                f"{len(star.parameters)}: {names}; or three times as many, with their changes "
                "along x and y"
            )
        return given
    middle = free_shape(star, "psf" if settings.psf == "shared" else f"{name} psf", shape)
    if settings.psf != "varying":
        return middle
    slopes = tuple(
        Unknown(f"{name} psf {p.name} along {axis}", 0.0, -p.step, p.step, p.step)
        for axis in ("x", "y")
        for p in star.parameters
    )
    return Joined((middle, Free(slopes)))


def _sky(name: str, settings: SceneSettings) -> Quantity:
    terms = {"exposure": ("level",), "exposure_plane": ("level", "along x", "along y")}
    named = terms.get(settings.sky, ())
    return Free(tuple(Unknown(f"{name} sky {term}", 0.0, linear=True) for term in named))


def _sources(start: SceneStart) -> Sources:
    """Return the sources; galaxies begin round, as wide as they look without the PSF."""
    n = len(start.models)
    kind = np.array([0 if m == STAR else 1 + start.kinds.index(m) for m in start.models], np.int64)
    own = {name: GALAXIES.build(name, {}).parameters for name in start.kinds}
    m = max((3 + len(parameters) for parameters in own.values()), default=0)
    shape = np.zeros((n, m))
    psf = np.median([one.fwhm_px * one.map.wcs.pixel_scale_arcsec for one in start.exposures])
    for k in np.flatnonzero(kind):
        seen = np.fmax(start.width_arcsec[k], psf)
        # Half the light of a disc lies within 0.7 of its FWHM behind a PSF as wide as itself.
        shape[k, 0] = math.log(0.7 * max(math.sqrt(seen**2 - psf**2), 0.3 * psf))
        for j, parameter in enumerate(own[start.models[k]]):
            shape[k, 3 + j] = _SHAPE_START[parameter.name]
    place = Points(np.array(start.place.x, float), np.array(start.place.y, float))
    return Sources(place, start.held, kind, shape, np.zeros((n, m), bool))


def with_psf(start: SceneStart, shapes: tuple[tuple[float, ...], ...]) -> SceneStart:
    """Return a start with other shapes of the exposures' stars."""
    exposures = tuple(
        replace(one, psf_shape=shape) for one, shape in zip(start.exposures, shapes, strict=True)
    )
    return replace(start, exposures=exposures)
