"""Scenes of stars of any size for the joint model fit: windows in memory, truth known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.geometry import Points
from alignsvc.numerics.models.light.profile import Places, Precision
from alignsvc.numerics.models.parameters import Fixed, Free, Joined, Quantity, Rotated, Unknown
from alignsvc.numerics.models.profiles.moffat import Moffat
from alignsvc.numerics.models.scene.geometry import AffineMap, CorrectedPlane
from alignsvc.numerics.models.scene.scene import (
    ExposureModel,
    Scene,
    SkyModel,
    Sources,
    Views,
    free_shape,
)
from alignsvc.numerics.models.scene.window import WindowStack

UNIT = ((1.0, 0.0), (0.0, 1.0))
FWHM_PX, INVERSE_INDEX = 4.5, 0.33
SKY_NOISE = 10.0
#: Stars in an exposure that are rendered at once.
TOGETHER = 200


@dataclass(frozen=True)
class Stars:
    """How large a scene is.

    Parameters
    ----------
    exposures, sources : int
        Every exposure sees every source.
    window_px : int
    precision : {'double', 'single'}
        Of pixels and profiles.
    """

    exposures: int
    sources: int
    window_px: int
    precision: Precision = "single"

    @property
    def unknowns(self) -> int:
        """Fluxes, places, and of each exposure two of a PSF, a sky, and but for one a geometry."""
        return self.exposures * self.sources + 2 * self.sources + 7 * self.exposures - 4

    def scene(self, seed: int = 0) -> Scene:
        """Return exposures off by half a pixel, a turn and a scale; windows about the headers'."""
        random = np.random.default_rng(seed)
        columns = math.isqrt(self.sources - 1) + 1
        pitch = self.window_px + 5
        at = np.divmod(np.arange(self.sources), columns)[::-1] * np.array([[pitch], [pitch]])
        at = at + pitch + random.uniform(-1.5, 1.5, at.shape)
        middle = 0.5 * pitch * (columns + 1)
        place = Points(*(at - middle))
        flux = 10 ** random.uniform(3.5, 5.0, self.sources)
        star = Moffat(nodes=5, precision=self.precision)
        number = np.dtype(np.float32 if self.precision == "single" else np.float64)
        corner = (np.rint(at).astype(np.int64) - self.window_px // 2).T
        shape = (self.exposures, self.sources, self.window_px, self.window_px)
        pixels = np.empty(shape, number)
        models = []
        for e in range(self.exposures):
            models.append(_exposure(f"e{e}", (middle, middle), star, held=e == 0))
            off = np.zeros(4) if e == 0 else random.normal(0, [0.5, 0.5, 2e-4, 1e-4])
            true = _values(*off)
            seen = models[e].geometry(place, true).pixel
            for some, light in self._rendered(star, seen, corner):
                noise = random.standard_normal(light.shape, np.float32)
                pixels[e, some] = flux[some, None, None] * light + SKY_NOISE * noise
        windows = WindowStack(
            pixels.reshape(-1, self.window_px, self.window_px),
            np.full((self.exposures * self.sources, *shape[2:]), SKY_NOISE**-2, number),
            np.tile(corner, (self.exposures, 1)),
        )
        exposure = np.repeat(np.arange(self.exposures), self.sources)
        source = np.tile(np.arange(self.sources), self.exposures)[:, None]
        views = (Views(windows, exposure, source),)
        return Scene(tuple(models), Sources.stars(place), views, SkyModel.EXPOSURE)

    def _rendered(
        self, star: Moffat, seen: Points, corner: np.ndarray
    ) -> Iterator[tuple[slice, np.ndarray]]:
        shape = np.array([math.log(FWHM_PX), INVERSE_INDEX])
        for first in range(0, self.sources, TOGETHER):
            some = slice(first, first + TOGETHER)
            x, y = seen.x[some] - corner[some, 0], seen.y[some] - corner[some, 1]
            yield some, star(Places(x, y, self.window_px), shape).value


def _values(x: float, y: float, angle: float, scale: float) -> np.ndarray:
    cos, sin = (1 + scale) * math.cos(angle), (1 + scale) * math.sin(angle)
    return np.array([x, y, cos, -sin, sin, cos])


def _exposure(name: str, middle: tuple[float, float], star: Moffat, *, held: bool) -> ExposureModel:
    shift: Quantity = Fixed((0.0, 0.0))
    matrix: Quantity = Fixed((1.0, 0.0, 0.0, 1.0))
    if not held:
        shift = Free((Unknown(f"{name} x", 0.0), Unknown(f"{name} y", 0.0)))
        angle, scale = Unknown(f"{name} angle", 0.0), Unknown(f"{name} scale", 1.0)
        matrix = Rotated(UNIT, angle, "pixels", scale)
    return ExposureModel(
        name,
        CorrectedPlane(AffineMap(UNIT, middle)),
        Joined((shift, matrix)),
        star,
        free_shape(star, name, (math.log(FWHM_PX * 1.1), INVERSE_INDEX)),
        sky=Free((Unknown(f"{name} sky", 0.0, linear=True),)),
        middle=middle,
        half_size=middle[0],
    )
