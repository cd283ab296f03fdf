"""The steps of a pass next to peers: pixel map, drizzle, detection, correlation, joint solve."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.sparse
import sep
from astropy.wcs import WCS, Sip
from bench_correlation import FWHM, N_SOURCES, PITCH, SIDE, pairs_of
from bench_detection import SIDE as DETECTION_SIDE
from bench_detection import ours, plain_sep, simulated
from drizzle.resample import Drizzle
from drizzle.utils import calc_pixmap
from harness import Comparison, Job, compare
from reproject import reproject_interp
from scipy.ndimage import binary_dilation

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit/numerics/displacement"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit/numerics/solve"))
from displacement_scenes import catalog, drizzled_noise, reference_of, stars, view_of
from solve_scenes import make_scene

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import Geometry
from alignsvc.domain.geometry import PixelBox, Points, TangentPlane
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.displacement.correlation.peak import PolynomialPeak
from alignsvc.numerics.displacement.correlation_maps import correlated
from alignsvc.numerics.displacement.correlators import CORRELATORS
from alignsvc.numerics.displacement.fitting.refine import TemplateFit
from alignsvc.numerics.displacement.measure import CorrelationMeasurement
from alignsvc.numerics.displacement.windows.blots import Reference
from alignsvc.numerics.displacement.windows.chip_view import ChipView
from alignsvc.numerics.displacement.windows.psf_matching import PsfMatching
from alignsvc.numerics.displacement.windows.sizes import Sides
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import merge
from alignsvc.numerics.resampling.resamplers import Resampler
from alignsvc.numerics.resampling.resamplers.drizzle import DrizzleResampler
from alignsvc.numerics.resampling.resamplers.interpolate import InterpolatingResampler
from alignsvc.numerics.sky.pixel_map import build_pixel_map
from alignsvc.numerics.solve.joint_fit import JointFitter
from alignsvc.numerics.sources.skies.mesh import MeshBackground
from alignsvc.numerics.sources.spread_masks import dilated

CHIP, GRID_SIDE = 1024, 1500


def chip_wcs(turn_deg: float = 20.0) -> WCS:
    """A chip of 0.2 arcsec with SIP terms, turned against the grid."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    wcs.wcs.crval, wcs.wcs.crpix = [150.0, 2.0], [CHIP / 2, CHIP / 2]
    cos, sin = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    wcs.wcs.cd = 0.2 / 3600 * np.array([[-cos, sin], [sin, cos]])
    a = np.zeros((3, 3))
    a[2, 0] = 3e-6
    wcs.sip = Sip(a, a.T, None, None, wcs.wcs.crpix)
    wcs.array_shape = (CHIP, CHIP)
    wcs.wcs.set()
    return wcs


def grid_wcs() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [150.0, 2.0], [GRID_SIDE / 2 + 1] * 2
    wcs.wcs.cdelt = [-0.2 / 3600, 0.2 / 3600]
    wcs.array_shape = (GRID_SIDE, GRID_SIDE)
    return wcs


