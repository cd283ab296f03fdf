"""Sources of known place, seen by some exposures, drizzled, and measured one by one.

What is real: drizzling, leave-one-out, blots, the measurement. What is not: no detection and no
sky to be fitted, positions of the catalogue are the true ones, and nothing is masked. The bound
is that of the true profile with flux and background unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, contiguous
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.domain.measurement import Displacements
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.displacement.windows.blots import Reference
from alignsvc.numerics.displacement.windows.chip_view import ChipView
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import Contribution, merge
from alignsvc.numerics.resampling.others import Others
from alignsvc.numerics.resampling.resamplers.drizzle import DrizzleResampler
from alignsvc.numerics.sky.lattice import Bicubics, Bilinear, Lattice, bicubics
from alignsvc.simulation.profiles import gaussian_mixture, moffat_mixture, sersic_mixture
from alignsvc.simulation.render import GalaxyShape, galaxies_image, galaxy_values, stars_image

#: Sky per pixel, electrons, and pixels between sources.
SKY, PITCH = 100.0, 44
#: Half side of the stamps from which the bound follows.
_HALF = 20
#: Different galaxies: the others are copies, so that the bound is quickly found.
N_SHAPES = 32
#: A displacement farther off than this many times its bound is an outlier.
OUTLIER = 5.0

Measurement = Callable[[ChipView, Reference, SourceCatalog], Displacements]


@dataclass(frozen=True)
class RigidMap:
    """A pixel map that is a rotation and a shift."""

    shape: tuple[int, int]
    angle_deg: float
    shift: tuple[float, float]

    @property
    def matrix(self):
        c, s = math.cos(math.radians(self.angle_deg)), math.sin(math.radians(self.angle_deg))
        return np.array([[c, -s], [s, c]])

    def to_grid(self, chip: Points) -> Points:
        m, s = self.matrix, self.shift
        return Points(
            m[0, 0] * chip.x + m[0, 1] * chip.y + s[0], m[1, 0] * chip.x + m[1, 1] * chip.y + s[1]
        )

    def to_chip(self, grid: Points) -> Points:
        m = self.matrix.T
        x, y = grid.x - self.shift[0], grid.y - self.shift[1]
        return Points(m[0, 0] * x + m[0, 1] * y, m[1, 0] * x + m[1, 1] * y)

    def jacobian(self, chip: Points):
        return np.broadcast_to(self.matrix, (*np.shape(chip.x), 2, 2))

    @property
    def box(self) -> PixelBox:
        return PixelBox(0, 0, self.shape[1], self.shape[0])

    @property
    def lattices(self) -> tuple[Lattice, Lattice]:
        ny, nx = self.shape
        return Lattice.over(0, nx - 1, nx), Lattice.over(0, ny - 1, ny)

    @property
    def bicubics(self) -> Bicubics:
        x, y = self.lattices
        cells = np.zeros((y.n_cells, x.n_cells, 2, 4, 4))
        corner_x, corner_y = np.meshgrid(x.nodes[:-1], y.nodes[:-1])
        cells[..., 3, 3] = np.moveaxis(np.array(self.to_grid(Points(corner_x, corner_y))), 0, -1)
        cells[..., 3, 2] = self.matrix[:, 0] * x.spacing
        cells[..., 2, 3] = self.matrix[:, 1] * y.spacing
        return bicubics(x, y, cells)

    @property
    def node_areas(self) -> Bilinear:
        x, y = self.lattices
        return Bilinear(x, y, contiguous(np.ones((y.n_cells + 1, x.n_cells + 1))))


@dataclass(frozen=True)
class Scene:
    """Equal sources, at random phases of the pixel, in nine exposures.

    Parameters
    ----------
    snr : float
        Flux over its error in the first exposure, the place known; inf: no noise.
    fwhm_px : tuple of float
        Seeing of each exposure.
    is_galaxy : bool
        Exponential discs of half-light radius 2 px and axis ratios 0.4 to 1, seen through it;
        otherwise Moffat stars.
    n_side : int
        Sources along a side.
    guides_snr : float or None
        Every fourth source is one of this S/N, for whatever is learnt from bright sources, and
        is not judged.
    """

    snr: float = 30.0
    fwhm_px: tuple[float, ...] = (4.0,) * 9
    is_galaxy: bool = False
    n_side: int = 16
    gaussian: bool = False
    seed: int = 1
    guides_snr: float | None = None

    @property
    def judged(self) -> BoolArray:
        """Return which sources are judged."""
        which = np.ones(self.n_side**2, bool)
        if self.guides_snr is not None:
            which[::4] = False
        return which

    @property
    def shape(self) -> tuple[int, int]:
        return ((self.n_side + 1) * PITCH,) * 2


@dataclass(frozen=True, eq=False)
class Seen:
    """A scene's exposures, its mosaic, and what can be known at best.

    Parameters
    ----------
    information : array, shape (exposures, n, 2, 2)
        Of each source's position in each exposure, px^-2.
    """

    scene: Scene
    at: Points
    chips: tuple[CalibratedChip, ...]
    maps: tuple[RigidMap, ...]
    contributions: tuple[Contribution, ...]
    information: np.ndarray
    catalog: SourceCatalog = field(repr=False)

    def reference(self, index: int, members: tuple[int, ...] | None = None) -> Reference:
        """Return the mosaic without an exposure."""
        box = PixelBox(0, 0, *self.scene.shape[::-1])
        kept = self.contributions if members is None else [self.contributions[i] for i in members]
        own = self.contributions[index].cut(box)
        return Reference.build(Others.of([merge(kept, box)], [own], box))

    def measured(self, measure: Measurement, index: int, error=(0.31, -0.23)):
        """Return displacements of an exposure, less the truth, under a header that is off."""
        true = self.maps[index]
        shift = true.shift[0] + error[0], true.shift[1] + error[1]
        wrong = RigidMap(true.shape, true.angle_deg, shift)
        found = measure(ChipView(self.chips[index], wrong), self.reference(index), self.catalog)
        here = found.source - 1
        grid = Points(self.at.x[here], self.at.y[here])
        given, real = wrong.to_chip(grid), true.to_chip(grid)
        wanted = np.stack([given.x - real.x, given.y - real.y], axis=1)
        return found, np.stack([found.dx, found.dy], axis=1) - wanted


def profile_of(scene: Scene, fwhm: float):
    return gaussian_mixture(fwhm) if scene.gaussian else moffat_mixture(fwhm, 3.0)


def _galaxies(n: int, rng: np.random.Generator) -> list[GalaxyShape]:
    profile, shapes = sersic_mixture(1.0), []
    angles, ratios = rng.uniform(0, np.pi, N_SHAPES), rng.uniform(0.4, 1.0, N_SHAPES)
    for angle, q in zip(angles, ratios, strict=True):
        c, s = math.cos(angle), math.sin(angle)
        shapes.append(GalaxyShape(profile, 2.0 * np.array([[c, -s * q], [s, c * q]])))
    return [shapes[i % N_SHAPES] for i in range(n)]


def _stamps(scene: Scene, psf, shapes, offsets):
    """Return light, d/dx, d/dy of unit sources, (n, side, side) each."""
    if shapes is None:
        one = GalaxyShape(gaussian_mixture(1e-3), np.eye(2))
        shapes = [one] * len(offsets)
    h, light = 1e-2, []
    for shape, (x, y) in zip(shapes, offsets, strict=True):
        light.append(
            [
                galaxy_values(psf, shape, (x + dx, y + dy), _HALF)
                for dx, dy in ((0, 0), (h, 0), (-h, 0), (0, h), (0, -h))
            ]
        )
    v = np.array(light)
    return v[:, 0], (v[:, 1] - v[:, 2]) / (2 * h), (v[:, 3] - v[:, 4]) / (2 * h)


def _information(light, dx, dy, flux, variance):
    n = len(light)
    columns = np.stack([flux * dx, flux * dy, flux * light, np.ones_like(light)], axis=1).reshape(
        n, 4, -1
    )
    fisher = columns / variance.reshape(n, 1, -1) @ np.swapaxes(columns, 1, 2)
    return np.linalg.inv(np.linalg.inv(fisher)[:, :2, :2])


@cache
def seen(scene: Scene) -> Seen:
    """Return the exposures of a scene; the same scene again is only looked up."""
    rng = np.random.default_rng(scene.seed)
    n = scene.n_side**2
    lattice = np.mgrid[0 : scene.n_side, 0 : scene.n_side].reshape(2, -1) * PITCH + PITCH
    at = Points(*(lattice + rng.uniform(-0.5, 0.5, lattice.shape))[::-1])
    shapes = _galaxies(n, rng) if scene.is_galaxy else None
    copy_of = np.arange(n) % N_SHAPES
    noise_free = not math.isfinite(scene.snr)
    few = min(n, N_SHAPES)
    flux, guides_flux = 1e6, 1e6
    chips, maps, contributions, information = [], [], [], []
    for index, fwhm in enumerate(scene.fwhm_px):
        psf = profile_of(scene, fwhm)
        middle = 0.5 * (scene.shape[0] - 1)
        turned = RigidMap(scene.shape, float(rng.uniform(-0.5, 0.5)), (0.0, 0.0))
        there = turned.to_grid(Points(np.array([middle]), np.array([middle])))
        dither = rng.uniform(-3, 3, 2)
        shift = (
            float(middle - there.x[0] + dither[0]),
            float(middle - there.y[0] + dither[1]),
        )
        pixel_map = RigidMap(scene.shape, turned.angle_deg, shift)
        where = pixel_map.to_chip(at)
        offsets = np.stack([where.x % 1, where.y % 1], axis=1)
        some = None if shapes is None else shapes[:few]
        light, dx, dy = _stamps(scene, psf, some, offsets[:few])
        if index == 0 and not noise_free:
            flux = _flux(scene.snr, light)
            if scene.guides_snr is not None:
                guides_flux = _flux(scene.guides_snr, light)
        info = _information(light, dx, dy, flux, SKY + flux * light)
        info = np.broadcast_to(info.mean(axis=0), (n, 2, 2)) if shapes is None else info[copy_of]
        information.append(info)
        all_flux = np.where(scene.judged, flux, guides_flux)
        if shapes is None:
            image = stars_image(scene.shape, psf, where, all_flux, 1e-6 * flux)
        else:
            image = galaxies_image(scene.shape, psf, shapes, where, (all_flux, 1e-6 * flux))
        if not noise_free:
            image = rng.poisson(image + SKY) - SKY
        none = np.zeros(scene.shape, bool)
        weight = np.full(scene.shape, 1 / SKY, np.float32)
        chip = CalibratedChip("chip", image.astype(np.float32), weight, none, none, 1.0)
        box = PixelBox(0, 0, *scene.shape[::-1])
        grid = _Grid(box)
        chips.append(chip)
        maps.append(pixel_map)
        contributions.append(DrizzleResampler().for_templates()(chip, pixel_map, grid))
    size = float(np.median(scene.fwhm_px)) * (1.0 if shapes is None else 1.4)
    catalog = _catalog(at, size, all_flux)
    known = np.array(information)
    return Seen(scene, at, tuple(chips), tuple(maps), tuple(contributions), known, catalog)


@dataclass(frozen=True)
class _Grid:
    box: PixelBox


def _flux(snr, light):
    p = light[0]
    low, high = 1.0, 1e9
    for _ in range(60):
        middle = math.sqrt(low * high)
        reached = math.sqrt(np.sum((middle * p) ** 2 / (SKY + middle * p)))
        low, high = (low, middle) if reached > snr else (middle, high)
    return middle


def _catalog(at: Points, fwhm: float, flux: FloatArray) -> SourceCatalog:
    n = len(at.x)
    none, one, whole = np.zeros(n), np.ones(n), np.zeros(n, np.int64)
    return SourceCatalog(
        id=np.arange(1, n + 1), component=whole, x=at.x, y=at.y, ra=none, dec=none,
        flux=one * flux, flux_error=one, snr=one * flux, fwhm=one * fwhm, a=one, b=one,
        theta=none, peak=one, area=whole, radius=none, weight=one, flags=whole,
    )  # fmt: skip


@dataclass(frozen=True)
class Accuracy:
    """How one exposure's displacements compare with the bound and with what they say.

    Parameters
    ----------
    ratio : float
        Root of the mean of ``e^2 / bound^2``, outliers left out.
    outliers : float
        Part of the sources without a displacement, or with one beyond `OUTLIER` bounds.
    pull_rms, pull_width : float
        Of errors over stated ones; the width is robust.
    bias_mpx : float
        rms of the errors, px / 1000: of use without noise.
    """

    ratio: float
    outliers: float
    pull_rms: float
    pull_width: float
    rms_mpx: float


def accuracy(scene: Scene, measure: Measurement, indices: tuple[int, ...] = (0,)) -> Accuracy:
    """Return how well exposures are measured, each against the mosaic of the others."""
    all_seen = seen(scene)
    info = all_seen.information
    of_bound, pulls, lost = [], [], []
    for index in indices:
        found, error = all_seen.measured(measure, index)
        bound = np.linalg.inv(info[index]) + np.linalg.inv(np.delete(info, index, 0).sum(axis=0))
        judged = scene.judged[found.source - 1]
        found, error = found.select(judged), error[judged]
        stated = found.own_covariance + found.template_covariance
        sigma = np.sqrt(np.diagonal(bound[found.source - 1], axis1=1, axis2=2))
        off = ~np.isfinite(error).all(axis=1)
        if math.isfinite(scene.snr):
            off |= (found.flags != 0) | (np.abs(np.nan_to_num(error)) > OUTLIER * sigma).any(axis=1)
        of_bound.append(np.stack([error / sigma, error])[:, ~off])
        pulls.append((error / np.sqrt(stated[:, [0, 2]]))[~off])
        lost.append(off)
    ratio, error = np.sqrt(np.mean(np.concatenate(of_bound, axis=1) ** 2, axis=(1, 2)))
    pull = np.concatenate(pulls)
    return Accuracy(
        ratio=float(ratio),
        outliers=float(np.concatenate(lost).mean()),
        pull_rms=float(np.sqrt(np.mean(pull**2))),
        pull_width=float(1.4826 * np.median(np.abs(pull))),
        rms_mpx=float(1e3 * error),
    )


def direct_accuracy(scene: Scene, measure: Measurement, index: int = 0) -> Accuracy:
    """Return how well an exposure is placed by what does not look at the mosaic.

    ``(1 - share) d`` is the place in the catalogue, here the true one, less that in the exposure:
    what the joint solve takes. So the bound is that of the exposure alone.
    """
    all_seen = seen(scene)
    found, error = all_seen.measured(measure, index)
    error -= np.stack([found.dx, found.dy], axis=1) * found.weight_share[:, None]
    judged = scene.judged[found.source - 1]
    found, error = found.select(judged), error[judged]
    bound = np.linalg.inv(all_seen.information[index])[found.source - 1]
    sigma = np.sqrt(np.diagonal(bound, axis1=1, axis2=2))
    off = ~np.isfinite(error).all(axis=1)
    if math.isfinite(scene.snr):
        off |= (found.flags != 0) | (np.abs(np.nan_to_num(error)) > OUTLIER * sigma).any(axis=1)
    pulls = (error / np.sqrt(found.own_covariance[:, [0, 2]]))[~off]
    return Accuracy(
        ratio=float(np.sqrt(np.mean((error / sigma)[~off] ** 2))),
        outliers=float(off.mean()),
        pull_rms=float(np.sqrt(np.mean(pulls**2))),
        pull_width=float(1.4826 * np.median(np.abs(pulls))),
        rms_mpx=float(1e3 * np.sqrt(np.mean(error[~off] ** 2))),
    )


@dataclass(frozen=True)
class JointAccuracy:
    """How well all exposures are placed by each source, its own place being unknown.

    Parameters
    ----------
    ratio : tuple of float
        Per exposure: rms error of its place relative to the source's over the bound.
    pull_rms : tuple of float
    """

    ratio: tuple[float, ...]
    pull_rms: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.ratio))


def joint_accuracy(scene: Scene, measure: Measurement) -> JointAccuracy:
    """Return how the factors of a joint solve compare with their bound.

    ``r = (1 - share) d`` is what the solve takes; the latent offset of a source is their mean,
    weighted by the stated own information. The bound has the true information.
    """
    all_seen = seen(scene)
    n_exposures = len(all_seen.chips)
    residual, own = [], []
    for index in range(n_exposures):
        found, error = all_seen.measured(measure, index)
        far = found.flags != 0
        error[far] = np.nan
        order = np.argsort(found.source)
        turn = all_seen.maps[index].matrix
        residual.append((error * (1 - found.weight_share[:, None]))[order] @ turn.T)
        own.append(found.own_covariance[order][:, [0, 2]])
    r, c = np.array(residual), np.array(own)
    info = all_seen.information
    usable = scene.judged & np.isfinite(r).all(axis=(0, 2))
    weight = 1 / c
    latent = (weight * r).sum(axis=0) / weight.sum(axis=0)
    diagonal = np.diagonal(info, axis1=2, axis2=3)
    bound = 1 / diagonal - 1 / diagonal.sum(axis=0)
    stated = c - 1 / weight.sum(axis=0)
    left = r - latent
    usable &= (np.abs(np.nan_to_num(left)) < OUTLIER * np.sqrt(bound)).all(axis=(0, 2))
    ratio = np.sqrt((left**2 / bound)[:, usable].mean(axis=(1, 2)))
    pulls = np.sqrt((left**2 / stated)[:, usable].mean(axis=(1, 2)))
    return JointAccuracy(tuple(ratio.tolist()), tuple(pulls.tolist()))
