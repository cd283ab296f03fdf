"""Small scenes of stars with known truth, and a profile of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.models.light.ellipticity import ellipses, ellipticity_parameters
from alignsvc.numerics.models.light.profile import Places, ProfileColumns, ShapeParameter
from alignsvc.numerics.models.parameters import Fixed, Free, Joined, Quantity, Rotated, Unknown
from alignsvc.numerics.models.scene.geometry import AffineMap, CorrectedPlane
from alignsvc.numerics.models.scene.scene import (
    ExposureModel,
    FluxModel,
    Scene,
    SkyModel,
    Sources,
    Views,
)
from alignsvc.numerics.models.scene.window import cut_windows

UNIT = ((1.0, 0.0), (0.0, 1.0))


@dataclass(frozen=True)
class RoundGaussian:
    """A round Gaussian at the pixels' centres; its shape is the logarithm of sigma."""

    @property
    def parameters(self) -> tuple[ShapeParameter, ...]:
        return (ShapeParameter("log_sigma", -0.5, 2.5, 0.5),)

    def __call__(self, windows: Places, shape: FloatArray) -> ProfileColumns:
        pixel = np.arange(windows.side)
        x = pixel - windows.x[:, None]
        y = pixel - windows.y[:, None]
        variance = np.exp(2 * shape[:, 0])[:, None, None]
        square = (x**2)[:, None, :] + (y**2)[:, :, None]
        value = np.exp(-0.5 * square / variance) / (2 * np.pi * variance)
        return ProfileColumns(
            value,
            value * x[:, None, :] / variance,
            value * y[:, :, None] / variance,
            (value * (square / variance - 2))[:, None],
        )


@dataclass(frozen=True)
class EllipticalGaussian:
    """A galaxy that is a Gaussian, at the pixels' centres."""

    @property
    def parameters(self) -> tuple[ShapeParameter, ...]:
        return (ShapeParameter("log_radius", -0.5, 2.5, 0.5), *ellipticity_parameters(0.6))

    def __call__(self, windows: Places, shape: FloatArray) -> ProfileColumns:
        pixel = np.arange(windows.side)
        x = np.broadcast_to(
            (pixel - windows.x[:, None])[:, None, :], (len(shape), *2 * (len(pixel),))
        )
        y = (pixel - windows.y[:, None])[:, :, None] + 0 * x
        narrow = np.exp(-2 * shape[:, 0])[:, None]
        inverse = ellipses(shape[:, 1], shape[:, 2]).inverse()

        def form(xx: FloatArray) -> FloatArray:
            a, b, c = (narrow * xx).T[:, :, None, None]
            return np.asarray(a * x**2 + 2 * b * x * y + c * y**2)

        xx, xy, yy = (narrow * inverse.matrix).T[:, :, None, None]
        square = form(inverse.matrix)
        value = np.exp(-0.5 * square) * narrow[:, :, None] / (2 * np.pi)
        changes = (square - 2, -0.5 * form(inverse.d_e1), -0.5 * form(inverse.d_e2))
        return ProfileColumns(
            value,
            value * (xx * x + xy * y),
            value * (xy * x + yy * y),
            np.stack([value * change for change in changes], axis=1),
        )


GAUSSIAN, GALAXY = RoundGaussian(), EllipticalGaussian()


@dataclass(frozen=True)
class Truth:
    """What an exposure is made of: pixel = about + R(angle) (plane - about - shift)."""

    shift: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    log_sigma: float = 0.6
    sky: float = 5.0
    noise: float = 1.0


def rotation(angle: float) -> FloatArray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def pixels_of(truth: Truth, plane: Points, about: tuple[float, float]) -> Points:
    away = np.stack([plane.x - about[0] - truth.shift[0], plane.y - about[1] - truth.shift[1]])
    x, y = rotation(truth.angle).T @ away
    return Points(x + about[0], y + about[1])


def image_of(
    truth: Truth, plane: Points, flux: FloatArray, shape: tuple[int, int], seed: int | None
) -> FloatArray:
    """Return an exposure; `seed` None: without noise. Turned about its middle."""
    ny, nx = shape
    at = pixels_of(truth, plane, ((nx - 1) / 2, (ny - 1) / 2))
    image = np.full(shape, truth.sky)
    y, x = np.indices(shape)
    variance = np.exp(2 * truth.log_sigma)
    for one, star_x, star_y in zip(flux, at.x, at.y, strict=True):
        square = (x - star_x) ** 2 + (y - star_y) ** 2
        image += one * np.exp(-0.5 * square / variance) / (2 * np.pi * variance)
    if seed is not None:
        image += np.random.default_rng(seed).normal(0.0, truth.noise, shape)
    return image


def exposure_model(
    name: str,
    about: tuple[float, float],
    free: Literal["none", "shift", "shift and angle"],
    sky: Quantity | None = None,
) -> ExposureModel:
    """Return an exposure with a free PSF, a correction as asked, and perhaps a sky of its own."""
    shift: Quantity = Fixed(about)
    matrix: Quantity = Fixed((1.0, 0.0, 0.0, 1.0))
    if free != "none":
        shift = Free((Unknown(f"{name} x", about[0]), Unknown(f"{name} y", about[1])))
    if free == "shift and angle":
        matrix = Rotated(UNIT, Unknown(f"{name} angle", 0.0), acts_on="pixels")
    return ExposureModel(
        name,
        CorrectedPlane(AffineMap(UNIT, about)),
        Joined((shift, matrix)),
        GAUSSIAN,
        Free((Unknown(f"{name} sigma", 0.5),)),
        sky=Fixed(()) if sky is None else sky,
        middle=about,
        half_size=about[0],
    )