def resampling(rng: np.random.Generator) -> list[Comparison]:
    """Ours with map and coadd; theirs with map, and floors that have the map given."""
    header, goal, mpix = chip_wcs(), grid_wcs(), CHIP**2 / 1e6
    plane, shape = TangentPlane(150.0, 2.0), (GRID_SIDE, GRID_SIDE)
    grid = MosaicGrid(0, plane, 0.2, GRID_SIDE / 2, GRID_SIDE / 2, shape, (1024, 1024))
    pixels = rng.normal(size=(CHIP, CHIP)).astype(np.float32)
    weight, good = np.ones_like(pixels), np.zeros(pixels.shape, bool)
    chip, wcs = (
        CalibratedChip("HDU 0", pixels, weight, good, good),
        CelestialWcs(header, (CHIP, CHIP)),
    )
    along = CelestialWcs(chip_wcs(0.5), (CHIP, CHIP))
    given = np.stack(build_pixel_map(wcs, grid).positions(PixelBox(0, 0, CHIP, CHIP)), axis=-1)

    def pixel_map() -> np.ndarray:
        pixel_map = build_pixel_map(wcs, grid)
        return pixel_map.positions(pixel_map.box)

    def coadd(resampler: Resampler, wcs: CelestialWcs = wcs) -> Callable[[], object]:
        return lambda: merge([resampler(chip, build_pixel_map(wcs, grid), grid)], grid.box)

    def library(kernel: str, pixmap: Callable[[], np.ndarray]) -> Callable[[], object]:
        def drizzled() -> object:
            sums = Drizzle(kernel=kernel, out_shape=shape, disable_ctx=True)
            return sums.add_image(
                pixels, exptime=1.0, pixmap=pixmap(), weight_map=weight, pixfrac=1.0
            )

        return drizzled

    def interpolated() -> object:
        return reproject_interp((pixels, header), goal, shape_out=shape)

    def copied() -> None:
        pixels.copy(), weight.copy()

    exact, turbo = "every pixel through the WCS", DrizzleResampler()
    its_own = library("turbo", lambda: calc_pixmap(header, goal))
    floor = library("turbo", lambda: given)
    gathered = coadd(InterpolatingResampler())
    return [
        compare(Job(what, peer, "s/Mpix", ours, theirs, mpix, note), repeats)
        for what, peer, ours, theirs, note, repeats in (
            ("pixel map", f"calc_pixmap: {exact}", pixel_map, lambda: calc_pixmap(header, goal),
             "", 7),
            ("turbo, map, coadd", "drizzle + calc_pixmap", coadd(turbo), its_own, "", 7),
            ("turbo for the loop, map, coadd", "drizzle + calc_pixmap",
             coadd(turbo.for_templates(), along), its_own, "less what phases make lopsided", 7),
            ("square, map, coadd", "drizzle + calc_pixmap", coadd(DrizzleResampler("square")),
             library("square", lambda: calc_pixmap(header, goal)), "", 5),
            ("lanczos3 gathered, map, coadd", "reproject_interp", gathered, interpolated,
             "theirs bilinear, no flux conserved, no weights", 3),
            ("turbo, map, coadd", "floor: drizzle's kernel, map given", coadd(turbo), floor, "", 7),
            ("lanczos3 gathered, map, coadd", "floor: drizzle's turbo, map given", gathered, floor,
             "", 7),
            ("turbo, map, coadd", "floor: pixels and weights copied", coadd(turbo), copied, "", 7),
        )
    ]  # fmt: skip


def chip_sky(rng: np.random.Generator) -> list[Comparison]:
    """The sky of a chip of 2048 x 2048 with 1000 stars and a pixel in a thousand bad."""
    side = 2048
    pixels = np.zeros((side, side))
    pixels[tuple(rng.integers(0, side, (2, 1000)))] = 10 ** rng.uniform(2, 5, 1000)
    pixels = scipy.ndimage.gaussian_filter(pixels, 2.1) + rng.normal(100, 5, pixels.shape)
    pixels, mask = pixels.astype(np.float32), rng.random(pixels.shape) < 1e-3

    def theirs() -> object:
        return sep.Background(pixels, mask=mask, bw=128, bh=128).back()

    note = "ours: clipped in exact order, noise also of differences"
    return [
        compare(Job("sky of a chip", "sep.Background", "s/Mpix",
                    lambda: MeshBackground()(pixels, mask), theirs, side**2 / 1e6, note))
    ]  # fmt: skip


def masks(rng: np.random.Generator) -> list[Comparison]:
    few, square = rng.random((2 * CHIP, 2 * CHIP)) < 0.005, np.ones((7, 7), bool)
    return [
        compare(Job("mask spread by 3 px", "scipy binary_dilation", "s/Mpix",
                    lambda: dilated(few, 3), lambda: binary_dilation(few, square), few.size / 1e6))
    ]  # fmt: skip


def detection() -> list[Comparison]:
    image = simulated()
    mpix = DETECTION_SIDE**2 / 1e6
    note = "ours: weights, tiles with halo, segmentation"
    return [
        compare(Job("detection", "sep, one image", "s/Mpix", lambda: ours(image),
                    lambda: plain_sep(image), mpix, note), 3)
    ]  # fmt: skip


class FieldOfStars(NamedTuple):
    """A chip, the mosaic of the others, and the sources on both."""

    view: ChipView
    reference: Reference
    sources: SourceCatalog


def field_of_stars(rng: np.random.Generator, n_sources: int) -> FieldOfStars:
    side = int(np.sqrt(n_sources))
    lattice = np.mgrid[0:side, 0:side].reshape(2, -1) * PITCH + PITCH
    at = Points(*(lattice + rng.uniform(-0.5, 0.5, lattice.shape))[::-1])
    shape = ((side + 1) * PITCH,) * 2
    clean = stars(shape, at, rng.uniform(300, 5000, n_sources), FWHM)
    view = view_of(clean + rng.normal(size=shape), gain=2.0)
    reference = reference_of(clean + drizzled_noise(shape, rng) / 3, depth=9.0)
    return FieldOfStars(view, reference, catalog(at, FWHM, 8.0))


