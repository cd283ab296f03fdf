"""The functions that a run spends its time in, one by one, by pytest-benchmark: `make bench-hot`.

To compare two states of the code: ``make bench-hot HOT="--benchmark-save=before"``, change it, then
``make bench-hot HOT="--benchmark-compare"``. No assertion is about time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
from bench_correlation import FWHM, SIDE, pairs_of
from bench_detection import ours, simulated
from bench_numerics import chip_wcs, field_of_stars

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit/numerics/solve"))
from solve_scenes import make_scene

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import Geometry
from alignsvc.domain.geometry import PixelBox, TangentPlane
from alignsvc.domain.grid import MosaicGrid
from alignsvc.numerics.displacement.correlation.peak import PolynomialPeak
from alignsvc.numerics.displacement.correlation_maps import correlated
from alignsvc.numerics.displacement.correlators import CORRELATORS
from alignsvc.numerics.displacement.fitting.refine import TemplateFit
from alignsvc.numerics.displacement.measure import CorrelationMeasurement
from alignsvc.numerics.displacement.windows.blots import Reference
from alignsvc.numerics.displacement.windows.psf_matching import PsfMatching
from alignsvc.numerics.displacement.windows.sizes import Sides
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import Contribution, merge
from alignsvc.numerics.resampling.others import Others
from alignsvc.numerics.resampling.resamplers import RESAMPLERS
from alignsvc.numerics.sky.pixel_map import build_pixel_map
from alignsvc.numerics.solve.joint_fit import JointFitter
from alignsvc.numerics.sources.skies.mesh import MeshBackground

CHIP = 1024
N_SOURCES = 256


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def grid() -> MosaicGrid:
    side = CHIP + 60
    plane = TangentPlane(150.0, 2.0)
    return MosaicGrid(0, plane, 0.2, side / 2, side / 2, (side, side), (1024, 1024))


@pytest.fixture
def wcs() -> CelestialWcs:
    return CelestialWcs(chip_wcs(0.5), (CHIP, CHIP))


@pytest.fixture
def chip(rng) -> CalibratedChip:
    pixels = rng.normal(size=(CHIP, CHIP)).astype(np.float32)
    good = np.zeros(pixels.shape, bool)
    return CalibratedChip("HDU 0", pixels, np.ones_like(pixels), good, good)


def sums(rng, dtype) -> Contribution:
    weight = np.ones((CHIP, CHIP), dtype)
    return Contribution(
        PixelBox(0, 0, CHIP, CHIP), rng.normal(size=weight.shape).astype(dtype), weight
    )


def test_pixel_map_of_every_pixel(benchmark, wcs, grid) -> None:
    benchmark(lambda: build_pixel_map(wcs, grid).rows(0, CHIP))


@pytest.mark.parametrize("kernel", ["turbo", "square", "point", "lanczos3"])
def test_drizzle_for_templates(benchmark, kernel, chip, wcs, grid) -> None:
    resampler = RESAMPLERS.build("drizzle", {"kernel": kernel}).for_templates()
    benchmark(lambda: resampler(chip, build_pixel_map(wcs, grid), grid))


def test_sum_of_eight_contributions(benchmark, rng) -> None:
    parts = [sums(rng, np.float32) for _ in range(8)]
    benchmark(lambda: merge(parts, parts[0].box))


def test_mosaic_of_the_others(benchmark, rng) -> None:
    total, own = sums(rng, np.float64), sums(rng, np.float32)
    benchmark(lambda: Others.of([total], [own], total.box))


def test_reference_ready_to_be_blotted(benchmark, rng) -> None:
    total, own = sums(rng, np.float64), sums(rng, np.float32)
    others = Others.of([total], [own], total.box)
    benchmark(lambda: Reference.build(others))


def test_sky_of_a_chip(benchmark, rng) -> None:
    pixels = rng.normal(100, 5, (CHIP, CHIP)).astype(np.float32)
    none = np.zeros(pixels.shape, bool)
    benchmark(lambda: MeshBackground()(pixels, none))


def test_detection_on_a_tile(benchmark) -> None:
    image = simulated()
    benchmark(lambda: ours(image))


@pytest.mark.parametrize("name", CORRELATORS.names())
def test_correlation_and_its_peak(benchmark, rng, name) -> None:
    sides = Sides(SIDE, 3).holding(1.8 * FWHM + 1)
    pairs, correlator = pairs_of(rng, sides, 0.0), CORRELATORS.build(name, {})
    benchmark(lambda: correlated(correlator, pairs, sides, PolynomialPeak()))


def test_displacements_of_a_chip(benchmark, rng) -> None:
    view, reference, sources = field_of_stars(rng, N_SOURCES)
    ncc = CORRELATORS.build("ncc", {})
    measure = CorrelationMeasurement(ncc, TemplateFit(), matching=PsfMatching())
    benchmark(lambda: measure(view, reference, sources))


def test_joint_solve_of_25_exposures(benchmark) -> None:
    centres = np.mgrid[0:5, 0:5].reshape(2, -1).T * 50.0
    scene = make_scene(centres, Geometry.GENERAL, noise=1.0, density=200.0)
    benchmark(lambda: JointFitter()(scene.factors, scene.footprints))


def test_floor_a_copy_of_a_chip(benchmark, rng) -> None:
    pixels = rng.normal(size=(CHIP, CHIP)).astype(np.float32)
    benchmark(pixels.copy)


def test_floor_a_cubic_spline_through_a_chip(benchmark, rng) -> None:
    pixels = rng.normal(size=(CHIP, CHIP)).astype(np.float32)
    benchmark(lambda: scipy.ndimage.spline_filter(pixels, order=3, output=np.float32))
