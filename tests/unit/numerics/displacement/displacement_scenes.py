"""Stars at known places, seen by an exposure and by a mosaic: the truth of these tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.displacement.windows.blots import Reference
from alignsvc.numerics.displacement.windows.chip_view import ChipView
from alignsvc.numerics.displacement.windows.noise import MosaicNoise, NoiseTexture
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import Contribution, merge
from alignsvc.numerics.resampling.others import Others
from alignsvc.numerics.sources.segmentation import Segmentation

#: Sub-pixels along a side that a pixel's light is summed over.
SUBPIXELS = 5
#: Pixels between stars: their wings do not meet in a cutout.
PITCH = 48


@dataclass(frozen=True)
class AffineMap:
    """A pixel map that is one matrix and one shift: what a real one is in a small chip."""

    matrix: np.ndarray
    shift: tuple[float, float] = (0.0, 0.0)

    def to_grid(self, chip: Points) -> Points:
        m, s = self.matrix, self.shift
        return Points(
            m[0, 0] * chip.x + m[0, 1] * chip.y + s[0], m[1, 0] * chip.x + m[1, 1] * chip.y + s[1]
        )

    def to_chip(self, grid: Points) -> Points:
        m = np.linalg.inv(self.matrix)
        x, y = grid.x - self.shift[0], grid.y - self.shift[1]
        return Points(m[0, 0] * x + m[0, 1] * y, m[1, 0] * x + m[1, 1] * y)

    def jacobian(self, chip: Points) -> np.ndarray:
        return np.broadcast_to(self.matrix, (*np.shape(chip.x), 2, 2))


SAME = AffineMap(np.eye(2))


def random_phases(n: int) -> NoiseTexture:
    """The noise of templates that lay anyhow on their exposures: boxes overlap by 1/6, 2/3, 1/6."""
    return NoiseTexture(np.full((n, 2), 1 / 6), np.zeros((n, 2)))


def moffat(r2, fwhm):
    """A Moffat star of index 3 and flux 1."""
    a2 = (0.5 * fwhm) ** 2 / (2 ** (1 / 3) - 1)
    return 2 / (np.pi * a2) * (1 + r2 / a2) ** -3


def gaussian(r2, fwhm):
    """A Gaussian star of flux 1."""
    s2 = fwhm**2 / (8 * np.log(2))
    return np.exp(-0.5 * r2 / s2) / (2 * np.pi * s2)


def stars(shape, at: Points, flux, fwhm, profile=moffat):
    """An image of stars, each summed over the area of its pixels."""
    image = np.zeros(shape)
    sub = (np.arange(SUBPIXELS) - 0.5 * (SUBPIXELS - 1)) / SUBPIXELS
    for x, y, f in zip(at.x, at.y, np.broadcast_to(flux, at.x.shape), strict=True):
        columns = np.arange(max(0, round(x) - 24), min(shape[1], round(x) + 25))
        rows = np.arange(max(0, round(y) - 24), min(shape[0], round(y) + 25))
        dx = (columns[:, None] + sub).ravel() - x
        dy = (rows[:, None] + sub).ravel() - y
        fine = f * profile(dx**2 + dy[:, None] ** 2, fwhm)
        coarse = fine.reshape(len(rows), SUBPIXELS, len(columns), SUBPIXELS).mean(axis=(1, 3))
        image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += coarse
    return image


def positions(n, rng, pitch=PITCH):
    """n places on a square lattice, each at a random phase of its pixel; and a shape around."""
    side = int(np.ceil(np.sqrt(n)))
    lattice = np.mgrid[0:side, 0:side].reshape(2, -1)[:, :n] * pitch + pitch
    at = lattice + rng.uniform(-0.5, 0.5, (2, n))
    return Points(at[1], at[0]), ((side + 1) * pitch, (side + 1) * pitch)


def drizzled_noise(shape, rng):
    """Noise of unit density, correlated between neighbours as drizzling correlates it."""
    powers = [2 / 3 + np.cos(2 * np.pi * np.fft.fftfreq(n)) / 3 for n in shape]
    white = np.fft.fft2(rng.normal(size=shape))
    return np.real(np.fft.ifft2(white * np.sqrt(np.outer(*powers))))


def catalog(at: Points, fwhm, radius=0.0):
    """A catalogue of sources with ids 1, 2, ..."""
    n = len(at.x)
    none, one, whole = np.zeros(n), np.ones(n), np.zeros(n, np.int64)
    return SourceCatalog(
        id=np.arange(1, n + 1), component=whole, x=at.x, y=at.y, ra=none, dec=none, flux=one,
        flux_error=one, snr=one, fwhm=one * fwhm, a=one, b=one, theta=none, peak=one, area=whole,
        radius=one * radius, weight=one, flags=whole,
    )  # fmt: skip


def chip_of(pixels, sigma=1.0, mask=None, saturated=None, gain=None):
    """A calibrated chip with equal noise all over."""
    none = np.zeros(pixels.shape, bool)
    mask = none if mask is None else mask
    weight = np.where(mask, 0, 1 / sigma**2).astype(np.float32)
    saturated = none if saturated is None else saturated
    return CalibratedChip("chip", pixels.astype(np.float32), weight, mask, saturated, gain)


def view_of(pixels, pixel_map=SAME, **planes):
    return ChipView(chip_of(pixels, **planes), pixel_map)


def reference_of(mean, depth=8.0, own=1.0, segmentation=None):
    """A mosaic of `depth` exposures of unit noise without this one, which weighs `own`."""
    box = PixelBox(0, 0, mean.shape[1], mean.shape[0])
    weight = np.broadcast_to(np.asarray(depth, float), mean.shape)
    others = Contribution(box, mean * weight, np.array(weight))
    mine = Contribution(box, mean * own, np.full(mean.shape, float(own)))
    of_others = Others.of([merge([others, mine], box)], [mine], box)
    return Reference.build(of_others, segmentation)


def segmented(labels):
    """A segmentation whose labels are the ids of sources."""
    source = np.unique(labels[labels != 0])
    return Segmentation(labels.astype(np.int32), source, source)


def reference_through(coefficients, weight=None, segmentation=None, corner=(0, 0)):
    """A reference whose spline is known; a sixteenth of the weight is its exposure's share."""
    (ny, nx), (x, y) = coefficients.shape, corner
    weight = np.full((ny, nx), 8, np.float32) if weight is None else weight
    noise = MosaicNoise(np.zeros((1, 1, 2)))
    box = PixelBox(x, y, x + nx, y + ny)
    return Reference(box, coefficients, weight, weight / np.float32(16), noise, segmentation)