def measurement(rng: np.random.Generator) -> list[Comparison]:
    view, reference, sources = field_of_stars(rng, N_SOURCES)
    ncc = CORRELATORS.build("ncc", {})
    plain, fitted = CorrelationMeasurement(ncc), CorrelationMeasurement(ncc, TemplateFit())
    matched = CorrelationMeasurement(ncc, TemplateFit(), matching=PsfMatching())
    sides = Sides(SIDE, 3).holding(1.8 * FWHM + 1)
    pairs = pairs_of(rng, sides, 0.0)
    images = rng.normal(size=(N_SOURCES, SIDE, SIDE)).astype(np.float32)
    blots = rng.normal(size=(N_SOURCES, 4, SIDE, SIDE)).astype(np.float32)

    def floor() -> np.ndarray:
        """Four plain FFT correlations a source, nothing else."""
        size = (2 * SIDE, 2 * SIDE)
        image = scipy.fft.rfft2(images, size)[:, None].conj()
        return scipy.fft.irfft2(image * scipy.fft.rfft2(blots, size), size)

    def alone() -> None:
        for _ in range(N_SOURCES // len(pairs)):
            correlated(ncc, pairs, sides, PolynomialPeak())

    peer = "four FFT correlations by scipy.fft"
    ours = "cutouts, blots, masks, peak, covariance included"
    ways = [("correlation (ncc) and its peak alone", alone, "cutouts and blots in hand; masks")]
    for what, measure in (
        ("correlation (ncc)", plain),
        ("correlation and fit", fitted),
        ("correlation, seeing and fit: the default", matched),
    ):
        ways.append((what, lambda measure=measure: measure(view, reference, sources), ours))
    return [
        compare(Job(what, peer, "us/source", work, floor, N_SOURCES, note), 15)
        for what, work, note in ways
    ]


def joint_solve() -> list[Comparison]:
    """100 exposures on a 10x10 grid of half overlaps, about 500 sources each."""
    centres = np.mgrid[0:10, 0:10].reshape(2, -1).T * 50.0
    scene = make_scene(centres, Geometry.GENERAL, noise=1.0, density=500.0)
    fitter = JointFitter()

    def floor() -> object:
        """The same rows, unclipped and without errors: all unknowns at once by LSQR."""
        rows, columns, values, right = [], [], [], []
        n_exposures, start = len(scene.factors), 0
        for i, factors in enumerate(scene.factors):
            root = np.sqrt(factors.information[:, 0, 0])
            n = 2 * len(factors)
            row = np.arange(start, start + n)
            jacobian = (factors.jacobian * root[:, None, None]).reshape(n, -1)
            latent = 6 * n_exposures + 2 * np.repeat(factors.source, 2) + np.tile([0, 1], n // 2)
            rows += [np.repeat(row, jacobian.shape[1]), row]
            columns += [np.tile(6 * i + np.arange(jacobian.shape[1]), n), latent]
            values += [jacobian.ravel(), np.repeat(root, 2)]
            right.append((factors.residual * root[:, None]).ravel())
            start += n
        parts = (np.concatenate(part) for part in (values, rows, columns))
        data, at_row, at_column = parts
        matrix = scipy.sparse.csr_matrix((data, (at_row, at_column)))
        length = np.sqrt(np.asarray(matrix.power(2).sum(axis=0)).ravel())
        scaled = matrix @ scipy.sparse.diags(1 / np.maximum(length, 1e-30))
        return scipy.sparse.linalg.lsqr(scaled, np.concatenate(right), atol=1e-10, btol=1e-10,
                                        iter_lim=2000)  # fmt: skip

    n_rows = sum(len(factors) for factors in scene.factors)
    note = f"{n_rows} displacements; ours with clipping and covariances"
    return [
        compare(Job("joint solve, 100 exposures", "scipy.sparse lsqr", "s",
                    lambda: fitter(scene.factors, scene.footprints), floor, 1, note), 3)
    ]  # fmt: skip


def main() -> list[Comparison]:
    """Measure everything here."""
    rng = np.random.default_rng(0)
    return [
        *resampling(rng),
        *chip_sky(np.random.default_rng(1)),
        *masks(rng),
        *detection(),
        *measurement(rng),
        *joint_solve(),
    ]