def scene_of(
    truths: list[Truth],
    plane: Points,
    flux: FloatArray,
    *,
    start: Points | None = None,
    free: Literal["none", "shift", "shift and angle"] = "shift and angle",
    shape: tuple[int, int] = (80, 80),
    side: int = 21,
    seed: int | None = 0,
    members: list[list[int]] | None = None,
) -> Scene:
    """Return a scene whose first exposure is fixed; windows are where sources are said to start.

    `members` names the sources of each window; by default each has its own.
    """
    start = plane if start is None else start
    about = ((shape[1] - 1) / 2, (shape[0] - 1) / 2)
    groups = [[k] for k in range(len(plane.x))] if members is None else members
    by_size: dict[int, list[list[int]]] = {}
    for group in groups:
        by_size.setdefault(len(group), []).append(group)
    images = [
        image_of(truth, plane, flux, shape, None if seed is None else 100 * seed + e)
        for e, truth in enumerate(truths)
    ]
    views = []
    for same in by_size.values():
        source = np.array(same)
        middle = Points(start.x[source].mean(axis=1), start.y[source].mean(axis=1))
        stacks = [
            cut_windows(image, np.full(shape, truth.noise**-2), middle, side)
            for image, truth in zip(images, truths, strict=True)
        ]
        pixels, weight, corner = (
            np.concatenate([getattr(stack, name) for stack in stacks])
            for name in ("pixels", "weight", "corner")
        )
        windows = replace(stacks[0], pixels=pixels, weight=weight, corner=corner)
        exposure = np.repeat(np.arange(len(truths)), len(source))
        views.append(Views(windows, exposure, np.tile(source, (len(truths), 1))))
    exposures = tuple(
        exposure_model(f"e{e}", about, "none" if e == 0 else free) for e in range(len(truths))
    )
    return Scene(exposures, Sources.stars(start), tuple(views), SkyModel.WINDOW)


def three_stars() -> tuple[Points, FloatArray]:
    plane = Points(np.array([20.3, 55.1, 38.7]), np.array([22.6, 30.2, 60.4]))
    return plane, np.array([3000.0, 5000.0, 2000.0])


OFF = Truth((0.8, -0.6), np.pi / 32, 0.7, sky=9.0)


def near(plane: Points) -> Points:
    return Points(plane.x + 0.3, plane.y - 0.2)


def of_three_stars() -> Scene:
    plane, flux = three_stars()
    return scene_of([Truth(), OFF], plane, flux, start=near(plane))


def of_a_blend() -> Scene:
    plane = Points(np.array([24.0, 27.5, 55.0, 38.0]), np.array([25.0, 26.0, 30.0, 60.0]))
    flux = np.array([3000.0, 2000.0, 5000.0, 2000.0])
    members = [[0, 1], [2], [3]]
    return scene_of([Truth(), OFF], plane, flux, start=near(plane), members=members)


def of_one_band() -> Scene:
    scene = of_three_stars()
    return replace(scene, flux=FluxModel.BAND)


def of_a_tilted_sky() -> Scene:
    scene = of_a_blend()
    exposures = tuple(
        replace(
            exposure,
            sky=Free(tuple(Unknown(f"{exposure.name} sky{k}", 0.0, linear=True) for k in range(3))),
        )
        for exposure in scene.exposures
    )
    return replace(scene, exposures=exposures, sky=SkyModel.EXPOSURE)


def of_a_shared_and_varying_psf() -> Scene:
    scene = of_three_stars()
    names = ("sigma", "sigma x", "sigma y")
    shape = Free(tuple(Unknown(n, 0.6 * (k == 0)) for k, n in enumerate(names)))
    exposures = tuple(replace(exposure, psf_shape=shape) for exposure in scene.exposures)
    return replace(scene, exposures=exposures, sky=SkyModel.WINDOW_PLANE)


def of_a_galaxy_among_stars() -> Scene:
    """Two sources have ellipses of their own; one star's place is known; all in one band."""
    scene = of_a_blend()
    n = len(scene.sources)
    kind = np.zeros(n, np.int64)
    kind[[1, 2]] = 1
    held = np.zeros(n, bool)
    held[0] = True
    sources = replace(
        scene.sources, kind=kind, held=held, shape=np.tile([0.6, 0.02, -0.03], (n, 1)),
        shape_held=np.zeros((n, 3), bool),
    )  # fmt: skip
    exposures = tuple(replace(exposure, galaxies=(GALAXY,)) for exposure in scene.exposures)
    return replace(scene, exposures=exposures, sources=sources, flux=FluxModel.BAND)


SCENES = [
    of_three_stars,
    of_a_blend,
    of_one_band,
    of_a_tilted_sky,
    of_a_shared_and_varying_psf,
    of_a_galaxy_among_stars,
]
